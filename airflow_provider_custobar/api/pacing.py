"""The pace at which requests start."""

from __future__ import annotations

import math
import threading


class Pacer:
    """Keeps the starts of requests at least ``60 / requests_per_minute`` seconds apart, for all who share it."""

    def __init__(self, requests_per_minute: float) -> None:
        self.requests_per_minute = requests_per_minute
        self._interval = 60.0 / requests_per_minute
        self._next_start = float("-inf")
        self._paused_until = float("-inf")
        self._has_void_starts = False
        #: How often a pause was asked for; who waits for a start looks whether it grew meanwhile, and then takes another.
        self.pauses = 0
        #: How long all starts so far had to wait for the pace alone, without the pauses that were asked for.
        self.seconds_waited = 0.0
        self._lock = threading.Lock()

    def reserve(self, now: float) -> float:
        """Take the next free start; return how many seconds away it is."""
        with self._lock:
            if self._has_void_starts:
                self._has_void_starts = False
                ahead = max(0.0, self._next_start - now)
                # Less a little, because a start that is on its way must not count as void for a rounding error.
                void = max(0, math.ceil(ahead / self._interval - 1e-6) - 1)
                self._next_start = max(self._next_start - void * self._interval, self._paused_until)
            start = max(self._next_start, now)
            self._next_start = start + self._interval
            self.seconds_waited += start - min(max(now, self._paused_until), start)
            return start - now

    def hold(self, until: float) -> None:
        """Let nobody start before ``until``: the server asked for a pause.

        Starts that are taken and still to come count no more, so that a pause costs everybody no more than itself.
        """
        with self._lock:
            self.pauses += 1
            self._paused_until = max(self._paused_until, until)
            self._has_void_starts = True

    def pause_left(self, now: float) -> float:
        """How many seconds of a pause that was asked for are left."""
        return max(0.0, self._paused_until - now)

    def is_idle(self, now: float) -> bool:
        """Whether a start is free at once."""
        return max(self._next_start, self._paused_until) <= now
