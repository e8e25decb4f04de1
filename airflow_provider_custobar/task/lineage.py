"""What a task has read and written, for whoever collects lineage: readers of Airflow's hook lineage, and OpenLineage.

Operators note it while they work, from what they know by then. Afterwards nothing is asked for again, no connection, no store
and no database. Lineage is a courtesy: nothing here fails a task, and it holds neither rows nor credentials.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_custobar.api.resources import RESOURCES
from airflow_provider_custobar.assets import custobar
from airflow_provider_custobar.export.file_set import PART
from airflow_provider_custobar.task.compat import is_lineage_read

if TYPE_CHECKING:
    from airflow_provider_custobar.export.job import Export
    from airflow_provider_custobar.export.results import ExportResult

#: How OpenLineage calls what other spellings of a scheme mean.
_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "local": "file"}


class Field(NamedTuple):
    """A field of a dataset, by OpenLineage's names."""

    namespace: str
    dataset: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Something that was read or written, as an asset (``uri``) and as OpenLineage calls it (``namespace`` and ``name``).

    ``columns`` are its columns with their types, None where that is not known. ``made_of`` tells of what a column is made.
    ``rows``, ``bytes`` (as stored) and ``files`` were written by this task; None where that is not known.
    """

    uri: str
    namespace: str
    name: str
    columns: Mapping[str, str | None] = field(default_factory=dict)
    made_of: Mapping[str, Sequence[Field]] = field(default_factory=dict)
    rows: int | None = None
    bytes: int | None = None
    files: int | None = None

    def field(self, name: str) -> Field:
        return Field(self.namespace, self.name, name)


def custobar_dataset(base_url: str, resource: str, *, fields: Iterable[str] = (), **facts: Any) -> Dataset:
    """A resource at Custobar: its documented fields, the same whether it is read or written, and further ``fields``."""
    uri = custobar.uri_of(base_url, resource)
    documented = RESOURCES[resource]
    # "tags.add" changes a field, and is none.
    kinds = {**documented.write_fields, **documented.read_fields}
    types = {name: kind.value for name, kind in kinds.items() if "." not in name}
    more = dict.fromkeys(name for name in fields if name not in types)
    return resource_dataset(uri, columns={**types, **more}, **facts)


def resource_dataset(uri: str, **facts: Any) -> Dataset:
    """What has a namespace of its own for each host, ``scheme://host/resource``."""
    namespace, _, name = uri.rpartition("/")
    return Dataset(uri=uri, namespace=namespace, name=name, **facts)


def stored_dataset(uri: str, **facts: Any) -> Dataset:
    """An object or a folder of them: ``s3://bucket`` and its key, ``gs://bucket`` and its name, ``file`` and its path."""
    scheme, _, rest = uri.partition("://")
    scheme = _SCHEMES.get(scheme.lower(), scheme.lower())
    place, _, path = rest.partition("/")
    # What is in front of a bucket is a connection's name, or somebody's credentials.
    place = place.rpartition("@")[2]
    if scheme == "file":
        return Dataset(uri=f"file:///{path}", namespace="file", name=f"/{path}".rstrip("/") or "/", **facts)
    return Dataset(uri=f"{scheme}://{place}/{path}", namespace=f"{scheme}://{place}", name=path.strip("/") or "/", **facts)


def files_to_write(exports: Iterable[Export]) -> list[Dataset]:
    """Where exports will be."""
    return _merged(stored_dataset(_place_of(export)) for export in exports)


def written_files(source: Dataset, written: Sequence[tuple[Export, ExportResult]]) -> list[Dataset]:
    """What exports have written, with its columns, of which fields they are made, and counts; and the manifests."""
    datasets = []
    for export, result in written:
        described: Any = export.describe(result)
        columns = {column["name"]: column["type"] for column in described["schema"]}
        datasets.append(
            stored_dataset(
                _place_of(export),
                columns=columns,
                made_of={name: [source.field(name)] for name in columns if name in source.columns},
                rows=result.rows,
                bytes=result.bytes,
                files=len(result.files),
            )
        )
    manifests = [stored_dataset(export.manifest.uri) for export, _ in written if export.manifest]
    return _merged([*datasets, *manifests])


def _place_of(export: Export) -> str:
    """Where an export's files are: one URI, the same for as many as there may be."""
    uri = export.files.uri
    return uri.partition(PART)[0].rpartition("/")[0] + "/" if export.files.is_many else uri


def _merged(datasets: Iterable[Dataset]) -> list[Dataset]:
    """Each once: files of several days may go to one folder."""
    found: dict[tuple[str, str], Dataset] = {}
    for each in datasets:
        key = (each.namespace, each.name)
        found[key] = _together(found[key], each) if key in found else each
    return list(found.values())


