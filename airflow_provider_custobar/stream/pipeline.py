"""Pages fetched, encoded and stored at the same time, in three threads with little between them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

_PATIENCE_SECONDS = 2.0


class StoppedError(Exception):
    """No more items are wanted."""


class Turns:
    """Permission to ask for items: as many are out as there may be between asking for an item and its being stored."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)
        self._stopped = threading.Event()

    def take(self) -> None:
        """Wait for a turn.

        :raises StoppedError: there will be none.
        """
        self._free.acquire()
        if self._stopped.is_set():
            self._free.release()
            raise StoppedError

    def give_back(self) -> None:
        self._free.release()

    def stop(self) -> None:
        self._stopped.set()
        self._free.release()


class _End:
    """Nothing more comes from the reader, or from the writer: it is done, or it failed."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Pipeline(Generic[T]):
    """Inside its ``with`` block, iterate over the items and hand what has to be stored to :meth:`store`.

    ``source(turns)`` makes the items, in a thread of its own; it takes a turn for each, before it asks for it. What is handed
    to :meth:`store` runs in another thread, in order. An error in either place surfaces in the iteration, or in :meth:`finish`,
    at the next possible moment. The threads are daemons, so that an unfinished wait does not hold up the end of the process.
    """

    def __init__(self, source: Callable[[Turns], Iterable[T]], *, depth: int) -> None:
        self._source = source
        self._turns = Turns(depth)
        self._arriving: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._stopped = threading.Event()
        self._reader = threading.Thread(target=self._read, name="custobar-reader", daemon=True)
        self._writer = threading.Thread(target=self._write, name="custobar-writer", daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        self._writer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Ask both threads to stop; give the writer a moment, since the caller is about to undo what it does."""
        self._stopped.set()
        self._turns.stop()
        self._work.put(None)
        # A task that is told to stop has five seconds in all.
        self._writer.join(_PATIENCE_SECONDS)

    def __iter__(self) -> Iterator[T]:
        while True:
            item = self._arriving.get()
            if self._failure is not None:
                raise self._failure
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
            del item

    @property
    def is_writing(self) -> bool:
        return self._writer.is_alive()

    def wait(self) -> None:
        """Wait for the writer, however long it takes."""
        self._writer.join()

    def store(self, work: Callable[[], None]) -> None:
        """Run ``work``, which stores an item, after what was handed over before; then give the item's turn back."""

        def store_and_give_back() -> None:
            work()
            self._turns.give_back()

        self._work.put(store_and_give_back)

    def add(self, work: Callable[[], None]) -> None:
        """Run ``work``, which stores a part of an item, after what was handed over before."""
        self._work.put(work)

    def finish(self) -> None:
        """Wait until everything is stored.

        :raises BaseException: what went wrong with it.
        """
        self._work.put(None)
        while not isinstance(item := self._arriving.get(), _End):
            pass
        if item.error is not None:
            raise item.error

    def _read(self) -> None:
        end = _End()
        try:
            for item in self._source(self._turns):
                self._arriving.put(item)
                del item
                if self._stopped.is_set():
                    return
        except StoppedError:
            return
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
            end = _End(error)
        self._arriving.put(end)

    def _write(self) -> None:
        end = _End()
        try:
            while (work := self._work.get()) is not None and not self._stopped.is_set():
                work()
                del work
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
            self._failure = error
            end = _End(error)
        self._arriving.put(end)
