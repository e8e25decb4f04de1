"""The load: it exists once, whatever the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import msgspec
import sqlalchemy as sa

from airflow_provider_custobar.api.errors import CustobarError, Fate, InvalidArgumentError, fate_of
from airflow_provider_custobar.api.log_lines import counted, in_lines
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.columns.arrow_pages import ArrowPages
from airflow_provider_custobar.load.duckdb import DuckDbStaging
from airflow_provider_custobar.load.failures import DatabaseError, hide_values
from airflow_provider_custobar.load.job import Load, LoadError, LoadResult
from airflow_provider_custobar.load.layout import Layout, may_hold_nul
from airflow_provider_custobar.load.mysql import MySqlStaging
from airflow_provider_custobar.load.postgres import PostgresStaging
from airflow_provider_custobar.load.sqlite import SqliteStaging
from airflow_provider_custobar.load.staging import LoadProgress, Staging
from airflow_provider_custobar.load.swap import Counts, swap
from airflow_provider_custobar.stream.endings import EmptyExportError, may_start_over
from airflow_provider_custobar.stream.pipeline import Pipeline
from airflow_provider_custobar.stream.progress_log import ProgressLog

_KINDS: dict[str, type[Staging]] = {
    "duckdb": DuckDbStaging,
    "mariadb": MySqlStaging,
    "mysql": MySqlStaging,
    "postgresql": PostgresStaging,
    "sqlite": SqliteStaging,
}
# There a reader would see half of a change, or there are no temporary tables of the kind that is needed.
_REFUSED = frozenset(
    "awsathena bigquery clickhouse clickhousedb databricks drill druid hive impala mssql oracle pinot presto trino".split()
)
_TESTED = ("postgresql", "sqlite", "duckdb")
_PAGES_AT_ONCE = 2


class LoadRun:
    """One attempt at a load: first :meth:`prepare`, then :meth:`run`."""

    def __init__(self, load: Load, connection: sa.Connection) -> None:
        name = connection.dialect.name
        if name in _REFUSED:
            raise LoadError(
                f"{name} has no temporary tables, or no transactions over several statements, as a load needs them:"
                " export files, and let the database read these."
            )
        if name not in _TESTED:
            load.log.warning("Loads are tested on %s, not on %s", ", ".join(_TESTED), name)
        self._load = load
        self._staging = _KINDS.get(name, Staging)(connection, load)
        self._connection = connection
        self._there: tuple[str, ...] | None = None
        self._layout: Layout | None = None
        self._saved: LoadProgress | None = None
        self._done: LoadResult | None = None
        # In the staging table, or on their way there.
        self._rows = 0

    def prepare(self) -> None:
        """Find out without a request to Custobar whether the table can take the rows.

        :raises InvalidArgumentError: an argument does not go with the table.
        :raises LoadError: the table lacks a column.
        """
        with hide_values(self._connection, self._names):
            self._staging.connect()
            self._done = self._ended_before()
            if self._done is None:
                self._lay_out()
                saved = self._staging.saved()
                # A staging table that was made for another table than there is now would not fit.
                self._saved = saved if saved is not None and saved.target == self._there else None

    def run(self, progress_log: ProgressLog, uri: str) -> LoadResult:
        """Load the rows; everybody sees the table as it was, until all of them are in.

        :raises EmptyExportError: no rows, and ``on_empty="fail"``.
        :raises CustobarError: the last failure of the API, or rows that do not fit the table.
        """
        if self._done is not None:
            self._load.log.info("The attempt before this one has loaded everything, and could only not tell")
            return self._done
        try:
            result = self._attempt(self._saved, progress_log)
        except CustobarError as error:
            if not may_start_over(error, is_continued=self._saved is not None):
                raise
            self._load.log.warning("%s", in_lines(f"Starting over from the first page: {error}"))
            self._saved = None
            result = self._attempt(None, progress_log)
        changes = f"{result.inserted:,} inserted, {result.updated:,} updated, {result.deleted:,} deleted"
        progress_log.loaded(uri, changes, pages=result.pages, rows=result.rows, stored=result.bytes)
        return result

    def column_types(self) -> dict[str, str]:
        """The types of the table's columns by their names, as the database calls them; empty where it does not tell."""
        try:
            columns = sa.inspect(self._connection).get_columns(self._load.table, self._load.schema)
            return {column["name"]: str(column["type"]) for column in columns}
        except (sa.exc.SQLAlchemyError, NotImplementedError) as error:
            self._load.log.debug("The table's types cannot be read: %s", type(error).__name__)
            return {}

    def _names(self) -> set[str]:
        load, layout = self._load, self._layout
        names = {load.table, load.schema or "", load.staging, load.staging_schema or "", *load.keys, *(self._there or ())}
        return names | set(layout.created_columns()) | set(layout.discovered) if layout else names

    def _ended_before(self) -> LoadResult | None:
        last = self._load.commits.last()
        if last is None or not self._staging.has_committed(last[0]):
            return None
        return replace(msgspec.convert(last[1], LoadResult), resumed=True)

    def _lay_out(self) -> Layout:
        load = self._load
        self._there = self._staging.target_columns()
        layout = self._layout = Layout(
            load.query,
            table_columns=self._there,
            check_name=self._staging.check_name,
            fold=self._staging.fold,
            column_mapping=load.column_mapping,
            schema_change=load.schema_change,
            keys=load.keys if load.mode == "upsert" else (),
            timezone=load.timezone,
            logger=load.log,
        )
        filled = {layout.name_of(column.name) for column in layout.columns}
        needed = {"upsert": layout.keys, "replace_window": self._window_columns(layout)}.get(load.mode, ())
        for name in needed:
            if name not in filled:
                argument, value = ("key_columns", load.keys) if load.mode == "upsert" else ("mode", load.mode)
                raise InvalidArgumentError(
                    argument, value, f"it needs the column {name}, which is not among those loaded: {', '.join(sorted(filled))}"
                )
        return layout

    def _window_columns(self, layout: Layout) -> tuple[str, ...]:
        timestamp = self._load.query.resource.timestamp
        fields = [timestamp] if timestamp else []
        fields += ["type"] if self._load.query.event_types else []
        return tuple(map(layout.name_of, fields))

    def _attempt(self, saved: LoadProgress | None, progress_log: ProgressLog) -> LoadResult:
        try:
            with hide_values(self._connection, self._names):
                layout = self._begin(saved)
                progress_log.start(saved.rows if saved else 0)
                progress = saved or LoadProgress()
                self._rows = progress.rows
                if not progress.is_past_the_last_page:
                    progress = self._collect(layout, progress, progress_log)
                return self._swap(layout, progress, is_resumed=saved is not None)
        except BaseException as error:
            self._clean_up(error)
            raise

    def _begin(self, saved: LoadProgress | None) -> Layout:
        staging = self._staging
        layout = self._lay_out()
        if saved is not None:
            layout.resume(saved.discovered)
            self._load.log.info(
                "Going on where an earlier attempt stopped: %s with %s in the staging table",
                counted(saved.pages, "page"), counted(saved.rows, "row"),
            )  # fmt: skip
            return layout
        staging.create(layout.created_columns(), like_target=self._there is not None)
        for name in layout.discovered:
            staging.add_column(staging.table, name, layout.type_of(name))
        return layout

    def _collect(self, layout: Layout, progress: LoadProgress, progress_log: ProgressLog) -> LoadProgress:
        load, staging = self._load, self._staging
        pages = ArrowPages(
            load.query.resource,
            layout.columns,
            has_extra=layout.has_extra,
            timezone=load.timezone,
            rows_before=progress.rows,
            advice="land it as a file",
        )
        in_staging = {*(self._there or layout.created_columns()), *layout.discovered}
        pipeline: Pipeline[Page] = Pipeline(partial(load.pages, progress.position), depth=_PAGES_AT_ONCE)
        with _ended(pipeline), pipeline:
            for page in pipeline:
                rows = progress.rows
                for batch in pages.batches(page):
                    columns = layout.apply(batch, rows, has_nul=may_hold_nul(page))
                    for name in layout.discovered:
                        if name not in in_staging:
                            in_staging.add(name)
                            pipeline.add(partial(staging.add_column, staging.table, name, layout.type_of(name)))
                    pipeline.add(partial(staging.insert, staging.encoded(columns)))
                    rows += batch.num_rows
                    del batch, columns
                progress = replace(
                    progress.plus(page),
                    bytes=progress.bytes + page.size,
                    discovered=tuple(layout.discovered),
                    target=self._there,
                )
                self._rows = rows
                # The next page is waited for, and this one may be large.
                del page
                pipeline.store(partial(staging.save, progress))
                progress_log.step(pages=progress.pages, rows=progress.rows, stored=progress.bytes)
            pipeline.finish()
        return progress

    def _swap(self, layout: Layout, progress: LoadProgress, *, is_resumed: bool) -> LoadResult:
        load, staging = self._load, self._staging
        if not progress.rows and load.on_empty == "fail":
            raise EmptyExportError(
                f"There was nothing to load into {load.table}, and on_empty='fail'. Check the window and the filters."
            )
        columns = {layout.name_of(column.name): column.field_type for column in layout.columns}
        columns |= {name: layout.type_of(name) for name in layout.discovered}
        changes = self._there is None or any(name not in self._there for name in columns)
        there = staging.begin_swap(may_change_columns=changes)
        new = [] if there is None else [name for name in columns if name not in there]
        if new and self._there is None and load.schema_change != "add":
            raise DatabaseError(f"{load.table} was made by somebody else meanwhile, with other columns.")
        counts = Counts()
        is_created = False
        if progress.rows or load.on_empty == "write":
            if there is None:
                staging.create_target(columns)
                is_created = True
            for name in new:
                staging.add_column(staging.target, name, columns[name])
            counts = swap(staging, load, layout, list(columns))
        result = LoadResult(
            rows=progress.rows,
            bytes=progress.bytes,
            pages=progress.pages,
            unplaced=progress.unplaced,
            inserted=counts.inserted,
            updated=counts.updated,
            deleted=counts.deleted,
            columns=tuple(columns),
            new_columns=tuple(new),
            created=is_created,
            resumed=is_resumed,
        )
        staging.end_swap(result)
        return result

    def _clean_up(self, error: BaseException) -> None:
        # Without a row there is nothing to go on from: where none is an error, some may come on any page.
        is_worth_it = self._staging.outlives_its_connection and self._rows > 0
        if is_worth_it and self._load.will_follow and fate_of(error) is Fate.TRANSIENT:
            self._load.log.info("What is collected so far stays in %s, for the next attempt", self._load.staging)
            return
        try:
            self._staging.discard()
        except (sa.exc.SQLAlchemyError, CustobarError) as failure:
            # The next run of this task will find it.
            self._load.log.warning("Could not drop the staging table %s: %s", self._load.staging, type(failure).__name__)


@contextmanager
def _ended(pipeline: Pipeline[Page]) -> Iterator[None]:
    """Afterwards, nobody else uses the connection any more."""
    try:
        yield
    finally:
        if pipeline.is_writing:
            pipeline.wait()
