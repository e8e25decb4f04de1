"""The result of a query to any database that Airflow's SQL hooks reach, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.task.compat import tell_sql_lineage
from airflow_provider_custobar.task.database import engine_of
from airflow_provider_custobar.upload import duckdb_query
from airflow_provider_custobar.upload.sql_drivers import show_as_it_is

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_custobar.upload.sql_rows import Result

_ROWS_AT_ONCE = 2_000

_Parameters = Mapping[str, Any] | Sequence[Any] | None
_Fetch = Callable[[int], Sequence[Sequence[Any]]]
_Execute = Callable[[ExitStack, Any, str, _Parameters], tuple[Sequence[str], _Fetch] | None]


@contextmanager
def query_result(
    hook: DbApiHook, sql: str, parameters: _Parameters, *, on_connect: Callable[[str | None], None] = lambda _: None
) -> Iterator[Result]:
    """Execute a query, with a cursor on the server's side, where the database has such a thing.

    :param on_connect: Called with the schema of tables that are named without one; None where it is not known.
    :raises InvalidArgumentError: the statement gives no rows.
    :raises CustobarError: the database refused it, or a row cannot be fetched; no value is told.
    """
    from airflow_provider_custobar.load.failures import telling_of_query  # noqa: PLC0415 - it takes a while

    with ExitStack() as stack:
        engine = _engine(hook)
        if engine is None:
            execute: _Execute = _by_the_driver
            connection = driver = stack.enter_context(closing(hook.get_conn()))
        else:
            stack.callback(engine.dispose)
            connection = stack.enter_context(engine.connect())
            driver = connection.connection.driver_connection
            execute = _by_sqlalchemy
        database = engine.dialect.name if engine is not None else hook.conn_type
        on_connect(engine.dialect.default_schema_name if engine is not None else None)
        if database == "duckdb":
            connection, execute = driver, _by_duckdb
        with telling_of_query(database, sql):
            show_as_it_is(driver)
            result = execute(stack, connection, sql, parameters)
        if result is None:
            raise InvalidArgumentError("sql", None, "the statement gives no rows; give a query", secret=True)
        names, fetch = result

        def rows() -> Iterator[Sequence[Any]]:
            while True:
                with telling_of_query(database, sql):
                    some = fetch(_ROWS_AT_ONCE)
                if not some:
                    return
                yield from some

        yield names, rows()
    tell_sql_lineage(hook, sql)


def _by_sqlalchemy(stack: ExitStack, connection: Any, sql: str, parameters: _Parameters) -> tuple[Sequence[str], _Fetch] | None:
    # Without parameters, a percent sign is no placeholder.
    options = {"stream_results": True, "yield_per": _ROWS_AT_ONCE, "no_parameters": parameters is None}
    values = parameters if parameters is None or isinstance(parameters, Mapping) else tuple(parameters)
    result = stack.enter_context(connection.exec_driver_sql(sql, values, execution_options=options))
    return (list(result.keys()), result.fetchmany) if result.returns_rows else None


def _by_the_driver(stack: ExitStack, connection: Any, sql: str, parameters: _Parameters) -> tuple[Sequence[str], _Fetch] | None:
    cursor = stack.enter_context(closing(connection.cursor()))
    cursor.execute(*((sql,) if parameters is None else (sql, parameters)))
    return ([column[0] for column in cursor.description], cursor.fetchmany) if cursor.description else None


def _by_duckdb(stack: ExitStack, connection: Any, sql: str, parameters: _Parameters) -> tuple[Sequence[str], _Fetch] | None:
    return duckdb_query.execute(connection, sql, parameters)


def _engine(hook: DbApiHook) -> Any:
    """An SQLAlchemy engine, which knows each driver's way to stream; None where there is none for this database."""
    from airflow.exceptions import AirflowException  # noqa: PLC0415 - an optional feature's own error is one of these
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError  # noqa: PLC0415 - it takes a while

    try:
        return engine_of(hook)
    except (AirflowException, ArgumentError, ImportError, NoSuchModuleError, NotImplementedError):
        return None
