"""Checkpoints: read back as they were recorded, small, ignored when they are not this request's, and never in the way."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.export.checkpoints import Checkpoint, Checkpoints, WholeFile
from airflow_provider_custobar.export.cutting import ExportProgress
from airflow_provider_custobar.stream.envelope import fingerprint_of
from airflow_provider_custobar.stream.state_store import SupersededError

NOW = datetime(2026, 2, 10, 3, tzinfo=UTC)
MOST_BYTES = 65_535


class Memory:
    """Airflow's task state store, as far as it is used. ``broken`` names the calls that fail."""

    def __init__(self, *broken: str) -> None:
        self.values: dict[str, str] = {}
        self.broken = broken
        self.calls: list[str] = []

    def get(self, key: str) -> Any:
        self._note("get", key)
        return json.loads(self.values[key]) if key in self.values else None

    def set(self, key: str, value: Any) -> None:
        self._note("set", key)
        text = json.dumps(value)
        # Airflow takes what JSON has: no tuple, and no None by itself.
        assert json.loads(text) == value is not None
        assert len(text) <= MOST_BYTES
        self.values[key] = text

    def delete(self, key: str) -> None:
        self._note("delete", key)
        self.values.pop(key, None)

    def _note(self, call: str, key: str) -> None:
        self.calls.append(f"{call} {key}")
        if call in self.broken:
            raise SupersededError("gone") if "superseded" in self.broken else ConnectionError("the API server is away")


def checkpoints(store: Memory, fingerprint: str = "f", now: datetime = NOW) -> Checkpoints:
    return Checkpoints(store, "export", fingerprint, now=lambda: now)


def checkpoint(files: int = 0, **changes: Any) -> Checkpoint:
    position = Position(
        chain=1, url="https://acme.example/?cursor=c", header=("id", "ä"), seen=("ab", "cd"), record=7, repeated=1
    )
    values: dict[str, Any] = {
        "files": files,
        "position": position,
        "rows": 10,
        "pages": 3,
        "unplaced": 1,
        "offset": 99,
        "file_rows": 5,
        "file_bytes": 6,
        "skip": 2,
        "skipped": "e",
        "columns": ("id",),
    }
    return Checkpoint(
        run="r", progress=ExportProgress(**(values | changes)), state={"upload": "x", "parts": 2, "nothing": None}
    )


def whole(count: int) -> list[WholeFile]:
    return [WholeFile(rows=number, size=number * 2, state={"upload": "u" * 700, "number": number}) for number in range(count)]


def test_what_is_recorded_comes_back() -> None:
    """A later attempt reads exactly what was recorded last, through JSON."""
    store = Memory()
    checkpoints(store).save(checkpoint(1), whole(1))
    checkpoints(store).save(checkpoint(2, rows=20), whole(2))
    assert checkpoints(store).load() == (checkpoint(2, rows=20), whole(2), True)


def test_without_position_and_state() -> None:
    """Nothing but a beginning, or nothing but an end, comes back as well."""
    store = Memory()
    last = Checkpoint(run="r", progress=ExportProgress(), is_whole=True)
    checkpoints(store).save(last, [])
    assert checkpoints(store).load() == (last, [], True)


