"""What is not as it was in the last run that succeeded: rows that have changed, and rows that are gone."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from airflow_provider_custobar.api.errors import CustobarError, Fate

log = logging.getLogger(__name__)

_VERSION = 1
_DIGEST_BYTES = 12


Change = Literal["new", "changed", "unchanged"]


class Standing(IntEnum):
    """What a row of this run makes of its external_id; of several rows, the highest counts."""

    #: Whoever is known stays so; nobody becomes so.
    REJECTED = 0
    #: Known from now on.
    SENT = 1
    #: Deleted or forgotten: never to be heard of again.
    LAST = 2


class ChangesError(CustobarError):
    """The file of digests cannot be used."""

    fate = Fate.FINAL


class Changes:
    """Digests of rows by their identifier, in an SQLite database: its memory does not grow with the rows.

    ``target`` tells whose rows these are (resource and tenant); digests of another one's count for nothing. A context manager.
    With ``keeps_external_ids`` the file holds these as well, as they are, so that it can be told which are gone; without it,
    what it held of them goes. ``publish`` lets later runs see the file as it is.

    What a run finds out is kept in two steps: before the first row is sent, the file forgets how rows were that are about to
    change (:meth:`about_to_send`), since a run that fails may have sent any of them; afterwards it learns how they are
    (:meth:`commit`).
    """

    def __init__(
        self,
        path: Path,
        target: str,
        *,
        keeps_external_ids: bool = False,
        publish: Callable[[], None] = lambda: None,
    ) -> None:
        self.keeps_external_ids = keeps_external_ids
        self._nameless = 0
        self._publish = publish
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
        # External ids are personal data: not even in the file's free pages do they stay.
        execute("PRAGMA secure_delete = ON")
        execute("CREATE TABLE IF NOT EXISTS about (version INTEGER, target TEXT)")
        execute("CREATE TABLE IF NOT EXISTS digests (identity BLOB PRIMARY KEY, content BLOB) WITHOUT ROWID")
        # What this reading took note of; without content where it is gone.
        execute("CREATE TEMP TABLE noted (identity BLOB PRIMARY KEY, content BLOB) WITHOUT ROWID")
        if not self.keeps_external_ids:
            execute("DROP TABLE IF EXISTS external_ids")
        else:
            execute("CREATE TABLE IF NOT EXISTS external_ids (external_id TEXT PRIMARY KEY) WITHOUT ROWID")
            execute("CREATE TEMP TABLE there (external_id TEXT PRIMARY KEY, standing INTEGER) WITHOUT ROWID")
            execute(
                "CREATE TEMP VIEW gone AS SELECT external_id FROM main.external_ids EXCEPT SELECT external_id FROM temp.there"
            )
        if execute("SELECT version, target FROM about").fetchall() != [(_VERSION, target)]:
            execute("DELETE FROM about")
            execute("DELETE FROM digests")
            if self.keeps_external_ids:
                execute("DELETE FROM external_ids")
            execute("INSERT INTO about VALUES (?, ?)", (_VERSION, target))
        # In the temporary tables, too, one statement after the other is not one transaction after the other.
        execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._connection.close()

    def begin(self) -> None:
        """Begin to read the rows, again from the first: what was taken note of before is forgotten."""
        self._connection.execute("DELETE FROM noted")

    def change_of(self, identity: str, content: bytes) -> Change:
        """How the row differs from the last one of this identifier, in this reading or the run before; takes note of it.

        :raises ChangesError: the file is damaged.
        """
        key, digest = _digest(identity.encode(errors="surrogatepass")), _digest(content)
        with _telling_of_damage():
            found = self._connection.execute("SELECT content FROM noted WHERE identity = ?", (key,)).fetchone()
            if found is None:
                found = self._connection.execute("SELECT content FROM digests WHERE identity = ?", (key,)).fetchone()
            if found is not None and found[0] == digest:
                return "unchanged"
            self._connection.execute("REPLACE INTO noted VALUES (?, ?)", (key, digest))
        return "new" if found is None else "changed"

    def note_there(self, external_id: str | None, standing: Standing) -> None:
        """This row is there, so it is not gone; without an external_id it may be anybody's."""
        if external_id is None:
            self._nameless += 1
            return
        self._connection.execute(
            "INSERT INTO there VALUES (?, ?)"
            " ON CONFLICT (external_id) DO UPDATE SET standing = max(standing, excluded.standing)",
            (external_id, standing),
        )

    def why_none_is_gone(self) -> str | None:
        """Why this reading does not tell who is gone, if it does not."""
        if self._nameless:
            return f"{self._nameless:,} rows do not tell their external_id"
        is_anybody_there = self._connection.execute("SELECT 1 FROM there LIMIT 1").fetchone()
        return None if is_anybody_there else "no rows came in"

    def known_and_gone(self) -> tuple[int, int]:
        """How many external_ids the run before had, and how many of them are not there now."""
        with _telling_of_damage():
            known = self._connection.execute("SELECT count(*) FROM external_ids").fetchone()[0]
            return known, self._connection.execute("SELECT count(*) FROM gone").fetchone()[0]

    def gone(self) -> Iterator[str]:
        """These external_ids, in order. A row of theirs that comes back is new."""
        for (external_id,) in self._connection.execute("SELECT external_id FROM gone ORDER BY 1"):
            key = _digest(f"external_id={external_id}".encode())
            self._connection.execute("REPLACE INTO noted VALUES (?, NULL)", (key,))
            yield external_id

    def about_to_send(self) -> None:
        """Before the first row goes: whatever becomes of this run, the next one sends these rows again, and knows them.

        :raises Exception: whatever a store raises that does not take the file. Nothing was sent.
        """
        execute = self._connection.execute
        execute("UPDATE digests SET content = x'' WHERE identity IN (SELECT identity FROM noted)")
        self._keep_external_ids()
        execute("COMMIT")
        self._publish()
        execute("BEGIN")

    def commit(self) -> None:
        """Keep what this reading took note of. Who was there in the run before stays known where it does not tell who is gone.

        A failure comes after the rows were sent, and is logged: the next run sends them again.
        """
        execute = self._connection.execute
        try:
            execute("REPLACE INTO digests SELECT identity, content FROM noted WHERE content IS NOT NULL")
            execute("DELETE FROM digests WHERE identity IN (SELECT identity FROM noted WHERE content IS NULL)")
            self._keep_external_ids()
            if self.keeps_external_ids and not self.why_none_is_gone():
                execute("DELETE FROM external_ids WHERE external_id NOT IN (SELECT external_id FROM there)")
            execute("COMMIT")
        except sqlite3.Error as error:
            log.warning("Could not keep which rows were sent: the next run will send them again (%s)", error)

    def _keep_external_ids(self) -> None:
        if self.keeps_external_ids:
            execute = self._connection.execute
            execute("INSERT OR IGNORE INTO external_ids SELECT external_id FROM there WHERE standing = ?", (Standing.SENT,))
            execute(
                "DELETE FROM external_ids WHERE external_id IN (SELECT external_id FROM there WHERE standing = ?)",
                (Standing.LAST,),
            )


@contextmanager
def _telling_of_damage() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError:
        # Such as a full disk: the file may be as it should.
        raise
    except sqlite3.DatabaseError as error:
        raise _unreadable(error) from None


def _unreadable(error: sqlite3.DatabaseError) -> ChangesError:
    return ChangesError(f"The file of what was uploaded before cannot be read ({error}): remove it to upload all rows.")


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
