"""So many requests a minute for each token: 180 is known to C1, window and headers are our choice."""

from __future__ import annotations

import math
import threading
from datetime import timedelta

from werkzeug.http import http_date

from airflow_provider_custobar.sandbox.clock import Clock
from airflow_provider_custobar.sandbox.errors import ApiError
from airflow_provider_custobar.sandbox.settings import SandboxSettings


class RateLimit:
    """A fixed window per caller; it opens with the caller's first request, refused ones do not count."""

    def __init__(self, clock: Clock, settings: SandboxSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}

    def take(self, caller: str) -> None:
        """Count a request, or refuse it with 429."""
        limit, length = self._settings.rate_limit, self._settings.rate_window_s
        if limit is None:
            return
        now = self._clock.monotonic()
        with self._lock:
            opened, used = self._windows.get(caller, (now, 0))
            if now >= opened + length:
                opened, used = now, 0
            if used < limit:
                self._windows[caller] = (opened, used + 1)
                return
        wait = math.ceil(opened + length - now)
        raise ApiError(429, f"Rate limit of {limit} requests exceeded.", headers=self._retry_after(wait))

    def _retry_after(self, seconds: int) -> dict[str, str]:
        style = self._settings.retry_after
        if style == "off":
            return {}
        if style == "date":
            # An HTTP date has whole seconds; one more keeps it from lying before the window's end.
            return {"Retry-After": http_date(self._clock.now() + timedelta(seconds=seconds + 1))}
        return {"Retry-After": str(seconds)}
