"""The databases that loads are proven on, as another connection sees them, and loads into them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from airflow_provider_custobar.sandbox.catalogue import RESOURCES
from airflow_provider_custobar.transfers.custobar_to_sql import CustobarToSqlOperator
from tools.servers import PostgresDatabase

Record = dict[str, Any]


class Database:
    """An empty database. ``query`` uses a connection of its own for each statement, which is committed."""

    kind: str
    dialect: str
    schema: str

    def airflow_connection(self) -> str:
        raise NotImplementedError

    def connect(self) -> Any:
        raise NotImplementedError

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with closing(self.connect()) as connection:
            cursor = connection.execute(sql, parameters) if parameters else connection.execute(sql)
            return list(map(tuple, cursor.fetchall())) if cursor.description else []

    def tables(self) -> list[str]:
        """All tables of all schemas that are no catalogue's own."""
        found = self.query(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        return sorted(name if schema == self.schema else f"{schema}.{name}" for schema, name in found)

    def types(self, table: str) -> dict[str, str]:
        """Columns and their types, in the table's order."""
        found = self.query(
            "SELECT column_name, data_type FROM information_schema.columns"
            f" WHERE table_name = {literal(table)} ORDER BY ordinal_position"
        )
        return {name: str(data_type).lower() for name, data_type in found}

    def rows(self, table: str = "t") -> list[Record]:
        """All columns of all rows."""
        with closing(self.connect()) as connection:
            cursor = connection.execute(f"SELECT * FROM {quoted(table)}")
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def records(self, resource: str, table: str = "t") -> list[Record]:
        """The rows as the sandbox tells of its records: without nulls, moments with Z."""
        kinds = RESOURCES[resource].fields
        return [
            {name: self._plain(kinds.get(name), value) for name, value in row.items() if value is not None}
            for row in self.rows(table)
        ]

    def _plain(self, kind: str | None, value: Any) -> Any:
        if kind == "datetime":
            return self.moment(value).isoformat().replace("+00:00", "Z")
        if kind == "date":
            return str(value)
        if kind in ("list", "stock"):
            return self.document(value)
        if kind == "boolean":
            assert value in (True, False)
            return bool(value)
        return value

    @staticmethod
    def moment(value: Any) -> datetime:
        assert isinstance(value, datetime)
        assert value.tzinfo is not None
        return value.astimezone(UTC)

    @staticmethod
    def document(value: Any) -> Any:
        return json.loads(value)


class Postgres(Database):
    kind, dialect, schema = "postgres", "postgresql", "public"

    def __init__(self, database: PostgresDatabase) -> None:
        self.database, self.name = database, database.name

    def airflow_connection(self) -> str:
        return self.database.airflow_connection()

    def connect(self) -> Any:
        return self.database.connect()

    def clear(self) -> None:
        """Drop all schemas but the server's own."""
        for (schema,) in self.query(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        ):
            self.query(f"DROP SCHEMA {quoted(schema)} CASCADE")
        self.query("CREATE SCHEMA public")

    @staticmethod
    def document(value: Any) -> Any:
        return value


class Sqlite(Database):
    kind, dialect, schema = "sqlite", "sqlite", "main"

    def __init__(self, path: Path) -> None:
        self.path = path / "x.db"

    def airflow_connection(self) -> str:
        return json.dumps({"conn_type": "sqlite", "host": str(self.path)})

    def connect(self) -> Any:
        return sqlite3.connect(self.path, isolation_level=None, timeout=10, check_same_thread=False)

    def tables(self) -> list[str]:
        return sorted(name for (name,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table'"))

    def types(self, table: str) -> dict[str, str]:
        return {row[1]: row[2].lower() for row in self.query(f"PRAGMA table_info({quoted(table)})")}

    @staticmethod
    def moment(value: Any) -> datetime:
        assert value.endswith("+00:00")
        return datetime.fromisoformat(value)


class DuckDb(Database):
    kind, dialect, schema = "duckdb", "duckdb", "main"

    def __init__(self, path: Path) -> None:
        self.path = path / "x.duckdb"

    def airflow_connection(self) -> str:
        return json.dumps({"conn_type": "duckdb", "host": str(self.path)})

    def connect(self) -> Any:
        # All connections of one process have to be made as those of the engine are.
        connection = sa.create_engine(f"duckdb:///{self.path}", poolclass=sa.NullPool).raw_connection()
        driver_connection = connection.driver_connection
        # Or else it is closed as soon as nobody knows the pool's wrapper any more.
        connection.detach()
        return driver_connection


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def context(try_number: int = 2, max_tries: int = 1) -> Any:
    """What Airflow tells a task; without arguments, that no other attempt follows."""
    ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="load", map_index=-1, try_number=try_number, max_tries=max_tries)
    return {"ti": ti}


def loader(**arguments: Any) -> CustobarToSqlOperator:
    return CustobarToSqlOperator(**{"task_id": "load", "conn_id": "place", "table": "t"} | arguments)


def load(**arguments: Any) -> Record:
    """Run the operator, whose table is ``t`` unless it is told otherwise."""
    result: Record = loader(**arguments).execute(context())
    return result


def in_order(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(records, key=lambda record: json.dumps(record, sort_keys=True, default=str))


def as_loaded(record: Record) -> Record:
    """A record as a table has it: a category that is one text is a list, and a tenant's own fields are texts."""
    return {name: _as_loaded(name, value) for name, value in record.items()}


def _as_loaded(name: str, value: Any) -> Any:
    if "__" in name:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return [value] if name in ("category", "category_id") and isinstance(value, str) else value


def picked(records: Iterable[Record], *names: str, where: Callable[[Record], bool] = lambda record: True) -> list[Record]:
    """Some fields of the records that are meant, as far as they have them."""
    return [{name: record[name] for name in names if name in record} for record in records if where(record)]
