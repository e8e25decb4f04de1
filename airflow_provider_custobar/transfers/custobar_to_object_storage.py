"""Custobar to anything that Airflow's object storage reaches, local files included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.export.filesystem import FileSystemTarget
from airflow_provider_custobar.export.targets import Target
from airflow_provider_custobar.transfers.base import CustobarExportOperator
from airflow_provider_custobar.transfers.names import check_name, fill_in


class CustobarToObjectStorageOperator(CustobarExportOperator):
    """
    Export one Custobar resource to an object or file that Airflow's ``ObjectStoragePath`` can name.

    Takes the arguments of :class:`~airflow_provider_custobar.transfers.base.CustobarExportOperator`, and:

    :param path: URL of the object, such as ``file:///data/custobar/sales-{{ ds }}.csv`` or ``abfs://container/sales.csv``.
        (templated)
    :param storage_conn_id: Connection id for the store, if it needs one. (templated)
    """

    template_fields: Sequence[str] = (*CustobarExportOperator.common_template_fields, "path", "storage_conn_id")

    def __init__(self, *, path: str, storage_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.storage_conn_id = storage_conn_id

    def make_target(self, query: Query) -> Target:
        path = fill_in(check_name("path", self.path), "path", query)
        return object_storage_target("path", path, self.storage_conn_id, replace=self.replace)


def object_storage_target(argument: str, path: object, conn_id: str | None, *, replace: bool) -> FileSystemTarget:
    """The target that a URL names; a path without a scheme is a local file.

    :raises InvalidArgumentError: the path is empty or names a folder.
    """
    url = ObjectStoragePath(check_name(argument, path), conn_id=conn_id)
    return FileSystemTarget(url.fs, url.path, str(url), replace=replace)
