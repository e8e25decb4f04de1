"""Which rows have changed since they were last uploaded, by their digests in a file that goes from run to run."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

from airflow_provider_custobar.api.errors import CustobarError, Fate

log = logging.getLogger(__name__)

_VERSION = 1
_DIGEST_BYTES = 12


class ChangesError(CustobarError):
    """The file of digests cannot be used."""

    fate = Fate.FINAL


class Changes:
    """Digests of rows by their identifier, in an SQLite database: its memory does not grow with the rows.

    ``target`` tells whose rows these are (resource and tenant); digests of another one's count for nothing. A context manager.
    """

    def __init__(self, path: Path, target: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        try:
            self._prepare(target)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise _unreadable(error) from None

    def _prepare(self, target: str) -> None:
        execute = self._connection.execute
        # The file is published only whole, and a killed process leaves a temporary one.
        execute("PRAGMA synchronous = OFF")
        execute("CREATE TABLE IF NOT EXISTS about (version INTEGER, target TEXT)")
        execute("CREATE TABLE IF NOT EXISTS digests (identity BLOB PRIMARY KEY, content BLOB) WITHOUT ROWID")
        if execute("SELECT version, target FROM about").fetchall() != [(_VERSION, target)]:
            execute("DELETE FROM about")
            execute("DELETE FROM digests")
            execute("INSERT INTO about VALUES (?, ?)", (_VERSION, target))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._connection.close()

    def begin(self) -> None:
        """Begin to read the rows."""
        self._connection.execute("BEGIN")

    def is_new(self, identity: str, content: bytes) -> bool:
        """Whether the row differs from the last one of this identifier, in this reading or the run before; takes note of it.

        :raises ChangesError: the file is damaged.
        """
        key, digest = _digest(identity.encode(errors="surrogatepass")), _digest(content)
        try:
            found = self._connection.execute("SELECT content FROM digests WHERE identity = ?", (key,)).fetchone()
            if found is not None and found[0] == digest:
                return False
            self._connection.execute("REPLACE INTO digests VALUES (?, ?)", (key, digest))
        except sqlite3.OperationalError:
            # Such as a full disk: the file may be as it should.
            raise
        except sqlite3.DatabaseError as error:
            raise _unreadable(error) from None
        return True

    def commit(self) -> None:
        """Keep what this reading took note of. A failure comes after the rows were sent: the next run sends them again."""
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            log.warning("Could not keep which rows were sent: the next run will send them again (%s)", error)


def _unreadable(error: sqlite3.DatabaseError) -> ChangesError:
    return ChangesError(f"The file of what was uploaded before cannot be read ({error}): remove it to upload all rows.")


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
