"""A clock that tests can advance; rate windows, token expiry, cursor lifetime and import delays read it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


class Clock:
    """Real time plus whatever was added by :meth:`advance`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._advanced = 0.0

    def advance(self, seconds: float) -> None:
        """Move the clock forward; it never goes back, so that no lifetime can grow again."""
        if seconds < 0:
            raise ValueError(f"seconds={seconds!r}: the clock only moves forward")
        with self._lock:
            self._advanced += seconds

    def monotonic(self) -> float:
        """Seconds on the monotonic clock, advanced."""
        return time.monotonic() + self._advanced

    def now(self) -> datetime:
        """Return the present instant in UTC, advanced."""
        return datetime.fromtimestamp(time.time() + self._advanced, UTC)
