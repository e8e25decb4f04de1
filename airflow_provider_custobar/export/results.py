"""What an export comes to, and the lines in the log that tell of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)

_PROGRESS_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class FileResult:
    """One stored file; ``bytes`` after compression."""

    uri: str
    rows: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What was stored. ``bytes`` are bytes as stored, after compression; ``files`` is empty where nothing was written.

    ``columns`` are those of the API's CSV pages, where there were any. ``unplaced`` counts records without a readable
    timestamp, which were kept or dropped as the user said. ``resumed`` tells that an earlier attempt had begun it.
    """

    files: tuple[FileResult, ...]
    rows: int
    bytes: int
    pages: int
    unplaced: int = 0
    columns: tuple[str, ...] = ()
    resumed: bool = False

    @property
    def uris(self) -> tuple[str, ...]:
        return tuple(file.uri for file in self.files)


class Progress:
    """One line in the log every few seconds, and one at the end."""

    def __init__(self, subject: str, logger: logging.Logger = log, clock: Callable[[], float] = time.monotonic) -> None:
        self._subject = subject
        self._logger = logger
        self._clock = clock
        self._started = self._last = clock()
        self._rows_before = 0

    def start(self, rows_before: int = 0) -> None:
        """The work begins now. An earlier attempt's rows say nothing about the speed of this one."""
        self._started = self._last = self._clock()
        self._rows_before = rows_before

    def step(self, *, pages: int, rows: int, stored: int) -> None:
        now = self._clock()
        if now - self._last >= _PROGRESS_SECONDS:
            self._last = now
            self._write("so far", pages, rows, stored, now)

    def done(self, result: ExportResult) -> None:
        uris = result.uris
        where = f"{uris[0]} to {uris[-1]}" if len(uris) > 2 else ", ".join(uris) or "nothing written"
        self._write(f"exported to {where}", result.pages, result.rows, result.bytes, self._clock())

    def _write(self, what: str, pages: int, rows: int, stored: int, now: float) -> None:
        seconds = max(now - self._started, 1e-9)
        self._logger.info(
            "%s %s: %s pages, %s rows, %.1f MiB in %.1f s (%s rows/s)",
            self._subject, what, f"{pages:,}", f"{rows:,}", stored / (1 << 20), seconds,
            f"{max(rows - self._rows_before, 0) / seconds:,.0f}",
        )  # fmt: skip
