"""Custobar to anything that Airflow's object storage reaches, local files included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_custobar.export.file_set import Container
from airflow_provider_custobar.export.filesystem import FileSystemTarget
from airflow_provider_custobar.transfers.base import CustobarExportOperator
from airflow_provider_custobar.transfers.names import check_name
from airflow_provider_custobar.transfers.object_storage import locate, object_storage_target


class CustobarToObjectStorageOperator(CustobarExportOperator):
    """
    Export one Custobar resource to an object or file that Airflow's ``ObjectStoragePath`` can name.

    Takes the arguments of :class:`~airflow_provider_custobar.transfers.base.CustobarExportOperator`, and:

    :param path: URL of the object, such as ``file:///data/custobar/sales-{{ ds }}.csv`` or ``abfs://container/sales.csv``.
        (templated)
    :param storage_conn_id: Connection id for the store, if it needs one. (templated)
    """

    name_argument = "path"
    template_fields: Sequence[str] = (*CustobarExportOperator.common_template_fields, "path", "storage_conn_id")

    def __init__(self, *, path: str, storage_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.storage_conn_id = storage_conn_id

    def check_name(self, argument: str, value: object) -> str:
        name = check_name(argument, value)
        locate(argument, name, self.storage_conn_id)
        return name

    def make_container(self) -> Container:
        return _ObjectStorage(self.storage_conn_id, replace=self.replace)


class _ObjectStorage:
    """Any file system that a URL names; names are URLs."""

    def __init__(self, conn_id: str | None, *, replace: bool) -> None:
        self._conn_id = conn_id
        self._replace = replace

    def target(self, name: str) -> FileSystemTarget:
        return object_storage_target("path", name, self._conn_id, replace=self._replace)

    def names(self, prefix: str, depth: int) -> list[str]:
        location = locate("path", prefix, self._conn_id)
        # Paths of the file system, put back behind what the user wrote before them.
        return [prefix + found.name.removeprefix(location.path) for found in location.objects.list(location.path, depth)]

    def remove(self, name: str) -> None:
        location = locate("path", name, self._conn_id)
        location.filesystem.rm_file(location.path)
