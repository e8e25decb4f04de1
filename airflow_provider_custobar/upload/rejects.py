"""What becomes of rows that are not sent."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from airflow_provider_custobar.stores.protocol import ObjectInfo, Sink, Target

if TYPE_CHECKING:
    # Its libraries are read only where rows are.
    from airflow_provider_custobar.upload.rows import Rejected


class Rejects:
    """Rejected rows as JSON Lines, in an object that comes to be with the first of them. A context manager that leaves nothing
    unpublished behind.
    """

    def __init__(self, target: Target) -> None:
        self.uri: str | None = None
        self._target = target
        self._sink: Sink | None = None
        target.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._sink is not None:
            self._sink.abort()

    def add(self, rejected: Rejected) -> None:
        if self._sink is None:
            self._sink = self._target.open(ObjectInfo(content_type="application/x-ndjson"))
        self._sink.write(rejected.as_json() + b"\n")

    def publish(self) -> None:
        if self._sink is not None:
            self._sink.publish()
            self._sink = None
            self.uri = self._target.uri
