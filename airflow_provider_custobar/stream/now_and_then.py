"""When to write the next line about long work into the log."""

from __future__ import annotations

import time
from collections.abc import Callable

# The longer it takes, the less a line more tells: seconds between two of them, by the seconds that the work has taken.
_PAUSES = ((60.0, 5.0), (600.0, 30.0), (float("inf"), 120.0))


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
