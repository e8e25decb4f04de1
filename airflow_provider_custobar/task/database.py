"""The databases that Airflow's SQL hooks reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.task.lineage import Dataset

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection
    from airflow.providers.common.sql.hooks.sql import DbApiHook


def find_hook(conn_id: object, hook_params: Mapping[str, Any] | None = None, database: object = None) -> DbApiHook:
    """The hook of a connection, made as common-sql's own operators make it.

    :param hook_params: Arguments of the hook's class; the connection's extra has those that are not named here.
    :param database: The database in place of the connection's own.
    :raises InvalidArgumentError: the connection is none of an SQL database, or an argument is not what its name says.
    """
    # Only here: a DAG that is parsed needs no parser of SQL.
    from airflow.providers.common.sql.hooks.sql import DbApiHook  # noqa: PLC0415

    if not isinstance(conn_id, str) or not conn_id:
        raise InvalidArgumentError("conn_id", conn_id, "give the id of a connection to an SQL database")
    if hook_params is not None and not isinstance(hook_params, Mapping):
        raise InvalidArgumentError("hook_params", type(hook_params).__name__, "give a mapping, such as {'options': '-c ...'}")
    if database is not None and not (isinstance(database, str) and database):
        accepted = "give a database's name, or leave it out; a template must not render to nothing"
        raise InvalidArgumentError("database", database, accepted)
    connection = BaseHook.get_connection(conn_id)
    hook: DbApiHook = connection.get_hook()
    if not isinstance(hook, DbApiHook):
        raise InvalidArgumentError("conn_id", conn_id, f"{type(hook).__name__} is no hook of an SQL database")
    hook = connection.get_hook(hook_params={**connection.extra_dejson, **(hook_params or {})})
    if database is not None:
        # Where hooks look for it: those of PostgreSQL here, all others there.
        setattr(hook, "database" if hook.conn_type == "postgres" else "schema", database)
    return hook


def _database_of(hook: DbApiHook, connection: Connection) -> str:
    return getattr(hook, "database" if hook.conn_type == "postgres" else "schema", None) or connection.schema or ""


def engine_of(hook: DbApiHook) -> Any:
    """An SQLAlchemy engine that keeps no connection open that nobody uses."""
    from sqlalchemy import create_engine  # noqa: PLC0415 - it takes a while
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    # Parameters are people's data, and errors are logged.
    arguments: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
    if hook.conn_type != "postgres":
        return hook.get_sqlalchemy_engine(engine_kwargs=arguments)
    # The hook knows more ways to sign in than a URL can tell, and which driver there is.
    waiting = [_with_plain_rows(hook.get_conn())]
    driver = type(waiting[0]).__module__.partition(".")[0]

    def connect() -> Any:
        return waiting.pop() if waiting else _with_plain_rows(hook.get_conn())

    return create_engine(f"postgresql+{driver}://", creator=connect, **arguments)


def _with_plain_rows(connection: Any) -> Any:
    """SQLAlchemy takes rows by position, and a connection's extra may ask the hook for mappings."""
    if hasattr(connection, "row_factory"):
        from psycopg.rows import tuple_row  # noqa: PLC0415 - only where a connection of its is there

        connection.row_factory = tuple_row
    else:
        connection.cursor_factory = None
    return connection


@dataclass(frozen=True)
class DatabaseNames:
    """How a database and its tables are called, without anything secret.

    ``uri`` is as those of Airflow's assets are written; ``namespace`` and ``database`` are OpenLineage's, which has all names
    of some databases in capitals. ``dialect`` is the language of its queries, as OpenLineage's parser calls it.
    """

    uri: str
    namespace: str
    database: str | None
    dialect: str = "generic"
    is_uppercase: bool = False

    def table(self, schema: str | None, name: str, database: str | None = None, **facts: Any) -> Dataset:
        full_name = ".".join(part for part in (database or self.database, schema, name) if part)
        return Dataset(
            uri=_table_uri(self.uri, schema, name),
            namespace=self.namespace,
            name=full_name.upper() if self.is_uppercase else full_name,
            **facts,
        )


def names_of(hook: DbApiHook) -> DatabaseNames:
    """For lineage. Asks Airflow for the connection, and no database."""
    connection = hook.get_connection(hook.get_conn_id())
    uri = _uri(hook, connection)
    try:
        info = hook.get_openlineage_database_info(connection)
        dialect = hook.get_openlineage_database_dialect(connection)
    except Exception:  # noqa: BLE001 - not every hook knows, and lineage is a courtesy
        info = None
    if info is None:
        host = f"{connection.host or ''}:{connection.port}" if connection.port else connection.host or ""
        return DatabaseNames(uri, f"{hook.conn_type}://{host}".rstrip("/"), _database_of(hook, connection))
    namespace = f"{info.scheme}://{info.authority}" if info.authority else info.scheme
    return DatabaseNames(uri, namespace, info.database, dialect, info.is_uppercase_names)


def uri_of(hook: DbApiHook, schema: str | None, table: str) -> str:
    """A table's URI, as those of Airflow's assets are written, without anything secret."""
    return _table_uri(_uri(hook, hook.get_connection(hook.get_conn_id())), schema, table)


def _uri(hook: DbApiHook, connection: Connection) -> str:
    port = f":{connection.port}" if connection.port else ""
    # The host is a path where a database is a file, or behind a socket.
    database = quote(_database_of(hook, connection).strip("/"), safe="")
    return f"{hook.conn_type}://{quote(connection.host or '')}{port}" + (f"/{database}" if database else "")


def _table_uri(database_uri: str, schema: str | None, table: str) -> str:
    return "/".join([database_uri, *(quote(part, safe="") for part in (schema, table) if part)])
