"""What all exports have in common. An operator of one kind of store adds only how its target is made."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_custobar import __version__
from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import Fate, InvalidArgumentError, fate_of, whole_number
from airflow_provider_custobar.api.log_lines import in_lines
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.api.resources import ApiFormat, WindowFilter
from airflow_provider_custobar.export.compression import (
    COMPRESSIONS,
    Codec,
    Compression,
    content_type_of,
    resolve_compression,
    resolve_inner_compression,
)
from airflow_provider_custobar.export.cutting import Limits
from airflow_provider_custobar.export.encoders import (
    COMPRESSED_WITHIN,
    CONTENT_TYPES,
    FileFormat,
    make_encoder,
    page_format_for,
)
from airflow_provider_custobar.export.engine import ExportRun
from airflow_provider_custobar.export.file_set import PART, Files, FileSet
from airflow_provider_custobar.export.job import Export
from airflow_provider_custobar.export.manifest import manifest_of
from airflow_provider_custobar.export.results import ExportResult
from airflow_provider_custobar.hooks.custobar import CustobarHook
from airflow_provider_custobar.stream.envelope import fingerprint_of
from airflow_provider_custobar.stream.pipeline import Turns
from airflow_provider_custobar.stream.progress_log import ProgressLog
from airflow_provider_custobar.task.attempt import TaskAttempt
from airflow_provider_custobar.task.lineage import custobar_dataset, files_to_write, written_files
from airflow_provider_custobar.task.names import OF_WINDOW, doubts, fill_in
from airflow_provider_custobar.task.query_operator import CustobarQueryOperator, described, interval, one_of
from airflow_provider_custobar.task.run_period import window_of_run

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_custobar.api.client import CustobarClient


class CustobarExportOperator(CustobarQueryOperator):
    """
    Export one Custobar resource as one object, or a numbered set of them, which appears whole at the end or not at all.

    Rows stream through memory page by page. The result goes to XCom: ``resource``, ``format``, ``uris``, ``rows``, ``bytes``
    (as stored), ``pages``, ``window``, ``window_complete`` (False where it was not over yet), ``windows`` (more than one with
    ``lookback``), ``event_types``, ``manifest`` (its URI, or None; with ``lookback`` that of the last window which has one),
    ``bad_timestamps``, ``resumed``, and for S3 and GCS ``bucket`` and ``objects``, which are names without the bucket. Each is
    there by itself as well, for the next task: ``export.output["objects"]``. Names of objects may hold ``{date}`` (the window's
    first day), ``{window_start}``, ``{window_end}``, ``{event_types}`` and ``{part}`` (the object's number, from ``00000``).
    Customers and products have no window: theirs is the period that the run stands for.

    With Airflow 3.3 an attempt that fails or dies is taken up by the next one where it stopped, at the cost of the pages that
    were in memory: those of one part of 8 MiB on S3 and GCS, two on this machine. A Parquet file begins again, and so does any
    in another place that ``CustobarToObjectStorageOperator`` writes to.

    Takes the arguments of :class:`~airflow_provider_custobar.task.query_operator.CustobarQueryOperator`, and:

    :param file_format: ``csv`` (the API's own rows under one header), ``json`` (one array), ``jsonl`` (a record a line)
        or ``parquet`` (columns of the types that Custobar documents, the same every day; fields that it does not document go
        to the column ``_extra`` as JSON, unless ``fields`` names them, which makes them texts).
    :param api_format: Which pages to ask the API for: ``json``, ``csv`` (ten times as many records a request) or ``auto``,
        which takes CSV pages for ``csv``, and for ``parquet`` where ``fields`` names documented fields without lists, and JSON
        pages for the rest.
    :param compression: ``gzip``, ``zstd``, None, or ``infer`` from the name's ending. For ``parquet`` it is that of the columns
        within the file, and ``infer`` means ``zstd``.
    :param lookback: Each day goes to its own object, so the name needs ``{date}``. (templated)
    :param fields: Name them for CSV, which otherwise has a column for every field that Custobar knows. (templated)
    :param replace: **An object of the same name is replaced**, unless this is False: then it fails the task before the first
        request.
    :param max_rows_per_file: Rows after which another object is begun; needs ``{part}`` in the name. (templated)
    :param max_bytes_per_file: Begin another object before its rows, as the API sent them and before any compression, would be
        more bytes than this; needs ``{part}`` in the name. (templated)
    :param manifest: Name of an object to write after all others, in the same store: JSON that tells of the files, their rows
        and bytes, the window, the schema, and how BigQuery, Snowflake and Redshift load the files. (templated)
    """

    common_template_fields: ClassVar[tuple[str, ...]] = (
        *CustobarQueryOperator.query_template_fields,
        "max_rows_per_file",
        "max_bytes_per_file",
        "manifest",
    )
    #: The argument that names the object.
    name_argument: ClassVar[str]
    #: Airflow's Rendered Templates then shows names as they turned out, not with their placeholders.
    overwrite_rtif_after_execution = True
    template_fields: Sequence[str] = common_template_fields

    def __init__(
        self,
        *,
        file_format: FileFormat = "csv",
        api_format: Literal["auto", "json", "csv"] = "auto",
        compression: Compression = "infer",
        replace: bool = True,
        max_rows_per_file: int | str | None = None,
        max_bytes_per_file: int | str | None = None,
        manifest: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(api_format=api_format, **kwargs)
        one_of("file_format", file_format, tuple(CONTENT_TYPES))
        one_of("compression", compression, COMPRESSIONS)
        page_format_for(file_format, api_format)
        self.file_format = file_format
        self.compression = compression
        self.replace = replace
        self.max_rows_per_file = max_rows_per_file
        self.max_bytes_per_file = max_bytes_per_file
        self.manifest = manifest

    @abstractmethod
    def check_name(self, argument: str, value: object) -> str:
        """An object's name, as rendered.

        :raises InvalidArgumentError: no name in this kind of store.
        """

    @abstractmethod
    def make_store(self) -> Files:
        """Where the objects go, made of this operator's rendered fields.

        :raises InvalidArgumentError: names the field, its value and what is accepted.
        """

    @property
    def bucket(self) -> str | None:
        """The bucket that the objects go to, where the store has such a thing."""
        return None

    def metadata_of(self, query: Query) -> dict[str, str]:
        """What goes along with an object, where its store has such a thing."""
        window = query.window
        period = interval(window.start, window.end) if window else {}
        return {"custobar-resource": query.resource.name} | {f"custobar-window-{name}": at for name, at in period.items()}

    def execute(self, context: Context) -> dict[str, Any]:
        """Everything that can be refused is refused before the first request to Custobar."""
        with self.executing():
            return self._export_all(context)

    def _export_all(self, context: Context) -> dict[str, Any]:
        # Only here: who parses DAGs has no use for them.
        from airflow_provider_custobar.task.export_document import document_of  # noqa: PLC0415
        from airflow_provider_custobar.task.outlets import OutletEvents  # noqa: PLC0415

        hook = CustobarHook(self.custobar_conn_id)
        config = hook.get_config()
        query = self.make_query(config, context)
        source = partial(custobar_dataset, config.base_url, query.resource.name, fields=query.columns)
        self.lineage.note(inputs=lambda: [source()])
        is_complete = self.window_is_complete(query.window)
        store = self.make_store()
        queries = [replace(query, window=window) for window in (*self.days_before(query), query.window)]
        if len(queries) == 1:
            self._fill_in_names(query, context, config.timezone)
        attempt = TaskAttempt(context)
        outlets = OutletEvents(self, context, [each.window for each in queries])
        with CustobarHook.client_of(config) as client:
            exports = [
                outlets.watched(self._export(number, each, store, client, attempt), each) for number, each in enumerate(queries)
            ]
            _refuse_same_place(exports)
            self.lineage.note(outputs=lambda: files_to_write(exports))
            results = self._run_each(exports, queries, attempt)
        written = [(export, result) for export, result in zip(exports, results, strict=True) if result.files]
        self.lineage.note(outputs=lambda: written_files(source(), written))
        self.lineage.tell(hook)
        document = document_of(
            list(zip(queries, results, strict=True)), self.file_format, bucket=self.bucket, is_complete=is_complete
        )
        outlets.tell(document)
        return document

    def _run_each(self, exports: Sequence[Export], queries: Sequence[Query], attempt: TaskAttempt) -> list[ExportResult]:
        """One export after the other, once it is known of all that they can be. What no attempt will go on from is removed."""
        runs = [ExportRun(export) for export in exports]
        results = []
        try:
            for run in runs:
                run.prepare()
            for query, export, run in zip(queries, exports, runs, strict=True):
                self.log.info("%s", in_lines(f"Exporting {query.resource.name} to {export.files.uri}{described(query)}"))
                results.append(run.run())
        except BaseException as error:
            is_marked = isinstance(error, SystemExit) and attempt.was_marked
            if is_marked or not attempt.will_follow or fate_of(error) is Fate.FINAL:
                for run in runs:
                    run.give_up()
                attempt.forget()
            raise
        attempt.forget()
        return results

    def _fill_in_names(self, query: Query, context: Context, timezone: str) -> None:
        """Now, so that Airflow shows them as they are. What has no window is named by the period that the run stands for."""
        for argument in (self.name_argument, "manifest"):
            name = getattr(self, argument)
            if not isinstance(name, str):
                continue
            if query.resource.window_filter is WindowFilter.NONE and any(placeholder in name for placeholder in OF_WINDOW):
                named = replace(query, window=window_of_run(context, timezone))
            else:
                named = query
            filled = fill_in(name, argument, named)
            written = self.file_format if argument == self.name_argument else "json"
            for doubt in doubts(name, query.window, written, replace=self.replace):
                self.log.warning("%s", in_lines(f"{argument}={name!r} has {doubt}"))
            setattr(self, argument, filled)

    def page_format(self, draft: Query) -> ApiFormat:
        return page_format_for(self.file_format, self.api_format, draft.resource, draft.columns)

    def _limits(self) -> Limits:
        limits: dict[str, int] = {}
        for argument, limit in (("max_rows_per_file", "max_rows"), ("max_bytes_per_file", "max_bytes")):
            value = getattr(self, argument)
            if value is not None:
                limits[limit] = whole_number(argument, value, least=1)
                if PART not in str(getattr(self, self.name_argument)):
                    raise InvalidArgumentError(
                        argument, value, f"it makes many files, so {self.name_argument} needs {PART}, the number of the file"
                    )
        if self.manifest is not None and PART in str(self.manifest):
            raise InvalidArgumentError("manifest", self.manifest, f"there is one of all files: leave {PART} out of its name")
        return Limits(**limits)

    def _export(
        self,
        number: int,
        query: Query,
        store: Files,
        client: CustobarClient,
        attempt: TaskAttempt,
    ) -> Export:
        def named(argument: str) -> str:
            return fill_in(self.check_name(argument, getattr(self, argument)), argument, query)

        files = FileSet(named(self.name_argument), store, replace=self.replace)
        manifest = None if self.manifest is None else named("manifest")
        if manifest is not None and files.holds(manifest):
            raise InvalidArgumentError("manifest", self.manifest, f"it needs a name of its own, not {self.name_argument}'s")
        is_within = self.file_format in COMPRESSED_WITHIN
        codec = (resolve_inner_compression if is_within else resolve_compression)(self.compression, files.uri)
        make = partial(
            make_encoder,
            self.file_format,
            query.api_format,
            query.columns,
            resource=query.resource,
            timezone=client.config.timezone,
            codec=codec,
        )
        # Now, and not at the first page, it turns out what cannot be.
        make()
        outer: Codec = None if is_within else codec

        def pages(after: Position | None, turns: Turns) -> Iterator[Page]:
            return client.pages(query, after=after, turns=turns)

        return Export(
            pages=pages,
            make_encoder=make,
            files=files,
            content_type=content_type_of(outer) or CONTENT_TYPES[self.file_format],
            codec=outer,
            limits=self._limits(),
            metadata=self.metadata_of(query),
            on_empty=self.on_empty,
            object_id=attempt.object_id(files.uri),
            may_have_debris=attempt.is_later,
            checkpoints=attempt.checkpoints(
                number, self._fingerprint(query, client.config, files, outer), replace=self.replace
            ),
            will_follow=attempt.will_follow,
            manifest=None if manifest is None else store.target(manifest),
            find_manifest=lambda: None if manifest is None else store.look(manifest),
            describe=partial(manifest_of, query, self.file_format, codec, make),
            progress_log=ProgressLog(query.resource.name, self.log, pacer=client.pacer),
            log=self.log,
        )

    def _fingerprint(self, query: Query, config: ClientConfig, files: FileSet, codec: Codec) -> str:
        """Changes with anything that changes the bytes, or where they go."""
        return fingerprint_of(
            [
                __version__,
                config.base_url,
                config.timezone,
                [chain.path(query.resource) for chain in query.chains()],
                query.columns,
                str(query.window),
                query.checks_timestamps,
                query.on_bad_timestamp,
                [self.file_format, query.api_format, self.compression, codec],
                [files.uri, self.replace, self.on_empty],
                {name: getattr(self, name) for name in self.template_fields},
            ]
        )


def _refuse_same_place(exports: Sequence[Export]) -> None:
    for targets in ([export.files.uri for export in exports], [export.manifest.uri for export in exports if export.manifest]):
        if len(set(targets)) < len(targets):
            raise InvalidArgumentError(
                "lookback", len(targets) - 1, f"every day would go to {targets[0]}: put {{date}} into its name"
            )
