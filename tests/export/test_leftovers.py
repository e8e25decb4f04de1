"""What attempts leave behind that could not end as they should, and who removes it, or must not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_custobar.api.errors import ExpiredCursorError, NotFoundError, TransportError
from airflow_provider_custobar.export.checkpoints import Checkpoints
from airflow_provider_custobar.export.cutting import Limits
from airflow_provider_custobar.export.engine import ExportRun
from airflow_provider_custobar.export.file_set import FileSet
from airflow_provider_custobar.stores.local import LocalStore
from airflow_provider_custobar.stores.protocol import TargetError
from airflow_provider_custobar.stream.state_store import SupersededError
from tests.export.support import MARK, MARKED, DictSink, DictTarget
from tests.export.test_checkpoints import Memory
from tests.export.test_engine import DictFiles, Errors, Task, pages_of


def test_what_the_last_attempt_cannot_take_up_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a store that fails where the last attempt takes up what is there leaves nothing of it."""
    task = Task(pages_of(10), name="a-{part}", limits=Limits(max_rows=6))
    with pytest.raises(TransportError):
        task.attempt(stop_at=5)
    assert len(task.store.debris()) == 3

    def reopen(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(DictTarget, "reopen", reopen)
    with pytest.raises(OSError, match="no space"):
        task.attempt(will_follow=False)
    assert (task.store.debris(), task.state.values) == ([], {})


def test_what_a_prepared_attempt_would_have_taken_up_can_be_removed() -> None:
    """Rule: an attempt that is refused before its first request can remove what the one before it left."""
    task = Task(pages_of(10))
    with pytest.raises(TransportError):
        task.attempt(stop_at=5)
    task.store.objects["a"] = b"another's"
    with pytest.raises(TargetError):
        task.attempt(files=FileSet("a", DictFiles(task.store, replace=False), replace=False))
    ExportRun(task.export).give_up()
    assert (task.store.debris(), task.state.values, task.store.objects) == ([], {}, {"a": b"another's"})


def test_a_replaced_attempt_gives_nothing_up() -> None:
    """Rule: what another attempt goes on with is not removed by one that ends for good."""
    task = Task(pages_of(10))
    with pytest.raises(TransportError):
        task.attempt(stop_at=5)
    task.state.broken = ("set", "delete", "superseded")
    ExportRun(task.export).give_up()
    task.state.broken = ()
    assert task.attempt().resumed


def test_an_attempt_that_was_replaced_before_it_began_sweeps_nothing_away() -> None:
    """Rule: Airflow tells it of nothing that is kept, and it must not take what is there for a dead attempt's."""
    task = Task(pages_of(10))
    with pytest.raises(TransportError):
        task.attempt(stop_at=5)
    with pytest.raises(SupersededError):
        task.attempt(checkpoints=Checkpoints(Memory("set", "delete", "superseded"), "export", "f"))
    assert task.attempt().resumed


def test_a_replaced_attempt_that_would_start_over_sweeps_nothing_away() -> None:
    """Rule: one that has slept until its cursor is not there any more leaves what the other attempt goes on with."""
    task = Task(pages_of(10))
    with pytest.raises(TransportError):
        task.attempt(stop_at=3)

    def superseded() -> BaseException:
        task.state.broken = ("set", "delete", "superseded")
        return ExpiredCursorError("the cursor is not there any more")

    with pytest.raises(SupersededError):
        task.attempt(stop_at=6, error=Errors(superseded))
    task.state.broken = ()
    assert task.attempt().resumed


def test_giving_up_hides_no_error() -> None:
    """Rule: an attempt that is told to stop ends so, even where Airflow does not tell what it has kept."""
    task = Task(pages_of(10))
    with pytest.raises(TransportError):
        task.attempt(stop_at=5)
    task.state.broken = ("get",)
    ExportRun(task.export).give_up()


@pytest.mark.parametrize("name", ["a", "a-{part}"])
def test_what_killed_attempts_left_unrecorded_goes_first(name: str) -> None:
    """Rule: a later attempt that ends before it opens a file leaves nothing of those before it either."""
    task = Task(pages_of(10), name=name)
    for number in range(3 if "{part}" in name else 1):
        sink = task.store.target(name.format(part=f"{number:05}")).open(MARKED)
        sink.write(b"half")
        sink.durable()

    def refuse(*_: Any) -> Any:
        raise NotFoundError("x", status=404, reason="")

    with pytest.raises(NotFoundError):
        task.attempt(pages=refuse, may_have_debris=True)
    assert task.store.debris() == []


def test_a_replaced_attempt_takes_its_own_with_it() -> None:
    """Rule: what a replaced attempt has begun and not recorded is known to nobody else, and goes with it."""
    task = Task(pages_of(4), name="a-{part}", limits=Limits(max_rows=3))
    store = task.state

    def superseded(key: str, value: Any) -> None:
        if key == "export" and "export.files.1" in store.values:
            store.broken = ("set", "delete", "superseded")
        Memory.set(store, key, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "set", superseded)
        with pytest.raises(SupersededError):
            task.attempt()
    assert task.store.debris() == [f"a-00000.{MARK}"]
    store.broken = ()
    assert task.attempt().resumed


def test_without_replacing_nothing_that_is_there_goes() -> None:
    """Rule: with replace=False no file is an earlier export's that this one is a shorter one of."""
    task = Task(pages_of(2), name="a-{part}")
    task.store.objects["a-00001"] = b"another's"
    task.attempt(files=FileSet("a-{part}", DictFiles(task.store, replace=False), replace=False))
    assert sorted(task.store.objects) == ["a-00000", "a-00001"]


def test_what_an_attempt_leaves_is_what_it_has_recorded() -> None:
    """Rule: a file of which the next attempt could not know goes with the attempt that has begun it."""
    task = Task(pages_of(4), name="a-{part}", limits=Limits(max_rows=3))
    write = DictSink.write

    def failing(sink: DictSink, data: bytes) -> None:
        write(sink, data)
        if sink.target.name == "a-00001":
            sink.durable()
            raise OSError("no space left")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DictSink, "write", failing)
        with pytest.raises(OSError, match="no space"):
            task.attempt()
    assert task.store.debris() == [f"a-00000.{MARK}"]
    assert task.attempt().resumed


