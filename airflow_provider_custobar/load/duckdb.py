"""What DuckDB does its own way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from airflow_provider_custobar.load.job import LoadError
from airflow_provider_custobar.load.staging import Staging

_BATCH = "_custobar_batch"
# Types to which DuckDB rounds, or makes every number true, without a word.
_WHOLE = frozenset("BOOLEAN TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT".split())


class DuckDbStaging(Staging):
    """DuckDB reads Arrow's columns where they are; one row after the other would take it a thousand times as long."""

    def connect(self) -> None:
        # Where a column has no offset, moments are kept as UTC, whatever the machine's zone.
        self.run("SET TimeZone = 'UTC'")
        self.connection.commit()

    def encoded(self, columns: Mapping[str, Any]) -> Any:
        return pa.table(dict(columns))

    def insert(self, rows: Any) -> None:
        driver: Any = self.connection.connection.driver_connection
        driver.register(_BATCH, rows)
        types = self._types(self.table)
        for name in rows.column_names:
            if types[name] in _WHOLE:
                self._check_whole(name, types[name])
        names = ", ".join(map(self.quoted_name, rows.column_names))
        self.run(f"INSERT INTO {self.quoted(self.table)} ({names}) SELECT {names} FROM {_BATCH}")  # noqa: S608 - quoted
        # After a failure nothing can be done but to end the transaction.
        driver.unregister(_BATCH)

    def _check_whole(self, name: str, kind: str) -> None:
        value = self.quoted_name(name)
        kept = f"CAST(CAST({value} AS {kind}) AS DOUBLE)"
        changed = self.run(f"SELECT count(*) FROM {_BATCH} WHERE TRY_CAST({value} AS DOUBLE) <> {kept}").scalar_one()  # noqa: S608 - quoted
        if changed:
            raise LoadError(f"{changed:,} values of a page would become others in {name}, which is of the type {kind}.")

    def holds_texts(self, column: str) -> bool:
        # SQLAlchemy asks PostgreSQL's catalogue, which DuckDB has not whole.
        return self._types(self.target)[column] == "VARCHAR"

    def _types(self, table: sa.TableClause) -> dict[str, str]:
        """Columns and their types."""
        return {row[0]: row[1] for row in self.run(f"DESCRIBE {self.quoted(table)}")}

    def exactly(self, text: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.collate(sa.cast(text, sa.Text), "C")

    def fold(self, name: str) -> str:
        return name.lower()
