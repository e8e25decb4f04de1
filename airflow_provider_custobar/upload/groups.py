"""Rows that make one thing together, such as the rows of a sale: all of them are sent, or none."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from airflow_provider_custobar.api.errors import shorten
from airflow_provider_custobar.api.resources import Resource
from airflow_provider_custobar.upload.rows import GoodRow, Rejected
from airflow_provider_custobar.upload.validation import need

_LONGEST_REASON = 300
_MOST_TORN = 100
# What may be a value in a line that is no JSON: what stands in quotes, and what stands between marks.
_IN_QUOTES = re.compile(r'"((?:[^"\\]|\\.)*)"')
_MARKS = re.compile(r'[\s",:{}\[\]]+')

_NOTE = (
    "INSERT INTO groups VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET lacking = lacking & excluded.lacking,"
    " is_to_go = max(is_to_go, excluded.is_to_go), bad = coalesce(bad, excluded.bad)"
)


@dataclass(slots=True)
class _Known:
    """What is known of a group: the needs that none of its rows fills in, whether a row of it is to go, the first bad row."""

    lacking: int
    is_to_go: bool
    bad: str | None


class Groups:
    """Rows may be anywhere and as many as there are, so what is known of each group is noted first, for all rows, and only
    then is a row :meth:`judged`. It stands in a temporary file of SQLite's, which nobody else can open.
    """

    def __init__(self, resource: Resource) -> None:
        self._needs = resource.needs
        #: What one of them is called: a sale is one of the sales.
        self._noun = resource.name.removesuffix("s")
        self._connection = sqlite3.connect("", isolation_level=None)
        self._execute = self._connection.execute
        self._execute("PRAGMA synchronous = OFF")
        self._execute("PRAGMA journal_mode = OFF")
        # In KiB: enough for some hundred thousand groups, beyond which it is the file that grows.
        self._execute("PRAGMA cache_size = -16384")
        self._execute("CREATE TABLE groups (name BLOB PRIMARY KEY, lacking INTEGER, is_to_go INTEGER, bad TEXT) WITHOUT ROWID")
        self._execute("BEGIN")
        # Most rows of a group stand together, so the last one is at hand.
        self._name: str | None = None
        self._last = _Known(0, False, None)
        self._torn: deque[Rejected] = deque(maxlen=_MOST_TORN)

    def close(self) -> None:
        self._connection.close()

    def note(self, row: GoodRow | Rejected, *, is_to_go: bool) -> None:
        """Once for each row. ``is_to_go`` is whether the row by itself would be sent."""
        if row.group is None:
            if isinstance(row, Rejected) and not isinstance(row.row, Mapping):
                self._note_torn(row)
            return
        if row.group != self._name:
            self.noted()
            self._name, self._last = row.group, _Known(-1, False, None)
            for torn in self._torn:
                self._note_beside(torn)
        self._torn.clear()
        if isinstance(row, GoodRow):
            self._last.lacking &= sum(1 << number for number in row.lacking)
            self._last.is_to_go |= is_to_go
        else:
            self._note_bad(row)

    def _note_torn(self, row: Rejected) -> None:
        """A line that cannot be read names no group, but any value in it may be the name of one, and it may be of the group
        before it, or behind it, if the name of that is anywhere in it.
        """
        bad = _told(row)
        self._connection.executemany(_NOTE, ((_digest(name), -1, False, bad) for name in set(_texts_in(row.content))))
        self._note_beside(row)
        self._torn.append(row)

    def _note_beside(self, torn: Rejected) -> None:
        if self._name is not None and self._name in str(torn.content):
            self._note_bad(torn)

    def _note_bad(self, row: Rejected) -> None:
        if self._last.bad is None:
            self._last.bad = _told(row)

    def noted(self) -> Self:
        """Every row was noted."""
        if self._name is not None:
            self._execute(_NOTE, (_digest(self._name), self._last.lacking, self._last.is_to_go, self._last.bad))
        self._name = None
        return self

    def judged(self, row: GoodRow | Rejected) -> GoodRow | Rejected:
        """``row``, or why it is set aside because of its group."""
        if isinstance(row, Rejected) or row.group is None:
            return row
        known = self._known(row.group)
        if known.bad is not None:
            reasons = [f"another row of its {self._noun} is set aside, {known.bad}"]
        else:
            reasons = [
                f"{need(names)}, in one row of its {self._noun}"
                for number, names in enumerate(self._needs)
                if known.lacking >> number & 1
            ]
        return Rejected(row.position, reasons, row.source, row.group) if reasons else row

    def is_to_go(self, group: str) -> bool:
        """Whether any row of the group would be sent by itself: then all of them are, with what the others only refer to."""
        return self._known(group).is_to_go

    def _known(self, group: str) -> _Known:
        if group != self._name:
            found = self._execute("SELECT lacking, is_to_go, bad FROM groups WHERE name = ?", (_digest(group),)).fetchone()
            self._name, self._last = group, _Known(found[0], bool(found[1]), found[2])
        return self._last


def _told(bad: Rejected) -> str:
    return f"at position {bad.position}: {shorten('; '.join(bad.reasons), _LONGEST_REASON)}"


def _texts_in(content: object) -> Iterator[str]:
    """What may be a value in what is no row."""
    if isinstance(content, str):
        yield content
        yield from _IN_QUOTES.findall(content)
        yield from _MARKS.split(content)
    elif isinstance(content, (list, tuple, Mapping)):
        for item in content.values() if isinstance(content, Mapping) else content:
            yield from _texts_in(item)
    elif isinstance(content, int):
        yield str(content)


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).digest()
