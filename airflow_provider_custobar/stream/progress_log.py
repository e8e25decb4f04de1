"""Lines in the log that tell how far a run is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

_PROGRESS_SECONDS = 5.0


class ProgressLog:
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

    def done(self, uris: Sequence[str], *, pages: int, rows: int, stored: int) -> None:
        where = f"{uris[0]} to {uris[-1]}" if len(uris) > 2 else ", ".join(uris) or "nothing written"
        self._write(f"exported to {where}", pages, rows, stored, self._clock())

    def _write(self, what: str, pages: int, rows: int, stored: int, now: float) -> None:
        seconds = max(now - self._started, 1e-9)
        self._logger.info(
            "%s %s: %s pages, %s rows, %.1f MiB in %.1f s (%s rows/s)",
            self._subject, what, f"{pages:,}", f"{rows:,}", stored / (1 << 20), seconds,
            f"{max(rows - self._rows_before, 0) / seconds:,.0f}",
        )  # fmt: skip
