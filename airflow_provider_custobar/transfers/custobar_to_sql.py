"""Custobar to a table of an SQL database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_custobar import __version__
from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import InvalidArgumentError, MissingExtraError
from airflow_provider_custobar.api.log_lines import in_lines
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.api.resources import ApiFormat
from airflow_provider_custobar.api.windows import Window
from airflow_provider_custobar.export.encoders import page_format_for
from airflow_provider_custobar.hooks.custobar import CustobarHook
from airflow_provider_custobar.load.commit_log import CommitLog
from airflow_provider_custobar.load.job import MODES, SCHEMA_CHANGES, Load, LoadResult, Mode, SchemaChange
from airflow_provider_custobar.load.names import check_identifier, split_table, staging_names
from airflow_provider_custobar.stream.envelope import fingerprint_of
from airflow_provider_custobar.stream.pipeline import Turns
from airflow_provider_custobar.stream.progress_log import ProgressLog
from airflow_provider_custobar.task.attempt import TaskAttempt
from airflow_provider_custobar.task.database import engine_of, find_hook, names_of, uri_of
from airflow_provider_custobar.task.lineage import Dataset, custobar_dataset
from airflow_provider_custobar.task.query_operator import CustobarQueryOperator, described, interval, one_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_custobar.api.client import CustobarClient


class CustobarToSqlOperator(CustobarQueryOperator):
    """
    Load one Custobar resource into a table of an SQL database; everybody sees the table as it was until all rows are in.

    Rows are collected in a staging table, and one transaction changes the table. The table is made if it is missing: money is
    whole hundredths, moments are aware (UTC where the database knows no offsets), lists and objects are JSON. Where the table
    is there, its own types count, and columns that Custobar has no fields for keep their defaults.

    The result goes to XCom: ``resource``, ``format``, ``uris``, ``table``, ``mode``, ``rows``, ``inserted``, ``updated``,
    ``deleted``, ``bytes`` (what the API sent), ``pages``, ``window``, ``window_complete``, ``event_types``, ``bad_timestamps``,
    ``created``, ``new_columns``, ``resumed``; each by itself as well, for ``load.output["rows"]``.

    On PostgreSQL rows are copied, and an attempt that fails or dies is taken up by the next one. Elsewhere the staging table is
    a temporary one, and the next attempt starts over. Needs the extra ``sql``.

    Takes the arguments of :class:`~airflow_provider_custobar.task.query_operator.CustobarQueryOperator`, and:

    :param conn_id: The connection id of the database, of any type whose hook is one of common-sql's. (templated)
    :param table: The table, as ``table`` or ``schema.table``. (templated)
    :param schema: The table's schema; ``table`` is then taken as it is, dots and all. (templated)
    :param mode: ``replace_window``: delete what the table holds of the window (for events: of these types) and insert, so that
        a run may be repeated; the default where there is a window. ``upsert``: change rows that have the same key and insert
        the others; the default for customers and products. ``replace``: all rows of the table. ``append``.
    :param key_columns: The columns that tell rows apart for ``upsert``; the one for ``external_id`` by default. (templated)
    :param column_mapping: Names of columns by names of fields, such as ``{"date": "happened_at"}``; others stay. (templated)
    :param schema_change: What to do with a field that the table has no column for, once it has a value: ``fail``, ``add`` a
        column, ``ignore`` the field, or ``extra_column``, which collects such fields in the column ``_extra`` as JSON.
    :param lookback: The window begins that many days earlier. (templated)
    :param staging_schema: Where the staging table is made on PostgreSQL; the table's schema by default. (templated)
    :param database: The database, in place of the one that the connection names. (templated)
    :param hook_params: Further arguments for the database's hook; what is not here is taken from the connection's extra.
        (templated)
    """

    template_fields: Sequence[str] = (
        *CustobarQueryOperator.query_template_fields,
        "conn_id",
        "table",
        "schema",
        "key_columns",
        "column_mapping",
        "staging_schema",
        "database",
        "hook_params",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **CustobarQueryOperator.template_fields_renderers,
        "column_mapping": "json",
        "hook_params": "json",
    }

    def __init__(
        self,
        *,
        conn_id: str,
        table: str,
        schema: str | None = None,
        mode: Mode | None = None,
        key_columns: str | Sequence[str] | None = None,
        column_mapping: Mapping[str, str] | None = None,
        schema_change: SchemaChange = "fail",
        staging_schema: str | None = None,
        database: str | None = None,
        hook_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        one_of("mode", mode, (None, *MODES))
        one_of("schema_change", schema_change, SCHEMA_CHANGES)
        self.conn_id = conn_id
        self.table = table
        self.schema = schema
        self.mode = mode
        self.key_columns = key_columns
        self.column_mapping = column_mapping
        self.schema_change = schema_change
        self.staging_schema = staging_schema
        self.database = database
        self.hook_params = hook_params

    def page_format(self, draft: Query) -> ApiFormat:
        if self.schema_change == "extra_column":
            if self.api_format == "csv":
                raise InvalidArgumentError(
                    "api_format", "csv", "extra_column collects members of JSON records: give auto or json"
                )
            return "json"
        return page_format_for("parquet", self.api_format, draft.resource, draft.columns)

    def execute(self, context: Context) -> dict[str, Any]:
        """Everything that can be refused is refused before the first request to Custobar."""
        with self.executing():
            return self._load_all(context)

    def _load_all(self, context: Context) -> dict[str, Any]:
        try:
            # Only here: both take a while, and pyarrow is an extra.
            from airflow_provider_custobar.load.run import LoadRun  # noqa: PLC0415
            from airflow_provider_custobar.task.outlets import OutletEvents  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtraError(
                "CustobarToSqlOperator needs the pyarrow package: pip install 'airflow-provider-custobar[sql]'"
            ) from error
        custobar_hook = CustobarHook(self.custobar_conn_id)
        config = custobar_hook.get_config()
        asked = self.make_query(config, context)
        query = self._window_of(asked)
        outlets = OutletEvents(self, context, [*self.days_before(asked), asked.window])
        mode = self._mode(query)
        self.lineage.note(inputs=lambda: [custobar_dataset(config.base_url, query.resource.name, fields=query.columns)])
        is_complete = self.window_is_complete(query.window)
        hook = find_hook(self.conn_id, self.hook_params, self.database)
        attempt = TaskAttempt(context)
        engine = engine_of(hook)
        try:
            with CustobarHook.client_of(config) as client, engine.connect() as connection:
                load = outlets.watched(self._load(query, mode, client, attempt, connection.dialect), query)
                schema = load.schema or connection.dialect.default_schema_name
                uri = uri_of(hook, schema, load.table)
                self.lineage.note(outputs=lambda: [names_of(hook).table(schema, load.table)])
                run = LoadRun(load, connection)
                run.prepare()
                self.log.info("%s", in_lines(f"Loading {query.resource.name} into {uri} ({mode}){described(query)}"))
                result = run.run(ProgressLog(query.resource.name, self.log, pacer=client.pacer), uri)
                self.lineage.note(outputs=lambda: self._filled(load, result, run.column_types()))
        finally:
            engine.dispose()
        self.lineage.tell(custobar_hook)
        document = self._document(query, load, result, uri, is_complete)
        outlets.tell(document)
        return document

    def _filled(self, load: Load, result: LoadResult, types: Mapping[str, str]) -> list[Dataset]:
        """The table, with its columns, of which fields they are made, and counts."""
        from airflow_provider_custobar.columns.arrow_columns import EXTRA  # noqa: PLC0415 - as in _load_all

        if not result.rows and load.on_empty == "skip":
            return []
        (source,), (table,) = self.lineage.inputs, self.lineage.outputs
        # Databases fold the case of names, each in its way.
        fields = {load.column_mapping.get(name, name).casefold(): name for name in (*source.columns, *load.column_mapping)}
        return [
            replace(
                table,
                columns={name: types.get(name) for name in result.columns},
                made_of={name: [source.field(fields.get(name.casefold(), name))] for name in result.columns if name != EXTRA},
                rows=result.inserted + result.updated,
            )
        ]

    def _window_of(self, query: Query) -> Query:
        earlier = self.days_before(query)
        window = query.window
        if not earlier or window is None:
            return query
        return replace(query, window=Window(earlier[0].start, window.end, window.timezone))

    def _mode(self, query: Query) -> Mode:
        if self.mode == "replace_window" and query.window is None:
            raise InvalidArgumentError("mode", self.mode, "it needs a window: date, window_start and window_end, or window")
        if self.mode is None and query.window is None and query.resource.key is None:
            accepted = f"{query.resource.name} without a window have nothing to be told apart by: give replace or append"
            raise InvalidArgumentError("mode", None, accepted)
        mode: Mode = self.mode or ("upsert" if query.window is None else "replace_window")
        if mode == "replace_window" and self.on_bad_timestamp == "keep":
            raise InvalidArgumentError(
                "on_bad_timestamp", "keep", "a record without a timestamp is in no window that could be replaced: drop or fail"
            )
        return mode

    def _keys(self, query: Query, mode: Mode, mapping: Mapping[str, str]) -> tuple[str, ...]:
        given = [self.key_columns] if isinstance(self.key_columns, str) else self.key_columns
        if given is not None and (not given or not all(isinstance(key, str) and key for key in given)):
            raise InvalidArgumentError("key_columns", self.key_columns, "give the names of columns")
        if mode != "upsert":
            return tuple(given or ())
        if given is None and query.resource.key is None:
            accepted = f"nothing identifies {query.resource.name} by itself: name the columns that do"
            raise InvalidArgumentError("key_columns", None, accepted)
        return tuple(given or [mapping.get(str(query.resource.key), str(query.resource.key))])

    def _load(self, query: Query, mode: Mode, client: CustobarClient, attempt: TaskAttempt, dialect: Any) -> Load:
        schema, table = split_table(self.table, self.schema, dialect)
        mapping = self.column_mapping or {}
        if not isinstance(mapping, Mapping) or not all(
            isinstance(part, str) and part for pair in mapping.items() for part in pair
        ):
            raise InvalidArgumentError("column_mapping", mapping, 'give columns by fields, such as {"date": "happened_at"}')
        for column in mapping.values():
            check_identifier("column_mapping", column, dialect)
        if self.staging_schema is not None:
            check_identifier("staging_schema", self.staging_schema, dialect)
        task, run = attempt.owner
        staging, siblings = staging_names((task, self.conn_id, schema, table), run)
        request = self._request(query, client.config, mode)

        def pages(after: Position | None, turns: Turns) -> Iterator[Page]:
            return client.pages(query, after=after, turns=turns)

        return Load(
            pages=pages,
            query=query,
            timezone=client.config.timezone,
            table=table,
            schema=schema,
            mode=mode,
            keys=self._keys(query, mode, mapping),
            keys_are_given=self.key_columns is not None,
            column_mapping=mapping,
            schema_change=self.schema_change,
            on_empty=self.on_empty,
            staging=staging,
            siblings=siblings,
            staging_schema=self.staging_schema,
            # Another version may make other rows of the pages to come.
            fingerprint=fingerprint_of([__version__, request]),
            will_follow=attempt.will_follow,
            # What is committed stays so, whichever version comes next.
            commits=CommitLog(
                attempt.store, fingerprint_of([attempt.max_tries, request]), is_first_attempt=not attempt.is_later
            ),
            log=self.log,
        )

    def _request(self, query: Query, config: ClientConfig, mode: Mode) -> list[Any]:
        """Changes with anything given that changes the rows, or where they go."""
        given = {name: getattr(self, name) for name in self.template_fields}
        return [
            config.base_url,
            config.timezone,
            [chain.path(query.resource) for chain in query.chains()],
            query.columns,
            str(query.window),
            [query.checks_timestamps, query.on_bad_timestamp, query.api_format],
            [mode, self.schema_change, self.on_empty],
            # Of those that a newer version knows, too, as long as they are not used.
            {name: value for name, value in given.items() if value is not None},
        ]

    def _document(self, query: Query, load: Load, result: LoadResult, uri: str, is_complete: bool | None) -> dict[str, Any]:
        window = query.window
        return {
            "resource": query.resource.name,
            "format": "table",
            "uris": [uri],
            "table": load.table if load.schema is None else f"{load.schema}.{load.table}",
            "mode": load.mode,
            "rows": result.rows,
            "inserted": result.inserted,
            "updated": result.updated,
            "deleted": result.deleted,
            "bytes": result.bytes,
            "pages": result.pages,
            "window": interval(window.start, window.end) if window else None,
            "window_complete": is_complete,
            "event_types": list(query.event_types),
            "bad_timestamps": result.unplaced,
            "created": result.created,
            "new_columns": list(result.new_columns),
            "resumed": result.resumed,
        }
