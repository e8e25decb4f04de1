"""What a flow and its driver say to each other, and the pace at which they do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from airflow_provider_custobar.api.answers import Reply
from airflow_provider_custobar.api.errors import TransportError


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. ``repeatable`` is False where doing it twice would leave two of something behind.

    ``ahead`` makes of an answer's headers (names in lower case) the Request of the page that follows, if they tell it. Who
    calls it and gets a Request must begin it, at the context's pace: the flow counts the start as taken when it comes to it.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    repeatable: bool = True
    ahead: Callable[[Mapping[str, str]], Request | None] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """``reason`` is empty for ordinary pacing, else one line for the log."""

    seconds: float
    reason: str = ""


Outcome = Reply | TransportError | None


class Pacer:
    """Keeps the starts of requests at least ``60 / requests_per_minute`` seconds apart, for all who share it."""

    def __init__(self, requests_per_minute: float) -> None:
        self._interval = 60.0 / requests_per_minute
        self._next_start = float("-inf")
        #: How often a pause was asked for; who waits for a start looks whether it grew meanwhile.
        self.pauses = 0
        self._lock = threading.Lock()

    def reserve(self, now: float) -> float:
        """Take the next free start; return how many seconds away it is."""
        with self._lock:
            start = max(self._next_start, now)
            self._next_start = start + self._interval
            return start - now

    def hold(self, until: float) -> None:
        """Let nobody start before ``until``: the server asked for a pause. Starts taken already count no more."""
        with self._lock:
            self.pauses += 1
            self._next_start = max(self._next_start, until)
