"""Custobar to anything that Airflow's object storage reaches, local files included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_custobar.export.file_set import Container
from airflow_provider_custobar.export.filesystem import FileSystemTarget
from airflow_provider_custobar.transfers.base import CustobarExportOperator
from airflow_provider_custobar.transfers.names import check_name


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
        return check_name(argument, value)

    def make_container(self) -> Container:
        return _ObjectStorage(self.storage_conn_id, replace=self.replace)


class _ObjectStorage:
    """Any file system that a URL names; names are URLs."""

    def __init__(self, conn_id: str | None, *, replace: bool) -> None:
        self._conn_id = conn_id
        self._replace = replace

    def target(self, name: str) -> FileSystemTarget:
        return object_storage_target("path", name, self._conn_id, replace=self._replace)

    def names(self, prefix: str) -> list[str]:
        folder = ObjectStoragePath(prefix.rpartition("/")[0], conn_id=self._conn_id)
        found = folder.fs.find(folder.path) if folder.fs.isdir(folder.path) else []
        # Paths of the file system, put back behind what the user wrote before them.
        start = len(folder.path.rstrip("/"))
        return [name for path in found if (name := prefix.rpartition("/")[0] + path[start:]).startswith(prefix)]

    def remove(self, name: str) -> None:
        path = ObjectStoragePath(name, conn_id=self._conn_id)
        path.fs.rm_file(path.path)


def object_storage_target(argument: str, path: object, conn_id: str | None, *, replace: bool) -> FileSystemTarget:
    """The target that a URL names; a path without a scheme is a local file.

    :raises InvalidArgumentError: the path is empty or names a folder.
    """
    url = ObjectStoragePath(check_name(argument, path), conn_id=conn_id)
    return FileSystemTarget(url.fs, url.path, str(url), replace=replace)
