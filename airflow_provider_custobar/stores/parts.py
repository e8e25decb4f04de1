"""An object written part by part: what S3 and GCS have in common."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping

from airflow_provider_custobar.stores.protocol import ObjectInfo, State

PART_BYTES = 8 << 20
#: S3 takes no smaller part but the last one.
LEAST_PART_BYTES = 5 << 20
#: What a kill may cost in time where pages come slowly.
_MOST_SECONDS = 60.0


class PartBuffer:
    """Writes that are not in any part yet. A part is due when it has its size, or its least size and a minute is over.

    A part never holds the end of one write and the beginning of another unless it holds all of both: where a part ends, a page
    does, and an export can be continued.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pieces: list[bytes | memoryview] = []
        self._since = clock()
        self.size = 0

    def add(self, data: bytes | memoryview) -> None:
        if len(data):
            self._pieces.append(data)
            self.size += len(data)

    def is_due(self, part_bytes: int) -> bool:
        if self.size >= part_bytes:
            return True
        return self.size >= LEAST_PART_BYTES and self._clock() - self._since >= _MOST_SECONDS

    @property
    def content(self) -> bytes | memoryview:
        """As one; a single piece is not copied."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    def clear(self) -> None:
        # Not emptied in place: another thread may be at it.
        self._pieces = []
        self.size = 0
        self._since = self._clock()


class PartsSink(ABC):
    """A :class:`~airflow_provider_custobar.stores.protocol.Sink` whose writes fill a buffer, which goes up when it has the size
    of a part. An object smaller than one part is put in one request.
    """

    can_go_on = True

    def __init__(self, info: ObjectInfo) -> None:
        self._info = info
        self._buffer = PartBuffer()
        self._written = 0
        self._late_metadata: dict[str, str] = {}
        self._finished = False
        self._published = False
        # After a failed part nobody knows which of the writes are in the buffer.
        self._broken = False

    def prepare(self, size: int) -> bool:
        return False

    def write(self, data: bytes | memoryview) -> None:
        self._refuse_broken()
        if self._buffer.size:
            # One page may wait beside a part that is on its way: no more than that is lost with this process.
            self._settle()
        self._buffer.add(data)
        self._written += len(data)
        if self._buffer.is_due(self._part_bytes()):
            self._send_buffer()

    def durable(self) -> tuple[int, State] | None:
        self._refuse_broken()
        size = self._durable_size()
        return None if size is None or self._info.object_id is None else (size, self._state(size))

    def end(self, metadata: Mapping[str, str]) -> None:
        self._refuse_broken()
        self._late_metadata = dict(metadata)

    def finish(self) -> State | None:
        self._refuse_broken()
        self._settle()
        if self._wants_last_part():
            self._send_buffer()
            self._settle()
        self._finished = True
        return None if self._info.object_id is None else {**self._state(self._written), "finished": self._late_metadata}

    def publish(self) -> None:
        if not self._published:
            if not self._finished:
                self.finish()
            self._refuse_broken()
            self._store()
            self._published = True
            self._buffer.clear()
        self._clean_up()

    def abort(self, keep: State | None = None) -> None:
        if not self._published:
            self._broken = True
            self._buffer.clear()
            self._undo(keep)

    def resume(self, state: State) -> None:
        """Be as the sink was that gave this state.

        :raises LostError: what it speaks of is not there any more, or not as it was.
        """
        self._finished = "finished" in state
        self._late_metadata = state.get("finished", {})
        self._written = state["bytes"]

    @abstractmethod
    def _part_bytes(self) -> int: ...

    @abstractmethod
    def _durable_size(self) -> int | None:
        """How many bytes are in the store; None where there is nothing that a state would have to name."""

    @abstractmethod
    def _state(self, size: int) -> State: ...

    @abstractmethod
    def _wants_last_part(self) -> bool:
        """Whether what is buffered has to go up before the object can be published, here or in another process."""

    @abstractmethod
    def _send(self, content: bytes | memoryview) -> None:
        """Send a part, or begin to."""

    def _settle(self) -> None:  # noqa: B027 - most send at once
        """Wait for what is on its way."""

    @abstractmethod
    def _store(self) -> None:
        """Make the object of what was sent, or of what is buffered.

        :raises TargetError: it is there already and must not be replaced.
        """

    @abstractmethod
    def _clean_up(self) -> None:
        """After publishing."""

    @abstractmethod
    def _undo(self, keep: State | None) -> None:
        """Remove what was sent, but for what belongs to ``keep``."""

    def _refuse_broken(self) -> None:
        if self._broken:
            raise RuntimeError("this object was given up; open a new one")

    def _send_buffer(self) -> None:
        self._settle()
        with self._breaking():
            self._send(self._buffer.content)
        self._buffer.clear()

    @contextlib.contextmanager
    def _breaking(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._broken = True
            raise
