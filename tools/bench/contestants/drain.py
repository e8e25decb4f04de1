"""The pages to nowhere: shows how much of the other times the servers of this benchmark take."""

from __future__ import annotations

from collections.abc import Callable

from tools.bench.contestants.raw_pages import RawPages
from tools.bench.order import Order


def prepare(order: Order) -> Callable[[], object]:
    def work() -> None:
        pages = RawPages(order)
        buffer = memoryview(bytearray(1 << 20))
        while pages.readinto(buffer):
            pass

    return work
