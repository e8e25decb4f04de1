"""So many requests a period, told in X-Ratelimit on every response (P2; keys from P5, behaviour of P6)."""

from __future__ import annotations

import json
import math
import threading
from datetime import UTC, datetime

from airflow_provider_custobar.sandbox.clock import Clock
from airflow_provider_custobar.sandbox.spiffy.answers import RATE_HEADER, Answer, RefusedError
from airflow_provider_custobar.sandbox.spiffy.settings import SpiffyStoresSettings

#: Shown where there is no limit.
_NO_LIMIT = 1_000_000
#: The second limiter, where the settings want one, is this many times as wide.
_WIDER = 12


class RateLimit:
    """Fixed windows that end at multiples of the period on the clock; each caller has its own count.

    It stands before everything else, as P6 does in a web application, so refused requests count as well.
    """

    def __init__(self, clock: Clock, settings: SpiffyStoresSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, float, float], int] = {}

    def take(self, caller: str) -> tuple[list[str], RefusedError | None]:
        """Count a request; return the values for X-Ratelimit, and the refusal if it is one too many."""
        settings = self._settings
        limit, period = settings.rate_limit, settings.rate_period
        now = self._clock.now().timestamp()
        count, until = self._count(caller, now, period)
        values = [_value("API", period, limit, count, until)]
        if settings.rate_header.startswith("two"):
            wider = None if limit is None else limit * _WIDER
            values.append(_value("HTTP", period * _WIDER, wider, *self._count(caller, now, period * _WIDER)))
        if limit is None or count <= limit:
            return values, None
        headers = {}
        if settings.retry_after != "off":
            seconds = until - now if settings.retry_after == "window" else period
            headers["Retry-After"] = str(max(1, math.ceil(seconds)))
        text = (
            f"API rate limit exceeded. Please wait {headers.get('Retry-After', f'{period:g}')} seconds then retry your request."
        )
        return values, RefusedError(429, text, headers=headers, style="text")

    def _count(self, caller: str, now: float, period: float) -> tuple[int, float]:
        until = (math.floor(now / period) + 1) * period
        with self._lock:
            # Windows that are over are forgotten.
            self._counts = {key: count for key, count in self._counts.items() if key[2] > now}
            count = self._counts.get((caller, period, until), 0) + 1
            self._counts[caller, period, until] = count
        return count, until

    def tell(self, answer: Answer, values: list[str]) -> None:
        """Put the header on an answer."""
        style = self._settings.rate_header
        if style == "two_folded":
            answer.folded = tuple(values)
        elif style == "malformed":
            answer.headers[RATE_HEADER] = values[0][: len(values[0]) // 2]
        elif style != "missing":
            for value in values:
                answer.headers.add(RATE_HEADER, value)


def _value(name: str, period: float, limit: int | None, count: int, until: float) -> str:
    shown = {
        "name": name,
        "period": int(period) if period == int(period) else period,
        "limit": limit or _NO_LIMIT,
        "remaining": _NO_LIMIT if limit is None else max(0, limit - count),
        "until": datetime.fromtimestamp(math.ceil(until), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return json.dumps(shown, separators=(",", ":"))
