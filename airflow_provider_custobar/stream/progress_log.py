"""Lines in the log that tell how far long work is: when to write one, and what."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from airflow_provider_custobar.api.log_lines import counted, in_lines, size_of
from airflow_provider_custobar.api.pacing import Pacer

log = logging.getLogger(__name__)

# The longer it takes, the less a line more tells: seconds between two of them, by the seconds that the work has taken.
_PAUSES = ((60.0, 5.0), (600.0, 30.0), (float("inf"), 120.0))
# So much of the time waited for the own pace, before it is worth a word.
_MOST_WAITED = 0.5


class NowAndThen:
    """Is due once in a while, for whoever asks often: every 5 seconds, then every 30, in the end every two minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._last = clock()

    def is_due(self) -> bool:
        now = self._clock()
        if now - self._last < next(pause for until, pause in _PAUSES if self._last - self._began < until):
            return False
        self._last = now
        return True


class PaceShare:
    """Whether long work waits for its own pace, and not for the server or for itself.

    Asked for each line of progress: tells of the time since the line before.
    """

    def __init__(self, pacer: Pacer | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._pacer = pacer
        self._clock = clock
        self._then, self._waited = clock(), pacer.seconds_waited if pacer else 0.0

    def in_words(self) -> str:
        """Empty where most of the time went elsewhere."""
        if self._pacer is None:
            return ""
        now, waited = self._clock(), self._pacer.seconds_waited
        is_most = waited - self._waited > _MOST_WAITED * (now - self._then)
        self._then, self._waited = now, waited
        return f", waiting for its own pace of {self._pacer.requests_per_minute:g} requests a minute" if is_most else ""


class ProgressLog:
    """One line in the log now and then, and one at the end. With the ``pacer``, they tell who waits for it."""

    def __init__(
        self,
        subject: str,
        logger: logging.Logger = log,
        clock: Callable[[], float] = time.monotonic,
        *,
        pacer: Pacer | None = None,
    ) -> None:
        self._subject = subject
        self._logger = logger
        self._clock = clock
        self._pacer = pacer
        self.start()

    def start(self, rows_before: int = 0) -> None:
        """The work begins now. An earlier attempt's rows say nothing about the speed of this one."""
        self._started = self._clock()
        self._rows_before = rows_before
        self._now_and_then = NowAndThen(self._clock)
        self._pace = PaceShare(self._pacer, self._clock)

    def step(self, *, pages: int, rows: int, stored: int) -> None:
        if self._now_and_then.is_due():
            effort = self._effort(pages, rows, stored)
            self._write(f"{counted(rows, 'row')} of {self._subject} so far ({effort}){self._pace.in_words()}")

    def exported(self, uris: Sequence[str], *, pages: int, rows: int, stored: int) -> None:
        where = f"{uris[0]} to {uris[-1]}" if len(uris) > 2 else " and ".join(uris)
        end = f"exported to {where}" if uris else "found, and nothing was written"
        self._write(f"{counted(rows, 'row')} of {self._subject} {end} ({self._effort(pages, rows, stored)})")

    def loaded(self, uri: str, changes: str, *, pages: int, rows: int, stored: int) -> None:
        """``changes`` tells what that did to the table."""
        effort = self._effort(pages, rows, stored)
        self._write(f"{counted(rows, 'row')} of {self._subject} loaded into {uri}: {changes} ({effort})")

    def _effort(self, pages: int, rows: int, stored: int) -> str:
        seconds = max(self._clock() - self._started, 1e-9)
        speed = f"{max(rows - self._rows_before, 0) / seconds:,.0f}"
        return f"{counted(pages, 'page')}, {size_of(stored)} in {seconds:.1f} s, {speed} rows/s"

    def _write(self, text: str) -> None:
        self._logger.info("%s", in_lines(text))