@pytest.mark.parametrize("count", [0, 1, 234])
def test_any_number_of_files_fits(count: int) -> None:
    """No value outgrows what Airflow advises, however many files there are, and all of them come back."""
    store = Memory()
    saving = checkpoints(store)
    for number in range(0, count + 1, max(1, count // 7)):
        saving.save(checkpoint(number), whole(number))
    saving.save(checkpoint(count), whole(count))
    assert checkpoints(store).load() == (checkpoint(count), whole(count), True)
    assert max(map(len, store.values.values())) < MOST_BYTES


def test_recording_a_page_writes_one_value() -> None:
    """Files that are recorded are not recorded again with every page."""
    store = Memory()
    saving = checkpoints(store)
    saving.save(checkpoint(120), whole(120))
    store.calls.clear()
    saving.save(checkpoint(120), whole(120))
    assert store.calls == ["set export"]
    store.calls.clear()
    saving.save(checkpoint(121), whole(121))
    assert store.calls == ["set export.files.120", "set export"]


def test_a_death_between_two_values_loses_one_step() -> None:
    """Where a file is recorded and its checkpoint is not, the checkpoint before is what counts."""
    store = Memory()
    saving = checkpoints(store)
    saving.save(checkpoint(1), whole(1))
    before = store.values["export"]
    saving.save(checkpoint(2), whole(2))
    store.values["export"] = before
    again = checkpoints(store)
    assert again.load() == (checkpoint(1), whole(1), True)
    again.save(checkpoint(3, rows=30), whole(3))
    assert checkpoints(store).load() == (checkpoint(3, rows=30), whole(3), True)


@pytest.mark.parametrize(("fingerprint", "age"), [("other", timedelta()), ("f", timedelta(hours=25))])
def test_a_stale_checkpoint_only_tells_what_is_left(fingerprint: str, age: timedelta) -> None:
    """Another request's, or one of the day before, cannot be gone on from, and is forgotten with its files."""
    store = Memory()
    checkpoints(store).save(checkpoint(60), whole(60))
    later = checkpoints(store, fingerprint, NOW + age)
    assert later.load() == (checkpoint(60), whole(60), False)
    assert not later.is_recorded
    later.clear()
    assert store.values == {}


def test_clearing_leaves_nothing() -> None:
    """After success none of the task's values is left, by this attempt or by an earlier one."""
    store = Memory()
    saving = checkpoints(store)
    saving.save(checkpoint(120), whole(120))
    saving.clear()
    assert store.values == {}
    checkpoints(store).save(checkpoint(120), whole(120))
    later = checkpoints(store)
    later.load()
    later.clear()
    assert store.values == {}


def test_clearing_leaves_nothing_of_what_was_recorded_in_part() -> None:
    """Rule: files that no checkpoint came to speak of are forgotten, too."""

    class Failing(Memory):
        def set(self, key: str, value: Any) -> None:
            if key == "export":
                raise ConnectionError
            super().set(key, value)

    store = Failing()
    recording = checkpoints(store)
    assert not recording.save(checkpoint(2), whole(2))
    assert len(store.values) == 2
    recording.load()
    recording.clear()
    assert store.values == {}


@pytest.mark.parametrize(
    "value", [5, "text", [], {}, {"saved_at": 5}, {"saved_at": "2026-02-10T03:00:00+00:00", "fingerprint": "f"}]
)
def test_damage_is_no_checkpoint(value: object, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be read is as good as nothing: the export starts over."""
    store = Memory()
    store.values["export"] = json.dumps(value)
    assert checkpoints(store).load() is None
    damaged = checkpoints(store)
    damaged.save(checkpoint(2), whole(2))
    store.values["export.files.0"] = json.dumps({"rows": 1})
    assert checkpoints(store).load() is None
    del store.values["export.files.0"]
    assert checkpoints(store).load() is None


@pytest.mark.parametrize("call", ["set", "delete"])
def test_a_failing_store_is_no_failure(call: str, caplog: pytest.LogCaptureFixture) -> None:
    """A store that takes nothing costs a later attempt some time; it is told once, and never fails the export."""
    saving = checkpoints(Memory(call))
    for number in range(3):
        saving.save(checkpoint(number), whole(number))
    assert saving.is_recorded == (call != "set")
    saving.clear()
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "a next attempt may start over (the API server is away)" in record.getMessage()


def test_what_is_too_large_is_not_recorded() -> None:
    """A URL of unheard-of length makes no value that Airflow warns of: the checkpoint before it stays."""
    store = Memory()
    saving = checkpoints(store)
    saving.save(checkpoint(), [])
    long = Position(chain=0, url="u" * 70_000, header=(), seen=(), record=0, repeated=0)
    saving.save(checkpoint(position=long), [])
    assert checkpoints(store).load() == (checkpoint(), [], True)


def test_a_fingerprint_changes_with_its_parts() -> None:
    """The same parts give the same text in any order of keys; another value gives another one."""
    assert fingerprint_of([{"a": 1, "b": NOW}]) == fingerprint_of([{"b": NOW, "a": 1}])
    assert len({fingerprint_of([{"a": value}]) for value in (1, 2, "1", None, [1])}) == 5
