"""What becomes of rows that are not sent."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_custobar.stores.protocol import ObjectInfo, Sink, Target

if TYPE_CHECKING:
    # Its libraries are read only where rows are.
    from airflow_provider_custobar.upload.rows import Rejected

_MOST_REASONS_LOGGED = 1_000


class Rejects:
    """Rejected rows as JSON Lines, in an object that comes to be with the first of them; without a target, their reasons in
    the log. A context manager that leaves nothing unpublished behind.
    """

    def __init__(self, target: Target | None, log: Any) -> None:
        self.uri: str | None = None
        self._log = log
        self._logged = 0
        self._target = target
        self._sink: Sink | None = None
        if self._target is not None:
            self._target.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._sink is not None:
            self._sink.abort()

    def add(self, rejected: Rejected) -> None:
        if self._target is None:
            self._tell(rejected)
            return
        if self._sink is None:
            self._sink = self._target.open(ObjectInfo(content_type="application/x-ndjson"))
        self._sink.write(rejected.as_json() + b"\n")

    def publish(self) -> None:
        if self._sink is not None and self._target is not None:
            self._sink.publish()
            self._sink = None
            self.uri = self._target.uri

    def _tell(self, rejected: Rejected) -> None:
        self._logged += 1
        if self._logged <= _MOST_REASONS_LOGGED:
            self._log.warning("Row %s is set aside: %s", rejected.position, "; ".join(rejected.reasons))
        elif self._logged == _MOST_REASONS_LOGGED + 1:
            self._log.warning("More rows are set aside than are told here: give rejects_path to have them all")
