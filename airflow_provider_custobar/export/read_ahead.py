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
    ready: queue.Queue[T | _End] = queue.Queue(maxsize=1)
    stopped = threading.Event()

    def put(item: T | _End) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as caught:  # noqa: BLE001 - handed to the reader, whatever it is
            error = caught
        put(_End(error))

    def read() -> Iterator[T]:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    threading.Thread(target=work, name="custobar-read-ahead", daemon=True).start()
    try:
        yield read()
    finally:
        stopped.set()