@pytest.mark.parametrize("replace", [True, False])
def test_what_earlier_attempts_published_of_a_set_is_taken_back(replace: bool) -> None:
    """Rule: where the last attempt does not come so far as to publish, no part of a set stays that one before it published."""
    task = Task(pages_of(4), name="a-{part}", limits=Limits(max_rows=3))
    task.arguments["files"] = FileSet("a-{part}", DictFiles(task.store, replace=replace), replace=replace)
    publish = DictSink.publish

    def failing(sink: DictSink) -> None:
        if sink.target.name == "a-00002":
            raise OSError("away")
        publish(sink)

    def reopen(*_: Any) -> None:
        raise OSError("still away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DictSink, "publish", failing)
        with pytest.raises(OSError, match="away"):
            task.attempt()
        assert len(task.store.objects) == 2
        patch.setattr(DictTarget, "reopen", reopen)
        with pytest.raises(OSError, match="still away"):
            task.attempt(will_follow=False)
    assert (task.store.objects, task.store.debris(), task.state.values) == ({}, [], {})


def test_a_set_that_was_begun_to_be_published_unrecorded_is_taken_back() -> None:
    """Rule: where a state store took no note of it, a next attempt must not be refused by what this one has published."""
    task = Task(pages_of(4), name="a-{part}", limits=Limits(max_rows=3))
    task.arguments["files"] = FileSet("a-{part}", DictFiles(task.store, replace=False), replace=False)
    publish = DictSink.publish

    def failing(sink: DictSink) -> None:
        if sink.target.name == "a-00002":
            raise OSError("away")
        publish(sink)

    def forgetful(key: str, value: Any) -> None:
        if key == "export" and value["body"]["is_whole"]:
            raise ConnectionError
        Memory.set(task.state, key, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task.state, "set", forgetful)
        patch.setattr(DictSink, "publish", failing)
        with pytest.raises(OSError, match="away"):
            task.attempt()
    assert task.attempt().rows == 12


def test_attempts_that_come_no_further_pile_up_no_copies(tmp_path: Path) -> None:
    """Rule: however many attempts fail at the same page, the file that they go on from is there once."""
    task = Task(pages_of(4), files=FileSet(f"{tmp_path}/a", LocalStore()))
    for _ in range(3):
        with pytest.raises(TransportError):
            task.attempt(stop_at=2)
    assert len(list(tmp_path.iterdir())) == 1
    assert task.attempt().resumed


def test_a_set_that_is_given_up_is_taken_back() -> None:
    """Rule: no part of a set stays where a person ends the task while it publishes; one that is there as a whole does."""
    task = Task(pages_of(4), name="a-{part}", limits=Limits(max_rows=3))
    publish = DictSink.publish

    def stopped(sink: DictSink) -> None:
        if sink.target.name == "a-00002":
            raise SystemExit
        publish(sink)

    for goes_on in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DictSink, "publish", stopped)
            with pytest.raises(SystemExit):
                task.attempt()
        assert len(task.store.objects) == 2
        if goes_on:
            task.attempt()
        ExportRun(task.export).give_up()
        assert (len(task.store.objects), task.store.debris(), task.state.values) == (4 if goes_on else 0, [], {})
