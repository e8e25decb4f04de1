"""Positions inside a result, handed out in next_url; shape and lifetime are our choice."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_custobar.sandbox.clock import Clock
from airflow_provider_custobar.sandbox.errors import ApiError
from airflow_provider_custobar.sandbox.table import Ref

#: Expired cursors are thrown away at every so many new ones.
_SWEEP = 256

Params = dict[str, list[str]]


@dataclass(frozen=True)
class Cursor:
    """Where the next page starts; ``refs`` is the snapshot, None for paging over live data."""

    resource: str
    params: Params
    offset: int
    refs: Sequence[Ref] | None
    expires_at: float


class Cursors:
    """Open cursors by their opaque name."""

    def __init__(self, clock: Clock, *, salt: str) -> None:
        self._clock = clock
        self._salt = salt
        self._lock = threading.Lock()
        self._open: dict[str, Cursor] = {}
        self._numbers = itertools.count(1)

    def create(self, resource: str, params: Params, offset: int, refs: Sequence[Ref] | None, ttl_seconds: float) -> str:
        """Keep a position and return its name."""
        now = self._clock.monotonic()
        with self._lock:
            number = next(self._numbers)
            if number % _SWEEP == 0:
                self._open = {name: cursor for name, cursor in self._open.items() if cursor.expires_at > now}
            digest = hashlib.sha256(f"{self._salt}:{number}".encode()).hexdigest()
            self._open[digest[:24]] = Cursor(resource, params, offset, refs, now + ttl_seconds)
        return digest[:24]

    def find(self, name: str, resource: str, params: Params) -> Cursor:
        """Return the position; 400 if it expired, never was, or belongs to another query."""
        cursor = self._open.get(name)
        if cursor is None or cursor.expires_at <= self._clock.monotonic():
            raise ApiError(400, "Invalid cursor: it does not exist or has expired.")
        if cursor.resource != resource or cursor.params != params:
            raise ApiError(400, "Invalid cursor: it belongs to another query.")
        return cursor
