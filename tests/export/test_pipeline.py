"""Fetching, encoding and storing at once: in order, never further ahead than agreed, and nothing left running."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_custobar.stream.pipeline import Pipeline, StoppedError, Turns
from tools.waiting import wait_until

ENOUGH = 5.0
# How long a mistake is given to show: a thread that runs too far ahead does so at once.
A_MOMENT = 0.15


def until(condition: Callable[[], bool]) -> bool:
    return wait_until("the threads have done so", condition, every_seconds=0.002)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("custobar-")]


@pytest.fixture(autouse=True)
def _no_leak() -> Iterator[None]:
    """Every test here ends without a thread left."""
    yield
    assert until(lambda: not threads())


class Counted:
    """A source of numbers that tells how many were asked for. ``fail_at`` raises ``error`` in place of that number."""

    def __init__(self, count: int, *, fail_at: int | None = None, error: BaseException | None = None) -> None:
        self.count = count
        self.asked = 0
        self.fail_at = fail_at
        self.error = error

    def __call__(self, turns: Turns) -> Iterator[int]:
        for number in range(self.count):
            turns.take()
            self.asked += 1
            if number == self.fail_at:
                assert self.error is not None
                raise self.error
            yield number


def run(source: Any, work: Callable[[int], None], *, depth: int = 2) -> list[int]:
    seen = []
    with Pipeline(source, depth=depth) as pipeline:
        for item in pipeline:
            seen.append(item)
            pipeline.store(lambda item=item: work(item))  # type: ignore[misc]
        pipeline.finish()
    return seen


@pytest.mark.parametrize("count", [0, 1, 2, 200])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_all_items_in_order(count: int, depth: int) -> None:
    """Nothing is lost, doubled or exchanged, on either side."""
    stored: list[int] = []
    assert run(Counted(count), stored.append, depth=depth) == list(range(count))
    assert stored == list(range(count))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_never_more_than_the_depth_is_asked_for_and_not_stored(depth: int) -> None:
    """A kill loses at most ``depth`` items: no item is asked for before the one that many places earlier is stored."""
    source = Counted(50)
    stored: list[int] = []
    ahead: list[int] = []

    def store(item: int) -> None:
        time.sleep(0.003)
        ahead.append(source.asked - len(stored))
        stored.append(item)

    run(source, store, depth=depth)
    assert max(ahead) == depth


def test_an_item_is_fetched_while_another_is_stored() -> None:
    """The next item is asked for while one is being stored."""
    source = Counted(2)

    def store(item: int) -> None:
        assert until(lambda: source.asked == 2)

    run(source, store)


def test_an_item_is_made_while_another_is_stored() -> None:
    """The caller has the next item while one is being stored."""
    has_second = threading.Event()

    def store(item: int) -> None:
        if item == 0:
            assert has_second.wait(ENOUGH)

    with Pipeline(Counted(2), depth=2) as pipeline:
        for item in pipeline:
            if item == 1:
                has_second.set()
            pipeline.store(lambda item=item: store(item))  # type: ignore[misc]
        pipeline.finish()


@pytest.mark.parametrize("fail_at", [0, 1, 5])
@pytest.mark.parametrize("error", [ValueError("first"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_of_the_source_surfaces_as_itself(fail_at: int, error: BaseException) -> None:
    """What the source raises arrives in the caller's iteration, in its place, as the same object."""
    stored: list[int] = []
    with pytest.raises(type(error)) as caught:
        run(Counted(10, fail_at=fail_at, error=error), stored.append)
    assert caught.value is error
    assert stored == list(range(len(stored)))
    assert len(stored) <= fail_at


@pytest.mark.parametrize("fail_at", [0, 1, 5])
@pytest.mark.parametrize("error", [ValueError("first"), SystemExit(3)])
def test_an_error_in_storing_surfaces_as_itself(fail_at: int, error: BaseException) -> None:
    """What storing raises ends the caller's iteration, and nothing is stored after it."""
    source = Counted(100)
    stored: list[int] = []

    def store(item: int) -> None:
        if item == fail_at:
            raise error
        stored.append(item)

    with pytest.raises(type(error)) as caught:
        run(source, store)
    assert caught.value is error
    assert stored == list(range(fail_at))
    assert source.asked <= fail_at + 2


