"""What all exports have in common. An operator of one kind of store adds only how its target is made."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_custobar.api.client import CustobarClient
from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import InvalidArgumentError, whole_number
from airflow_provider_custobar.api.query import ON_BAD_TIMESTAMP, OnBadTimestamp, Query, build_query
from airflow_provider_custobar.api.windows import Window
from airflow_provider_custobar.dag_run import check_period, names_given, period_arguments, refuse_lost_arguments
from airflow_provider_custobar.export.compression import (
    COMPRESSIONS,
    Codec,
    Compression,
    content_type_of,
    make_compressor,
    resolve_compression,
    resolve_inner_compression,
)
from airflow_provider_custobar.export.encoders import (
    COMPRESSED_WITHIN,
    CONTENT_TYPES,
    Encoder,
    FileFormat,
    make_encoder,
    page_format_for,
)
from airflow_provider_custobar.export.engine import ON_EMPTY, ExportResult, OnEmpty, Progress, run_export
from airflow_provider_custobar.export.targets import Target
from airflow_provider_custobar.hooks.custobar import CustobarHook
from airflow_provider_custobar.stopping import Stoppable

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

API_FORMATS = ("auto", "json", "csv")
_MOST_LOOKBACK_DAYS = 3_660


class CustobarExportOperator(Stoppable, BaseOperator):
    """
    Export one Custobar resource as one object, which appears whole at the end or not at all.

    Rows stream through memory page by page. The result goes to XCom: ``resource``, ``format``, ``uris``, ``rows``, ``bytes``
    (as stored), ``pages``, ``window``, ``windows`` (more than one with ``lookback``), ``event_types``, ``bad_timestamps``,
    ``resumed``. Names of objects may hold ``{date}`` (the window's first day), ``{window_start}``, ``{window_end}`` and
    ``{event_types}``.

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
        "custobar_conn_id",
    )
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
        )
        self.lookback = lookback
        self.on_bad_timestamp = on_bad_timestamp
        self.filters = filters
        self.fields = fields
        self.order = order
        self.page_size = page_size
        self.replace = replace
        self.on_empty = on_empty
        self.allow_unknown_names = allow_unknown_names
        self.custobar_conn_id = custobar_conn_id

    @abstractmethod
    def make_target(self, query: Query) -> Target:
        """The place of the object that holds what ``query`` asks for, made of this operator's rendered fields.

        :raises InvalidArgumentError: names the field, its value and what is accepted.
        """

    def execute(self, context: Context) -> dict[str, Any]:
        """Everything that can be refused is refused before the first request to Custobar."""
        config = CustobarHook(self.custobar_conn_id).get_config()
        query = self._query(config, context)
        queries = [replace(query, window=window) for window in self._windows(query)]
        targets = [self.make_target(query) for query in queries]
        _refuse_same_place(targets)
        jobs = [
            (query, target, *self._encoding(query, target, config.timezone))
            for query, target in zip(queries, targets, strict=True)
        ]
        for target in targets:
            target.check()
        last = queries[-1].window
        if last is not None and last.end > datetime.now(UTC):
            self.log.warning("The window %s is not over yet: what happens until its end will be missing", last)
        results = []
        with self.stoppable(), CustobarClient(config) as client:
            for query, target, encoder, compression in jobs:
                self.log.info("Exporting %s to %s", _described(query), target.uri)
                result = run_export(
                    client.pages(query),
                    encoder=encoder,
                    compressor=make_compressor(compression),
                    target=target,
                    content_type=content_type_of(compression) or CONTENT_TYPES[self.file_format],
                    on_empty=self.on_empty,
                    progress=Progress(query.resource.name, self.log),
                )
                results.append((query, result))
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

    def _encoding(self, query: Query, target: Target, timezone: str) -> tuple[Encoder[Any], Codec]:
        is_within = self.file_format in COMPRESSED_WITHIN
        codec = (resolve_inner_compression if is_within else resolve_compression)(self.compression, target.uri)
        encoder = make_encoder(
            self.file_format, query.api_format, query.columns, resource=query.resource, timezone=timezone, codec=codec
        )
        return encoder, None if is_within else codec

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
            "resumed": False,
        }


def _interval(start: datetime, end: datetime) -> dict[str, Any]:
    return {"start": start.isoformat(), "end": end.isoformat()}


def _refuse_same_place(targets: Sequence[Target]) -> None:
    uris = [target.uri for target in targets]
    if len(set(uris)) < len(uris):
        raise InvalidArgumentError("lookback", len(uris) - 1, f"every day would go to {uris[0]}: put {{date}} into its name")


def _one_of(argument: str, value: object, accepted: Sequence[object]) -> None:
    if value not in accepted:
        raise InvalidArgumentError(argument, value, f"give one of {', '.join(map(str, accepted))}")


def _described(query: Query) -> str:
    types = f" of type {', '.join(query.event_types)}" if query.event_types else ""
    period = f" in {query.window}" if query.window else ""
    return f"{query.resource.name}{types}{period}"
