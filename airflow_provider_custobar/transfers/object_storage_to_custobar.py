"""Files that Airflow's object storage reaches, local ones included, to Custobar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_custobar.stores.reading import find
from airflow_provider_custobar.task.file_upload_operator import FileUploadOperator
from airflow_provider_custobar.task.object_storage import locate

if TYPE_CHECKING:
    from airflow_provider_custobar.stores.protocol import StoredObject


class ObjectStorageToCustobarOperator(FileUploadOperator):
    """
    Send the rows of one or more files that Airflow's ``ObjectStoragePath`` can name to Custobar.

    Takes the arguments of :class:`~airflow_provider_custobar.task.file_upload_operator.FileUploadOperator`, and:

    :param path: URL of the file, such as ``file:///data/customers-{{ ds }}.csv``; a pattern (``abfs://data/*.csv.gz``); or a
        folder, which ends in a slash. What no file system of Airflow's takes as it stands is refused. (templated)
    :param storage_conn_id: Connection id for the store, if it needs one. (templated)
    """

    template_fields: Sequence[str] = (*FileUploadOperator.common_template_fields, "path", "storage_conn_id")

    def __init__(self, *, path: str, storage_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.storage_conn_id = storage_conn_id

    def find_objects(self) -> list[StoredObject]:
        location = locate("path", self.path, self.storage_conn_id)
        self._sought = location.name
        return find(location.store, "path", location.name)
