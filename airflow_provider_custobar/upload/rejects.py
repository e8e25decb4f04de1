"""What becomes of rows that are not sent."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import TYPE_CHECKING, Self

from airflow_provider_custobar.stores.protocol import ObjectInfo, Sink, Target

if TYPE_CHECKING:
    # Its libraries are read only where rows are.
    from airflow_provider_custobar.upload.rows import Rejected


log = logging.getLogger(__name__)


class Rejects:
    """Rejected rows as JSON Lines, in an object that comes to be with the first of them. A context manager that leaves nothing
    unpublished behind, nor what a killed attempt left: ``object_id`` is that of
    :class:`~airflow_provider_custobar.stores.protocol.ObjectInfo`, and ``may_have_debris`` tells that there may have been one.
    """

    def __init__(self, target: Target, *, object_id: str | None = None, may_have_debris: bool = False) -> None:
        self.uri: str | None = None
        self._target = target
        self._sink: Sink | None = None
        self._info = ObjectInfo(content_type="application/x-ndjson", object_id=object_id)
        if may_have_debris:
            target.sweep(self._info)
        target.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._sink is None:
            return
        try:
            self._sink.abort()
        except Exception:  # what led here says more
            log.warning("Could not remove what was written of %s", self._target.uri, exc_info=True)

    def add(self, rejected: Rejected) -> None:
        if self._sink is None:
            self._sink = self._target.open(self._info)
        self._sink.write(rejected.as_json() + b"\n")

    def publish(self) -> None:
        if self._sink is not None:
            self._sink.publish()
            self._sink = None
            self.uri = self._target.uri
            log.info("The rejected rows are in %s", self.uri)
