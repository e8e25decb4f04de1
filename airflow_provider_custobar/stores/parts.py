"""How writes become the parts of an object on a store that takes it part by part."""

from __future__ import annotations

import time
from collections.abc import Callable

PART_BYTES = 8 << 20
#: S3 takes no smaller part but the last one.
LEAST_PART_BYTES = 5 << 20
#: What a kill may cost in time where pages come slowly.
_MOST_SECONDS = 60.0


class PartBuffer:
    """Writes that are not in any part yet. A part is due when it has its size, or its least size and a minute is over.

    A part never holds the end of one write and the beginning of another unless it holds all of both: where a part ends, a page
    does, and an export can be continued.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pieces: list[bytes | memoryview] = []
        self._since = clock()
        self.size = 0

    def add(self, data: bytes | memoryview) -> None:
        if len(data):
            self._pieces.append(data)
            self.size += len(data)

    def is_due(self, part_bytes: int) -> bool:
        if self.size >= part_bytes:
            return True
        return self.size >= LEAST_PART_BYTES and self._clock() - self._since >= _MOST_SECONDS

    @property
    def content(self) -> bytes | memoryview:
        """As one; a single piece is not copied."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    def clear(self) -> None:
        # Not emptied in place: another thread may be at it.
        self._pieces = []
        self.size = 0
        self._since = self._clock()
