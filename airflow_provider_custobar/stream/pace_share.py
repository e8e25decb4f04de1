"""Whether long work waits for its own pace, and not for the server or for itself."""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow_provider_custobar.api.pacing import Pacer

# So much of the time, before it is worth a word.
_MOST = 0.5


class PaceShare:
    """Asked for each line of progress: tells of the time since the line before."""

    def __init__(self, pacer: Pacer | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._pacer = pacer
        self._clock = clock
        self._then, self._waited = clock(), pacer.seconds_waited if pacer else 0.0

    def in_words(self) -> str:
        """Empty where most of the time went elsewhere."""
        if self._pacer is None:
            return ""
        now, waited = self._clock(), self._pacer.seconds_waited
        is_most = waited - self._waited > _MOST * (now - self._then)
        self._then, self._waited = now, waited
        return f", waiting for its own pace of {self._pacer.requests_per_minute:g} requests a minute" if is_most else ""
