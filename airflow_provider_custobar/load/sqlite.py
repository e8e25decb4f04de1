"""What SQLite does its own way."""

from __future__ import annotations

from airflow_provider_custobar.load.staging import Staging

# Another process may be writing, which locks the whole database.
_PATIENCE_MS = 60_000


class SqliteStaging(Staging):
    """A temporary table, in a file of its own, so that nobody is locked out of the database while it fills."""

    moments = "text"

    def connect(self) -> None:
        self.run(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        self.connection.commit()

    def begin_swap(self, *, may_change_columns: bool) -> tuple[str, ...] | None:
        # A transaction that begins by reading could not go on to write once somebody else has written.
        self.connection.commit()
        self.run("BEGIN IMMEDIATE")
        return self._columns_of_target()

    def fold(self, name: str) -> str:
        return name.lower()
