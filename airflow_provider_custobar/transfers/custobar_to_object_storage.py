"""Custobar to anything that Airflow's object storage reaches, local files included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_custobar.export.file_set import Files
from airflow_provider_custobar.stores.protocol import StoredObject, Target
from airflow_provider_custobar.task.export_operator import CustobarExportOperator
from airflow_provider_custobar.task.names import check_name
from airflow_provider_custobar.task.object_storage import locate


class CustobarToObjectStorageOperator(CustobarExportOperator):
    """
    Export one Custobar resource to an object or file that Airflow's ``ObjectStoragePath`` can name.

    Takes the arguments of :class:`~airflow_provider_custobar.task.export_operator.CustobarExportOperator`, and:

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

    def make_store(self) -> Files:
        return _ObjectStorage(self.storage_conn_id, replace=self.replace)


@dataclass(frozen=True)
class _Named:
    name: str


class _ObjectStorage:
    """All that URLs lead to; names are URLs."""

    def __init__(self, conn_id: str | None, *, replace: bool) -> None:
        self._conn_id = conn_id
        self._replace = replace

    def target(self, name: str) -> Target:
        return locate("path", check_name("path", name), self._conn_id, replace=self._replace).target

    def look(self, name: str) -> StoredObject | None:
        place = locate("path", name, self._conn_id)
        return place.store.look(place.name)

    def list(self, prefix: str, depth: int | None) -> Iterator[_Named]:
        place = locate("path", prefix, self._conn_id)
        # Names in the store, put back behind what the user wrote before them.
        yield from (_Named(prefix + found.name.removeprefix(place.name)) for found in place.store.list(place.name, depth))

    def remove(self, name: str) -> None:
        place = locate("path", name, self._conn_id)
        place.store.remove(place.name)
