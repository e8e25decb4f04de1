"""Rows of a source that would not give the same ones twice."""

from __future__ import annotations

import itertools
import pickle
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import IO

_ROWS_AT_ONCE = 1_000


class KeptRows:
    """The rows that ``read`` gives when it is first called; can be iterated as often as wanted.

    An upload reads its rows twice. So they are kept, from the first reading to the end of the process, in a temporary file
    that nobody else can open. A reading that breaks off keeps nothing.
    """

    def __init__(self, read: Callable[[], AbstractContextManager[Iterable[object]]]) -> None:
        self._read = read
        self._kept: IO[bytes] | None = None

    def __iter__(self) -> Iterator[object]:
        kept = self._kept = self._kept or self._keep()
        place = 0
        while True:
            # Another reading may have moved it meanwhile.
            kept.seek(place)
            try:
                rows = pickle.load(kept)  # noqa: S301 - nobody but this process has written it
            except EOFError:
                return
            place = kept.tell()
            yield from rows

    def _keep(self) -> IO[bytes]:
        kept: IO[bytes] = tempfile.TemporaryFile(prefix="custobar-rows-")  # noqa: SIM115 - it lives as long as the rows
        close = weakref.finalize(self, kept.close)
        try:
            with self._read() as rows:
                remaining = iter(rows)
                while part := list(itertools.islice(remaining, _ROWS_AT_ONCE)):
                    pickle.dump(part, kept)
        except BaseException:
            close()
            raise
        return kept
