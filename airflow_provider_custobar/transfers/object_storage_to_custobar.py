"""Files that Airflow's object storage reaches, local ones included, to Custobar."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_custobar.transfers.file_upload import FileUploadOperator, names_many, nothing_found
from airflow_provider_custobar.transfers.names import check_filled

if TYPE_CHECKING:
    from airflow_provider_custobar.upload.files import File


class ObjectStorageToCustobarOperator(FileUploadOperator):
    """
    Send the rows of one or more files that Airflow's ``ObjectStoragePath`` can name to Custobar.

    Takes the arguments of :class:`~airflow_provider_custobar.transfers.file_upload.FileUploadOperator`, and:

    :param path: URL of the file, such as ``file:///data/customers-{{ ds }}.csv``; a pattern (``abfs://data/*.csv.gz``); or a
        folder, which ends in a slash. (templated)
    :param storage_conn_id: Connection id for the store, if it needs one. (templated)
    """

    template_fields: Sequence[str] = (*FileUploadOperator.common_template_fields, "path", "storage_conn_id")

    def __init__(self, *, path: str, storage_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.storage_conn_id = storage_conn_id

    def find_files(self) -> list[File]:
        from airflow_provider_custobar.upload.files import File  # noqa: PLC0415 - as in the hook's upload

        url = ObjectStoragePath(check_filled("path", self.path), conn_id=self.storage_conn_id)
        if self.path.endswith("/"):
            paths = [path for path in url.fs.find(url.path) if not path.endswith("/")]
        elif names_many(self.path):
            paths = [path for path in url.fs.glob(url.path) if not url.fs.isdir(path)]
        else:
            paths = [url.path] if url.fs.isfile(url.path) else []
        if not paths:
            raise nothing_found("path", self.path)
        return [File(name=str(url.fs.unstrip_protocol(path)), open=partial(_open, url.fs, path)) for path in sorted(paths)]


def _open(filesystem: Any, path: str) -> BinaryIO:
    opened: BinaryIO = filesystem.open(path, "rb")
    return opened
