"""Reading ahead: one item early, never more, and nothing left running."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_custobar.export.read_ahead import read_ahead

ENOUGH = 5.0
# How long a mistake is given to show: a thread that runs too far ahead does so at once.
A_MOMENT = 0.15


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + ENOUGH
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    return condition()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "custobar-read-ahead"]


@pytest.fixture(autouse=True)
def _no_leak() -> Iterator[None]:
    """Every test here ends without a thread left."""
    yield
    assert until(lambda: not threads())


class Counted:
    """Numbers, with a count of those begun. ``fail_at`` raises ``error`` in place of that number."""

    def __init__(self, count: int, *, fail_at: int | None = None, error: BaseException | None = None) -> None:
        self.count = count
        self.begun = 0
        self.closed = threading.Event()
        self.fail_at = fail_at
        self.error = error

    def __iter__(self) -> Iterator[int]:
        try:
            for number in range(self.count):
                self.begun += 1
                if number == self.fail_at:
                    assert self.error is not None
                    raise self.error
                yield number
        finally:
            self.closed.set()


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_all_items_in_order(count: int) -> None:
    """Nothing is lost, doubled or exchanged."""
    with read_ahead(Counted(count)) as items:
        assert list(items) == list(range(count))


def test_the_next_item_is_made_meanwhile() -> None:
    """While the reader works on an item, the next one is begun."""
    source = Counted(5)
    with read_ahead(source) as items:
        for expected in (2, 3, 4):
            next(items)
            assert until(lambda wanted=expected: source.begun >= wanted)


def test_never_more_than_one_ahead() -> None:
    """While the reader works on item n, item n+2 is not begun: two pages are in memory at most, the one read and the next."""
    source = Counted(10)
    with read_ahead(source) as items:
        for number, _ in enumerate(items):
            time.sleep(A_MOMENT / 5)
            assert source.begun <= number + 2


def test_no_more_than_one_before_the_first_is_read() -> None:
    """A reader that has not begun yet, because it opens its target say, causes one request and not two."""
    source = Counted(10)
    with read_ahead(source) as items:
        time.sleep(A_MOMENT)
        assert source.begun <= 1
        assert next(items) == 0


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
@pytest.mark.parametrize("fail_at", [0, 1, 3])
def test_an_error_surfaces_at_its_place(error: BaseException, fail_at: int) -> None:
    """What came before the error is read; then the very error is raised, of whatever kind it is."""
    seen = []
    with (
        pytest.raises(type(error)) as caught,
        read_ahead(Counted(5, fail_at=fail_at, error=error)) as items,
    ):
        seen.extend(items)
    assert caught.value is error
    assert seen == list(range(fail_at))


def test_an_error_before_the_first_item_surfaces() -> None:
    """Something that cannot be iterated is an error of the reader, not a silent end."""
    with pytest.raises(TypeError), read_ahead(5) as items:  # type: ignore[type-var]
        next(items)


def test_leaving_early_stops_the_thread() -> None:
    """A reader that leaves stops the thread: no further item is begun, and the source is closed."""
    source = Counted(1000)
    with read_ahead(source) as items:
        next(items)
    assert until(lambda: not threads())
    begun = source.begun
    assert begun <= 3
    assert source.closed.is_set()


def test_leaving_by_an_error_stops_the_thread() -> None:
    """The reader's own error comes out unchanged, and the thread stops."""
    with pytest.raises(ZeroDivisionError), read_ahead(Counted(1000)) as items:  # noqa: PT012 - the block is what is tested
        next(items)
        raise ZeroDivisionError
    assert until(lambda: not threads())


def test_leaving_without_reading_stops_the_thread() -> None:
    """A reader that never begins leaves nothing running."""
    with read_ahead(Counted(1000)):
        pass
    assert until(lambda: not threads())


def test_an_unread_error_stops_the_thread() -> None:
    """An error that nobody came to read does not keep the thread waiting."""
    with read_ahead(Counted(5, fail_at=1, error=ValueError())) as items:
        next(items)
    assert until(lambda: not threads())


def test_leaving_does_not_wait_for_the_item_being_made() -> None:
    """A source that waits, for a rate limit say, does not hold up the reader's leaving."""
    go_on = threading.Event()

    def waiting() -> Iterator[int]:
        yield 0
        go_on.wait(ENOUGH)
        yield 1

    started = time.monotonic()
    with read_ahead(waiting()) as items:
        next(items)
    assert time.monotonic() - started < ENOUGH / 2
    assert all(thread.daemon for thread in threads())
    go_on.set()


def test_many_exports_leave_no_threads() -> None:
    """Whole readings one after the other leave no thread either."""
    for _ in range(20):
        with read_ahead(Counted(3)) as items:
            list(items)
    assert until(lambda: not threads())
