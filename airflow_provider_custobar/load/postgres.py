"""What PostgreSQL does its own way: COPY, and a staging table that another attempt can go on with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sa

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.load.job import Load
from airflow_provider_custobar.load.staging import LoadProgress, Staging, as_texts
from airflow_provider_custobar.stream.envelope import sealed, unsealed

# An attempt whose worker is gone may linger on the server for a moment.
_PATIENCE = "60s"
_LOCK_NOT_AVAILABLE = "55P03"
# The server begins with the first of them; smaller and larger ones took a tenth more time.
_CHUNK_BYTES = 64 << 10
_CSV = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")


class BusyError(CustobarError):
    """Another attempt at the same load is at work."""


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What the table's comment holds; ``will_follow`` tells whether another attempt of this run is to come."""

    will_follow: bool
    progress: LoadProgress


class PostgresStaging(Staging):
    """An unlogged table. Its comment says how far the load has come, in the same transaction as the rows.

    Whoever works with it holds an advisory lock, which goes with the connection: a staging table that nobody holds was left.
    """

    outlives_its_connection = True

    def __init__(self, connection: sa.Connection, load: Load) -> None:
        super().__init__(connection, load)
        self.table = sa.table(load.staging, schema=load.staging_schema or load.schema)
        self._exists = False
        self._server: str | None = None

    @property
    def kind(self) -> str:
        return "UNLOGGED"

    def connect(self) -> None:
        # Where a column has no offset, moments are kept as UTC, whatever the server's zone.
        self.run("SET TIME ZONE 'UTC'")
        # So that a worker that is gone without a word gives its lock back in minutes, not in hours.
        self.run("SET tcp_keepalives_idle = 60")
        self.run("SET tcp_keepalives_interval = 10")
        self.run("SET tcp_keepalives_count = 6")
        self.run(f"SET lock_timeout = '{_PATIENCE}'")
        try:
            self.connection.execute(sa.select(sa.func.pg_advisory_lock(_lock(self.load.staging))))
        except sa.exc.DBAPIError as error:
            original: Any = error.orig
            if _LOCK_NOT_AVAILABLE in (getattr(original, "sqlstate", None), getattr(original, "pgcode", None)):
                raise BusyError(f"Another attempt at loading {self.load.table} is still at work.") from None
            raise
        self.run("RESET lock_timeout")
        self.connection.commit()
        self._server = self._find_server()
        self._remove_leftovers()

    def saved(self) -> LoadProgress | None:
        comment = self._comments(self.load.staging).get(self.load.staging)
        self._exists = comment is not None
        try:
            if comment:
                kept, is_current = unsealed(json.loads(comment), self.load.fingerprint, _Kept)
                # A server that crashed has emptied the table, which is unlogged, but not forgotten its comment.
                if is_current and self._rows() == kept.progress.rows:
                    return kept.progress
        except ValueError as error:
            self.load.log.info("What an earlier attempt left cannot be read (%s)", error)
        return None

    def create(self, columns: Mapping[str, Any], *, like_target: bool) -> None:
        if self._exists:
            self.run(f"DROP TABLE IF EXISTS {self.quoted(self.table)}")
        super().create(columns, like_target=like_target)
        self._exists = True
        self.save(LoadProgress())

    def encoded(self, columns: Mapping[str, Any]) -> Any:
        out = pa.BufferOutputStream()
        # Nulls are empty cells, and texts are quoted, empty ones too: COPY tells them apart by that.
        arrays = {name: as_texts(array) if pa.types.is_timestamp(array.type) else array for name, array in columns.items()}
        pyarrow.csv.write_csv(pa.table(arrays), out, _CSV)
        return tuple(columns), out.getvalue()

    def insert(self, rows: Any) -> None:
        columns, text = rows
        names = ", ".join(map(self.quoted_name, columns))
        statement = f"COPY {self.quoted(self.table)} ({names}) FROM STDIN WITH (FORMAT csv)"
        if self.connection.dialect.paramstyle in ("format", "pyformat"):
            # A percent sign of a name is doubled for statements that have placeholders, which this one has not.
            statement = statement.replace("%%", "%")
        driver: Any = self.connection.connection.driver_connection
        if not self.connection.in_transaction():
            # For SQLAlchemy to know that there is something to commit, or to roll back.
            self.connection.begin()
        with driver.cursor() as cursor:
            if hasattr(cursor, "copy_expert"):
                cursor.copy_expert(statement, pa.BufferReader(text))
            else:
                view = memoryview(text)
                with cursor.copy(statement) as copy:
                    for start in range(0, len(view), _CHUNK_BYTES):
                        copy.write(view[start : start + _CHUNK_BYTES])

    def save(self, progress: LoadProgress) -> None:
        document = sealed(self.load.fingerprint, _Kept(will_follow=self.load.will_follow, progress=progress))
        # A comment takes no parameter. As JSON, a quote and a percent sign can be written without themselves.
        text = json.dumps(document).replace("'", "\\u0027").replace("%", "\\u0025")
        self.run(f"COMMENT ON TABLE {self.quoted(self.table)} IS '{text}'")
        self.connection.commit()

    def begin_swap(self, *, may_change_columns: bool) -> tuple[str, ...] | None:
        if may_change_columns:
            # Of two loads that find no table, or no column, one makes it, and the other finds it then.
            lock = _lock(f"{self.load.schema or ''}.{self.load.table}")
            self.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))
        there = self._columns_of_target()
        if there is not None and self.load.mode != "append":
            # Readers go on, unless a column is added; two loads that delete and insert would not see each other's rows.
            self.run(f"LOCK TABLE {self.quoted(self.target)} IN SHARE ROW EXCLUSIVE MODE")
        return there

    def end_swap(self, result: object) -> None:
        self.run(f"DROP TABLE {self.quoted(self.table)}")
        if self._server is not None:
            transaction = self.connection.execute(sa.text("SELECT txid_current()")).scalar_one()
            self.load.commits.about_to_commit(f"{self._server}/{transaction}", result)
        self.connection.commit()

    def has_committed(self, transaction: str) -> bool:
        server, _, number = transaction.rpartition("/")
        if server != self._server:
            # There, another transaction has that number, or will have it.
            return False
        status = self.connection.execute(sa.text("SELECT txid_status(:id)"), {"id": int(number)}).scalar_one_or_none()
        self.connection.rollback()
        return bool(status == "committed")

    def exactly(self, text: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.collate(sa.cast(text, sa.Text), "C")

    def _find_server(self) -> str | None:
        """The server as far as transactions are numbered alike: what was committed before a failover may be gone after it.

        None where it does not tell. The timeline is the first part of a WAL file's name; the control file learns it later.
        """
        try:
            found = self.connection.execute(
                sa.text(
                    "SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM pg_control_system()"
                )
            )
            return str(found.scalar_one())
        except sa.exc.DBAPIError as error:
            self.load.log.info("The server does not tell which one it is (%s)", type(error.orig).__name__)
            return None
        finally:
            self.connection.rollback()

    def _remove_leftovers(self) -> None:
        """Drop what runs of this task have left whose process is gone, unless another attempt of theirs is to come."""
        held = []
        for name, comment in self._comments(f"{self.load.siblings}%").items():
            if name != self.load.staging and not _is_wanted(comment):
                lock = _lock(name)
                if self.connection.execute(sa.select(sa.func.pg_try_advisory_lock(lock))).scalar_one():
                    held.append(lock)
                    self.load.log.info("Dropping %s, which an earlier run has left", name)
                    self.run(f"DROP TABLE IF EXISTS {self.quoted(sa.table(name, schema=self.table.schema))}")
        self.connection.commit()
        # Not before: whoever gets the lock must not find the table.
        for lock in held:
            self.connection.execute(sa.select(sa.func.pg_advisory_unlock(lock)))
        self.connection.commit()

    def _rows(self) -> int:
        counted = self.connection.execute(sa.select(sa.func.count()).select_from(self.table)).scalar_one()
        self.connection.rollback()
        return int(counted)

    def _comments(self, pattern: str) -> dict[str, str]:
        """The comments of staging tables by their names."""
        found = self.connection.execute(
            sa.text(
                "SELECT c.relname, coalesce(obj_description(c.oid, 'pg_class'), '') FROM pg_class c"
                " JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE c.relkind = 'r' AND n.nspname = coalesce(:schema, current_schema()) AND c.relname LIKE :pattern"
            ),
            {"schema": self.table.schema, "pattern": pattern.replace("_", "\\_")},
        )
        return {row[0]: row[1] for row in found}


def _lock(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)


def _is_wanted(comment: str) -> bool:
    try:
        kept, is_young = unsealed(json.loads(comment), None, _Kept)
    except ValueError:
        return False
    return kept.will_follow and is_young
