"""What all exports have in common. An operator of one kind of store adds only how its target is made."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_custobar import __version__
from airflow_provider_custobar.api.client import CustobarClient
from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import InvalidArgumentError, whole_number
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.api.query import ON_BAD_TIMESTAMP, OnBadTimestamp, Query, build_query
from airflow_provider_custobar.api.windows import Window
from airflow_provider_custobar.dag_run import check_period, names_given, period_arguments, refuse_lost_arguments
from airflow_provider_custobar.export.checkpoints import fingerprint_of
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
from airflow_provider_custobar.export.file_set import PART, Container, FileSet
from airflow_provider_custobar.export.job import ON_EMPTY, Export, OnEmpty
from airflow_provider_custobar.export.manifest import manifest_of
from airflow_provider_custobar.export.pipeline import Turns
from airflow_provider_custobar.export.results import ExportResult, Progress
from airflow_provider_custobar.hooks.custobar import CustobarHook
from airflow_provider_custobar.stopping import Stoppable
from airflow_provider_custobar.transfers.attempt import TaskAttempt
from airflow_provider_custobar.transfers.names import fill_in

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

API_FORMATS = ("auto", "json", "csv")
_MOST_LOOKBACK_DAYS = 3_660


class CustobarExportOperator(Stoppable, BaseOperator):
    """
    Export one Custobar resource as one object, or a numbered set of them, which appears whole at the end or not at all.

    Rows stream through memory page by page. The result goes to XCom: ``resource``, ``format``, ``uris``, ``rows``, ``bytes``
    (as stored), ``pages``, ``window``, ``windows`` (more than one with ``lookback``), ``event_types``, ``bad_timestamps``,
    ``resumed``. Names of objects may hold ``{date}`` (the window's first day), ``{window_start}``, ``{window_end}``,
    ``{event_types}`` and ``{part}`` (the number of the object, from ``00000``).

    With Airflow 3.3 an attempt that fails or dies is taken up by the next one where it stopped, at the cost of two pages at
    most; a Parquet file begins again.

    :param resource: ``customers``, ``events``, ``sales`` or ``products``. (templated)
    :param file_format: ``csv`` (the API's own rows under one header), ``json`` (one array), ``jsonl`` (a record a line)
        or ``parquet`` (columns of the types that Custobar documents, the same every day; fields that it does not document go
        to the column ``_extra`` as JSON, unless ``fields`` names them, which makes them texts).
    :param api_format: Which pages to ask the API for: ``json``, ``csv`` (ten times as many records a request) or ``auto``,
        which takes CSV pages for ``csv``, and for ``parquet`` where ``fields`` names documented fields without lists, and JSON
        pages for the rest.
    :param compression: ``gzip``, ``zstd``, None, or ``infer`` from the name's ending. For ``parquet`` it is that of the columns
        within the file, and ``infer`` means ``zstd``.
    :param event_types: Types of events; needed for events, and for them only. (templated)
    :param date: One day of the tenant's time zone, such as ``{{ ds }}``; events and sales only. (templated)
    :param window_start: Start of the period, included, in place of ``date``. (templated)
    :param window_end: End of the period, not included. (templated)
    :param window: ``auto`` in place of all of these: the period that the DAG run stands for, whatever its schedule; see
        :func:`~airflow_provider_custobar.dag_run.run_period`. The log tells what was picked, and why.
    :param lookback: Export that many days before ``date`` again, each to its own object, for records that Custobar got late.
        Needs ``{date}`` in the object's name. (templated)
    :param on_bad_timestamp: What to do with a record that cannot be placed in the window, since it has no readable timestamp:
        ``fail``, ``keep`` it or ``drop`` it. ``bad_timestamps`` in the result counts them.
    :param filters: Custobar's filters by name, such as ``{"country": "FI"}``. (templated)
    :param fields: Names of the fields to export; all by default. Name them for CSV, which otherwise has a column for every
        field that Custobar knows. (templated)
    :param order: Names of the fields to sort by, with ``-`` for descending. (templated)
    :param page_size: Records a request; the API's maximum by default (10,000 JSON, 100,000 CSV). (templated)
    :param replace: Replace an object of the same name. If False, such an object fails the task before the first request.
    :param on_empty: What to do where there are no rows: ``write`` an object without any, ``skip`` writing, or ``fail``.
    :param max_rows_per_file: Rows after which another object is begun; needs ``{part}`` in the name. (templated)
    :param max_bytes_per_file: Begin another object before its rows, as the API sent them and before any compression, would be
        more bytes than this; needs ``{part}`` in the name. (templated)
    :param manifest: Name of an object to write after all others, in the same store: JSON that tells of the files, their rows
        and bytes, the window and the schema. (templated)
    :param allow_unknown_names: Let filters, fields and event types through that Custobar's documentation does not list.
    :param custobar_conn_id: The Custobar connection id. (templated)
    """

    common_template_fields: ClassVar[tuple[str, ...]] = (
        "resource",
        "event_types",
        "date",
        "window_start",
        "window_end",
        "lookback",
        "filters",
        "fields",
        "order",
        "page_size",
        "max_rows_per_file",
        "max_bytes_per_file",
        "manifest",
        "custobar_conn_id",
    )
    #: The argument that names the object.
    name_argument: ClassVar[str]
    template_fields: Sequence[str] = common_template_fields
    template_fields_renderers: ClassVar[dict[str, str]] = {"filters": "json"}
    ui_color = "#d6eaf8"

    def __init__(
        self,
        *,
        resource: str,
        file_format: FileFormat = "csv",
        api_format: Literal["auto", "json", "csv"] = "auto",
        compression: Compression = "infer",
        event_types: str | Sequence[str] | None = None,
        date: Any = None,
        window_start: Any = None,
        window_end: Any = None,
        window: Literal["auto"] | None = None,
        lookback: int | str = 0,
        on_bad_timestamp: OnBadTimestamp = "fail",
        filters: Mapping[str, Any] | None = None,
        fields: str | Sequence[str] | None = None,
        order: str | Sequence[str] | None = None,
        page_size: int | str | None = None,
        replace: bool = True,
        on_empty: OnEmpty = "write",
        max_rows_per_file: int | str | None = None,
        max_bytes_per_file: int | str | None = None,
        manifest: str | None = None,
        allow_unknown_names: bool = False,
        custobar_conn_id: str = CustobarHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _one_of("file_format", file_format, tuple(CONTENT_TYPES))
        _one_of("api_format", api_format, API_FORMATS)
        _one_of("compression", compression, COMPRESSIONS)
        _one_of("on_empty", on_empty, ON_EMPTY)
        _one_of("on_bad_timestamp", on_bad_timestamp, ON_BAD_TIMESTAMP)
        page_format_for(file_format, api_format)
        self.resource = resource
        self.file_format = file_format
        self.api_format = api_format
        self.compression = compression
        self.event_types = event_types
        self.date = date
        self.window_start = window_start
        self.window_end = window_end
        self.window = window
        check_period(date, window_start, window_end, window)
        self.given = names_given(
            date=date,
            window_start=window_start,
            window_end=window_end,
            event_types=event_types,
            filters=filters,
            fields=fields,
            order=order,
            page_size=page_size,
            max_rows_per_file=max_rows_per_file,
            max_bytes_per_file=max_bytes_per_file,
            manifest=manifest,
        )
        self.lookback = lookback
        self.on_bad_timestamp = on_bad_timestamp
        self.filters = filters
        self.fields = fields
        self.order = order
        self.page_size = page_size
        self.replace = replace
        self.on_empty = on_empty
        self.max_rows_per_file = max_rows_per_file
        self.max_bytes_per_file = max_bytes_per_file
        self.manifest = manifest
        self.allow_unknown_names = allow_unknown_names
        self.custobar_conn_id = custobar_conn_id

    @abstractmethod
    def check_name(self, argument: str, value: object) -> str:
        """An object's name, as rendered.

        :raises InvalidArgumentError: no name in this kind of store.
        """

    @abstractmethod
    def make_container(self) -> Container:
        """Where the objects go, made of this operator's rendered fields.

        :raises InvalidArgumentError: names the field, its value and what is accepted.
        """

    def metadata_of(self, query: Query) -> dict[str, str]:
        """What goes along with an object, where its store has such a thing."""
        window = query.window
        period = _interval(window.start, window.end) if window else {}
        return {"custobar-resource": query.resource.name} | {f"custobar-window-{name}": at for name, at in period.items()}

    def execute(self, context: Context) -> dict[str, Any]:
        """Everything that can be refused is refused before the first request to Custobar."""
        config = CustobarHook(self.custobar_conn_id).get_config()
        query = self._query(config, context)
        container = self.make_container()
        queries = [replace(query, window=window) for window in self._windows(query)]
        attempt = TaskAttempt(context)
        with self.stoppable(), CustobarClient(config) as client:
            exports = [self._export(number, each, container, client, attempt) for number, each in enumerate(queries)]
            _refuse_same_place(exports)
            runs = [ExportRun(export) for export in exports]
            for run in runs:
                run.prepare()
            last = queries[-1].window
            if last is not None and last.end > datetime.now(UTC):
                self.log.warning("The window %s is not over yet: what happens until its end will be missing", last)
            results = []
            try:
                for each, export, run in zip(queries, exports, runs, strict=True):
                    self.log.info("Exporting %s to %s", _described(each), export.files.uri)
                    results.append((each, run.run()))
            except BaseException:
                if not attempt.will_follow:
                    attempt.forget()
                raise
            attempt.forget()
        return self._document(results)

    def _query(self, config: ClientConfig, context: Context) -> Query:
        refuse_lost_arguments(self)
        period = period_arguments(self, context, config.timezone)
        build = partial(
            build_query,
            self.resource,
            filters=self.filters,
            fields=self.fields,
            order=self.order,
            event_types=self.event_types,
            **period,
            on_bad_timestamp=self.on_bad_timestamp,
            allow_unknown_names=self.allow_unknown_names,
            timezone=config.timezone,
            trust_day_filter=config.trust_day_filter,
        )
        # Which pages to ask for may depend on the fields, which are known once they are checked.
        draft = build()
        api_format = page_format_for(self.file_format, self.api_format, draft.resource, draft.columns)
        return build(page_size=self.page_size, api_format=api_format)

    def _windows(self, query: Query) -> list[Window | None]:
        days = whole_number("lookback", self.lookback, least=0, most=_MOST_LOOKBACK_DAYS)
        window = query.window
        if not days:
            return [window]
        if window is None or not window.is_whole_days or len(window.days) != 1:
            raise InvalidArgumentError(
                "lookback", self.lookback, f"it goes with a window of one day of the tenant's, not with {window or 'none'}"
            )
        return [*window.days_before(days), window]

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
        container: Container,
        client: CustobarClient,
        attempt: TaskAttempt,
    ) -> Export:
        def named(argument: str) -> str:
            return fill_in(self.check_name(argument, getattr(self, argument)), argument, query)

        files = FileSet(named(self.name_argument), container, replace=self.replace)
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
            mark=attempt.mark(files.uri),
            may_have_debris=attempt.is_later,
            checkpoints=attempt.checkpoints(number, self._fingerprint(query, client.config, files, outer)),
            will_follow=attempt.will_follow,
            manifest=None if manifest is None else container.target(manifest),
            describe=partial(manifest_of, query, self.file_format, codec, make),
            progress=Progress(query.resource.name, self.log),
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

    def _document(self, results: Sequence[tuple[Query, ExportResult]]) -> dict[str, Any]:
        query = results[-1][0]
        windows = [(each.window, result) for each, result in results if each.window is not None]
        return {
            "resource": query.resource.name,
            "format": self.file_format,
            "uris": [uri for _, result in results for uri in result.uris],
            "rows": sum(result.rows for _, result in results),
            "bytes": sum(result.bytes for _, result in results),
            "pages": sum(result.pages for _, result in results),
            "window": _interval(windows[0][0].start, windows[-1][0].end) if windows else None,
            "windows": [
                _interval(window.start, window.end) | {"rows": result.rows, "uris": list(result.uris)}
                for window, result in windows
            ],
            "event_types": list(query.event_types),
            "bad_timestamps": sum(result.unplaced for _, result in results),
            "resumed": any(result.resumed for _, result in results),
        }


def _interval(start: datetime, end: datetime) -> dict[str, Any]:
    return {"start": start.isoformat(), "end": end.isoformat()}


def _refuse_same_place(exports: Sequence[Export]) -> None:
    for targets in ([export.files.uri for export in exports], [export.manifest.uri for export in exports if export.manifest]):
        if len(set(targets)) < len(targets):
            raise InvalidArgumentError(
                "lookback", len(targets) - 1, f"every day would go to {targets[0]}: put {{date}} into its name"
            )


def _one_of(argument: str, value: object, accepted: Sequence[object]) -> None:
    if value not in accepted:
        raise InvalidArgumentError(argument, value, f"give one of {', '.join(map(str, accepted))}")


def _described(query: Query) -> str:
    types = f" of type {', '.join(query.event_types)}" if query.event_types else ""
    period = f" in {query.window}" if query.window else ""
    return f"{query.resource.name}{types}{period}"