def _together(one: Dataset, other: Dataset) -> Dataset:
    return replace(one, rows=_sum(one.rows, other.rows), bytes=_sum(one.bytes, other.bytes), files=_sum(one.files, other.files))


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


class Lineage:
    """What one task has read and written so far."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self.inputs: Sequence[Dataset] = ()
        self.outputs: Sequence[Dataset] = ()

    @cached_property
    def _is_read(self) -> bool:
        return is_lineage_read()

    def note(
        self,
        *,
        inputs: Callable[[], Sequence[Dataset]] | None = None,
        outputs: Callable[[], Sequence[Dataset]] | None = None,
    ) -> None:
        """Remember what the functions tell, in place of what was noted before. Where nobody listens they are not called."""
        try:
            if self._is_read:
                self.inputs = self.inputs if inputs is None else inputs()
                self.outputs = self.outputs if outputs is None else outputs()
        except Exception as error:  # noqa: BLE001 - whatever it is, the task has better to do
            self._log.info("Lineage will be incomplete: %s: %s", type(error).__name__, error)

    def tell(self, hook: Any) -> None:
        """Tell Airflow's hook lineage, when the work is done."""
        for datasets, kind in ((self.inputs, "input"), (self.outputs, "output")):
            for each in datasets:
                try:
                    # Handlers of other providers may refuse a URI of their scheme, each with errors of its own.
                    getattr(get_hook_lineage_collector(), f"add_{kind}_asset")(hook, uri=each.uri)
                except Exception as error:  # noqa: BLE001 - as above
                    self._log.info("Lineage does not take %s: %s", each.uri, error)

    def facets(self, inlets: Sequence[Any]) -> Any:
        """An ``OperatorLineage`` of OpenLineage's provider; None where there is nothing to tell.

        :param inlets: The assets that the user says are read: they are told where nothing was noted.
        """
        if not self.inputs and not self.outputs:
            return None
        try:
            from airflow.providers.common.compat.openlineage import facet  # noqa: PLC0415 - only where it is installed
            from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415

            return OperatorLineage(
                inputs=[
                    facet.InputDataset(namespace=each.namespace, name=each.name, facets=_facets(facet, each))
                    for each in self.inputs
                ]
                or _declared(inlets),
                outputs=[
                    facet.OutputDataset(
                        namespace=each.namespace,
                        name=each.name,
                        facets=_facets(facet, each),
                        outputFacets=_statistics(facet, each),
                    )
                    for each in self.outputs
                ],
            )
        except Exception as error:  # noqa: BLE001 - as above
            self._log.info("OpenLineage is told nothing: %s: %s", type(error).__name__, error)
            return None


def _declared(inlets: Sequence[Any]) -> list[Any]:
    from airflow.providers.common.compat.openlineage.utils.utils import translate_airflow_asset  # noqa: PLC0415 - as above

    translated = [translate_airflow_asset(each, None) for each in inlets if isinstance(each, Asset)]
    return [each for each in translated if each is not None]


def _facets(facet: Any, dataset: Dataset) -> dict[str, Any]:
    facets: dict[str, Any] = {}
    if dataset.columns:
        columns = [facet.SchemaDatasetFacetFields(name=name, type=kind) for name, kind in dataset.columns.items()]
        facets["schema"] = facet.SchemaDatasetFacet(fields=columns)
    if dataset.made_of:
        fields = {
            name: facet.Fields(
                inputFields=[facet.InputField(namespace=each.namespace, name=each.dataset, field=each.name) for each in sources]
            )
            for name, sources in dataset.made_of.items()
        }
        facets["columnLineage"] = facet.ColumnLineageDatasetFacet(fields=fields)
    return facets


def _statistics(facet: Any, dataset: Dataset) -> dict[str, Any]:
    if dataset.rows is None:
        return {}
    counts = {"rowCount": dataset.rows, "size": dataset.bytes, "fileCount": dataset.files}
    return {"outputStatistics": facet.OutputStatisticsOutputDatasetFacet(**counts)}


class TellsLineage:
    """For operators: what OpenLineage's provider looks for. They note what they do in :attr:`lineage`."""

    _lineage: Lineage | None = None

    log: logging.Logger
    inlets: Sequence[Any]

    @property
    def lineage(self) -> Lineage:
        if self._lineage is None:
            self._lineage = Lineage(self.log)
        return self._lineage

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What was read and written, with columns, of which fields they are made, and counts."""
        return self.lineage.facets(self.inlets)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """What was known by then: counts belong to what is written."""
        return self.lineage.facets(self.inlets)
