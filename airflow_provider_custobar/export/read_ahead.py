"""The next item made in a thread of its own while the present one is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


@contextmanager
def read_ahead(items: Iterable[T]) -> Iterator[Iterator[T]]:
    """Inside the block, an iterator over ``items`` that is one item ahead of its reader; never more than that.

    An error in making an item surfaces at that item's place. Leaving the block stops the thread after the item that it is
    making; it is a daemon, so that an unfinished wait does not hold up the end of the process.
    """
    ready: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
    # A permit to make one item: there is one at the start, and one more for each item that the reader takes.
    wanted = threading.Semaphore(1)
    stopped = threading.Event()

    def work() -> None:
        end = _End(None)
        try:
            source = iter(items)
            while True:
                wanted.acquire()
                if stopped.is_set():
                    return
                item = next(source, end)
                if isinstance(item, _End):
                    break
                ready.put(item)
        except BaseException as caught:  # noqa: BLE001 - handed to the reader, whatever it is
            end = _End(caught)
        ready.put(end)

    def read() -> Iterator[T]:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            wanted.release()
            yield item

    threading.Thread(target=work, name="custobar-read-ahead", daemon=True).start()
    try:
        yield read()
    finally:
        stopped.set()
        wanted.release()
