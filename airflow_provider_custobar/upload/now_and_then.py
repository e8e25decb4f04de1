"""When to write the next line about long work into the log."""

from __future__ import annotations

import time

_SECONDS = 5.0


class NowAndThen:
    """Is true once in a few seconds, to whoever asks often."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __bool__(self) -> bool:
        now = time.monotonic()
        if now - self._last < _SECONDS:
            return False
        self._last = now
        return True