def test_an_error_in_storing_does_not_wait_for_the_next_item() -> None:
    """A store that fails ends the export at once, even while the source waits out a Retry-After."""
    hold = threading.Event()

    def source(turns: Turns) -> Iterator[int]:
        turns.take()
        yield 0
        hold.wait(ENOUGH * 10)

    def store(item: int) -> None:
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        run(source, store)
    assert not hold.is_set(), "it did not wait for the source"
    hold.set()


def test_an_error_in_storing_the_last_item_surfaces() -> None:
    """``finish`` waits for what is still to be stored, and raises what it raises."""

    def store(item: int) -> None:
        time.sleep(0.05)
        raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        run(Counted(1), store)


def test_leaving_stops_both_sides() -> None:
    """An error of the caller's own ends the source at its next turn, and drops what was not stored yet."""
    source = Counted(1000)
    stored: list[int] = []
    with pytest.raises(ZeroDivisionError), Pipeline(source, depth=2) as pipeline:  # noqa: PT012 - the block is what is tested
        for item in pipeline:
            pipeline.store(lambda item=item: stored.append(item))  # type: ignore[misc]
            if item == 3:
                raise ZeroDivisionError
    assert until(lambda: not threads())
    asked, count = source.asked, len(stored)
    time.sleep(A_MOMENT)
    assert (source.asked, len(stored)) == (asked, count)
    assert asked <= 6


def test_leaving_waits_a_moment_for_the_writer() -> None:
    """What is being stored comes to its end before the caller undoes it, if it takes no longer than two seconds."""
    done = threading.Event()

    def slowly() -> None:
        time.sleep(0.3)
        done.set()

    with pytest.raises(ZeroDivisionError), Pipeline(Counted(2), depth=2) as pipeline:  # noqa: PT012 - the block is what is tested
        for _ in pipeline:
            pipeline.store(slowly)
            time.sleep(A_MOMENT)
            raise ZeroDivisionError
    assert done.is_set()
    assert not pipeline.is_writing


def test_leaving_does_not_wait_for_a_stuck_writer() -> None:
    """A store that does not answer does not hold up the end of a task for good, and can be waited for."""
    hold = threading.Event()
    with pytest.raises(ZeroDivisionError), Pipeline(Counted(2), depth=2) as pipeline:  # noqa: PT012 - the block is what is tested
        for _ in pipeline:
            pipeline.store(lambda: hold.wait(ENOUGH * 10) and None)
            time.sleep(A_MOMENT)
            raise ZeroDivisionError
    assert pipeline.is_writing
    hold.set()
    pipeline.wait()
    assert not pipeline.is_writing


def test_no_turn_after_the_stop() -> None:
    """Whoever waits for a turn when the export ends learns that there will be none, and so does whoever asks later."""
    turns = Turns(1)
    turns.take()
    outcome: list[str] = []

    def wait() -> None:
        try:
            turns.take()
        except StoppedError:
            outcome.append("stopped")

    waiting = [threading.Thread(target=wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    turns.stop()
    for thread in waiting:
        thread.join(ENOUGH)
    assert outcome == ["stopped"] * 3
    with pytest.raises(StoppedError):
        turns.take()


def test_items_are_not_kept() -> None:
    """No item outlives its storing, since pages are large."""

    class Item:
        alive = 0

        def __init__(self) -> None:
            Item.alive += 1

        def __del__(self) -> None:
            Item.alive -= 1

    most = [0]

    def source(turns: Turns) -> Iterator[Item]:
        for _ in range(20):
            turns.take()
            most[0] = max(most[0], Item.alive + 1)
            yield Item()

    def keep(item: Item) -> Callable[[], None]:
        return lambda: time.sleep(0.001) or (id(item) and None)  # type: ignore[func-returns-value]

    with Pipeline(source, depth=2) as pipeline:
        for item in pipeline:
            pipeline.store(keep(item))
            del item
        pipeline.finish()
    assert most[0] <= 2
