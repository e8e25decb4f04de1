"""The log of API requests that tests look into."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RequestRecord:
    """One API request as it was answered.

    ``at`` is the sandbox clock's monotonic seconds at arrival, so it moves with ``clock.advance``. ``status``
    is 0 if no byte was answered. ``token_hint`` is the masked token, or the user for Basic, "" for none.
    ``content_length`` is the size of the request's body, ``rows`` counts records delivered or received.
    """

    at: float
    method: str
    path: str
    query: dict[str, list[str]]
    status: int
    token_hint: str = ""
    content_length: int = 0
    rows: int = 0
    response_bytes: int = 0
    #: Kinds of faults that met the request.
    faults: tuple[str, ...] = field(default=())


class RequestLog:
    """Request records in the order of their answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[RequestRecord] = []

    def add(self, record: RequestRecord) -> None:
        """Keep a record."""
        with self._lock:
            self._records.append(record)

    def copy(self) -> list[RequestRecord]:
        """Return what is there now."""
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._records.clear()
