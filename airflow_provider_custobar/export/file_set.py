"""The files of one export: a single one, or a numbered set of which a shorter one leaves nothing of a longer one before."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from itertools import count, takewhile
from typing import Protocol

from airflow_provider_custobar.stores.local import canonical_uri
from airflow_provider_custobar.stores.protocol import StoredObject, Target

#: Stands in a name for the number of the file, from 00000.
PART = "{part}"
_DIGITS = 5


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class Files(Protocol):
    """What a set of files asks of its :class:`~airflow_provider_custobar.stores.protocol.Store`."""

    def target(self, name: str) -> Target: ...

    def look(self, name: str) -> StoredObject | None: ...

    def list(self, prefix: str, depth: int | None) -> Iterable[_Named]: ...

    def remove(self, name: str) -> None: ...


class FileSet:
    """The files called ``name`` in ``store``; with ``{part}`` in the name there may be many."""

    def __init__(self, name: str, store: Files, *, replace: bool = True) -> None:
        self._name = name
        self._store = store
        self._replace = replace
        self.is_many = PART in name

    @property
    def uri(self) -> str:
        """For messages: the name of the file, or of all files with ``{part}`` in it."""
        return self._store.target(self._name).uri

    def target(self, number: int) -> Target:
        return self._store.target(self._name_of(number))

    def holds(self, name: str) -> bool:
        """Whether ``name`` is one of these files, in whatever way it is spelled."""
        return bool(_pattern(canonical_uri(self.uri)).fullmatch(canonical_uri(self._store.target(name).uri)))

    def check(self) -> None:
        """As :meth:`~airflow_provider_custobar.stores.protocol.Target.check`, for all files."""
        self.target(0).check()

    def replaced(self) -> int:
        """How many files of a set are there already, which the ones that come replace."""
        return len(self._following(0)) if self.is_many and self._replace else 0

    def take_back(self, number: int) -> None:
        """Remove a file that was just published."""
        self._store.remove(self._name_of(number))

    def remove_from(self, number: int, log: logging.Logger) -> None:
        """Remove the files with this number and those that follow it, which a longer set before has left."""
        if not self.is_many or not self._replace:
            return
        stale = self._following(number)
        # From the end: what a death leaves here is still found the next time.
        for name in reversed(stale):
            self._store.remove(name)
        if stale:
            log.info("Removed %s files of an earlier, longer export: %s to %s", f"{len(stale):,}", stale[0], stale[-1])

    def _name_of(self, number: int) -> str:
        return self._name.replace(PART, f"{number:0{_DIGITS}}")

    def _following(self, number: int) -> list[str]:
        """The files that are there from this number on, up to the first gap: a number behind one is a date, or another's."""
        before, _, after = self._name.partition(PART)
        there = {found.name for found in self._store.list(before, after.count("/") + 1)}
        return list(takewhile(there.__contains__, map(self._name_of, count(number))))


def _pattern(name: str) -> re.Pattern[str]:
    before, part, after = name.partition(PART)
    # A name may have the placeholder more than once.
    number = rf"([0-9]{{{_DIGITS},}})" if part else ""
    return re.compile(re.escape(before) + number + re.escape(after).replace(re.escape(PART), r"\1"))
