"""The export loop: what it counts, what it does without rows, what is left when something fails, and what is taken up."""

from __future__ import annotations

import gc
import gzip
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_custobar.api.errors import (
    ExpiredCursorError,
    NotFoundError,
    ProtocolError,
    RateLimitedError,
    TransportError,
)
from airflow_provider_custobar.api.pacing import Pacer
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.columns.arrow_columns import ColumnTypeError
from airflow_provider_custobar.export.checkpoints import Checkpoints
from airflow_provider_custobar.export.cutting import ExportProgress, Limits
from airflow_provider_custobar.export.encoders import CsvFromRecords, CsvRows, JsonArray, JsonLines
from airflow_provider_custobar.export.engine import ExportRun
from airflow_provider_custobar.export.file_set import FileSet
from airflow_provider_custobar.export.job import Export
from airflow_provider_custobar.export.results import ExportResult, FileResult
from airflow_provider_custobar.stores.local import LocalStore
from airflow_provider_custobar.stores.protocol import ObjectInfo, Sink, State, TargetError
from airflow_provider_custobar.stream.endings import EmptyExportError
from airflow_provider_custobar.stream.pipeline import Turns
from airflow_provider_custobar.stream.progress_log import ProgressLog
from airflow_provider_custobar.stream.state_store import SupersededError, UnreadableStateError
from tests.export.support import MARK, TEXT, DictSink, DictStore, DictTarget, csv_page, json_page
from tests.export.test_checkpoints import Memory
from tools.waiting import wait_until

LOG = logging.getLogger("test-export")


def run_export(export: Export) -> ExportResult:
    run = ExportRun(export)
    run.prepare()
    return run.run()


class ItemError(Exception):
    """What went wrong first."""


class DictFiles:
    def __init__(self, store: DictStore, target: DictTarget | None = None, *, replace: bool = True) -> None:
        self.store = store
        self.one = target
        self.replace = replace

    def target(self, name: str) -> DictTarget:
        return self.one or self.store.target(name, replace=self.replace)

    def list(self, prefix: str, depth: int | None) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self.store.objects if name.startswith(prefix)]

    def remove(self, name: str) -> None:
        del self.store.objects[name]


def source(pages: Iterable[Any]) -> Callable[[Position | None, Turns], Iterator[Any]]:
    """As a client gives pages: a turn for each, and after each the position of the next."""

    def give(after: Position | None, turns: Turns) -> Iterator[Any]:
        begun = after.record if after else 0
        given = iter(pages)
        for number, page in enumerate(given):
            if number >= begun:
                turns.take()
                yield changed(page, after=position(number + 1))

    return give


def position(number: int) -> Position:
    return Position(chain=0, url=f"https://acme.example/?cursor={number}", header=(), seen=(), record=number, repeated=0)


def result_of(name: str, *, rows: int, pages: int, size: int) -> ExportResult:
    return ExportResult(files=(FileResult(uri=f"dict://{name}", rows=rows, bytes=size),), rows=rows, bytes=size, pages=pages)


def export(store: DictStore, pages: Iterable[Any], encoder: Any = None, *, target: Any = None, **changes: Any) -> ExportResult:
    arguments: dict[str, Any] = {
        "pages": source(pages),
        "make_encoder": encoder or JsonLines,
        "files": FileSet("a", DictFiles(store, target)),
        "content_type": TEXT,
        "progress_log": ProgressLog("events", LOG),
        "log": LOG,
    }
    return run_export(Export(**(arguments | changes)))


def pages_of(count: int, rows: int = 3) -> list[Any]:
    return [json_page(*(f'{{"id":{page * rows + row}}}' for row in range(rows))) for page in range(count)]


class FailingTarget(DictTarget):
    """A target whose sink raises at one call, and notes the calls that it gets."""

    def __init__(self, store: DictStore, at: str, error: BaseException, *, abort_error: Exception | None = None) -> None:
        super().__init__(store, "a", replace=True)
        self.at = at
        self.error = error
        self.abort_error = abort_error
        self.calls: list[str] = []

    def open(self, info: ObjectInfo) -> Sink:  # type: ignore[override]
        self.step("open")
        return FailingSink(self, super().open(info))

    def step(self, name: str) -> None:
        self.calls.append(name)
        if self.at == name:
            raise self.error


class FailingSink:
    can_go_on = True

    def __init__(self, target: FailingTarget, inner: DictSink) -> None:
        self.target = target
        self.inner = inner

    def write(self, data: bytes) -> None:
        self.target.step("write")
        self.inner.write(data)

    def prepare(self, size: int) -> bool:
        return self.inner.prepare(size)

    def durable(self) -> tuple[int, State] | None:
        self.target.step("durable")
        return self.inner.durable()

    def end(self, metadata: Mapping[str, str]) -> None:
        self.inner.end(metadata)

    def finish(self) -> State | None:
        self.target.step("finish")
        return self.inner.finish()

    def publish(self) -> None:
        self.target.step("publish")
        self.inner.publish()

    def abort(self, keep: State | None = None) -> None:
        self.target.calls.append("abort")
        self.inner.abort(keep)
        if self.target.abort_error is not None:
            raise self.target.abort_error


def test_rows_pages_and_bytes_are_counted() -> None:
    """The result counts rows, pages (empty ones too) and bytes as stored, and names the object."""
    store = DictStore()
    result = export(store, [*pages_of(3), json_page()])
    content = store.objects["a"]
    assert content.splitlines() == [b'{"id":%d}' % number for number in range(9)]
    assert result == result_of("a", rows=9, pages=4, size=len(content))
    assert result.uris == ("dict://a",)
    assert store.about["a"]["custobar-rows"] == "9"


def test_bytes_are_those_stored() -> None:
    """``bytes`` counts after compression, its last bytes included."""
    store = DictStore()
    result = export(store, pages_of(50), codec="gzip")
    content = store.objects["a"]
    assert result.bytes == len(content)
    assert len(gzip.decompress(content).splitlines()) == result.rows == 150


def test_rows_are_those_kept() -> None:
    """A page whose records were filtered counts what is left of it, not what the API sent."""
    page = csv_page("id", "1", "2")
    store = DictStore()
    result = export(store, [type(page)(page.header, page.header_line, page.body, 2, 500, 9)], CsvRows)
    assert result.rows == 2


@pytest.mark.parametrize(
    ("make_encoder", "empty_pages", "expected"),
    [
        (CsvRows, [csv_page("id,city")], b"id,city\r\n"),
        (CsvRows, [csv_page("id"), csv_page("id")], b"id\r\n"),
        (CsvRows, [], b""),
        (lambda: CsvFromRecords(["id"]), [json_page()], b"id\r\n"),
        (lambda: CsvFromRecords(["id"]), [], b"id\r\n"),
        (JsonArray, [json_page(), json_page()], b"[]\n"),
        (JsonArray, [], b"[]\n"),
        (JsonLines, [json_page()], b""),
        (JsonLines, [], b""),
    ],
)
def test_what_is_done_without_rows(make_encoder: Callable[[], Any], empty_pages: list[Any], expected: bytes) -> None:
    """No rows: ``write`` makes a valid file without any, ``skip`` opens nothing, ``fail`` says so and opens nothing."""
    store = DictStore()
    result = export(store, empty_pages, make_encoder)
    assert store.objects == {"a": expected}
    assert changed(result, columns=()) == result_of("a", rows=0, pages=len(empty_pages), size=len(expected))

    store = DictStore()
    result = export(store, empty_pages, make_encoder, on_empty="skip")
    assert changed(result, columns=()) == ExportResult(files=(), rows=0, pages=len(empty_pages), bytes=0)
    assert (store.opened, store.objects) == (0, {})

    with pytest.raises(EmptyExportError, match=r"dict://a.*on_empty='fail'"):
        export(store, empty_pages, make_encoder, on_empty="fail")
    assert (store.opened, store.objects) == (0, {})


@pytest.mark.parametrize("on_empty", ["write", "skip", "fail"])
def test_rows_after_empty_pages_are_written(on_empty: str) -> None:
    """``on_empty`` is about the whole: empty pages before the first row change nothing, and the header is kept."""
    store = DictStore()
    pages = [csv_page("id"), csv_page("id"), csv_page("id", "1"), csv_page("id")]
    result = export(store, pages, CsvRows, on_empty=on_empty)
    assert store.objects == {"a": b"id\r\n1\r\n"}
    assert (result.rows, result.pages, result.bytes) == (1, 4, 7)


def test_an_empty_compressed_file_can_be_read() -> None:
    """A gzip file without rows is still a gzip file."""
    store = DictStore()
    export(store, [], codec="gzip")
    assert gzip.decompress(store.objects["a"]) == b""


def test_an_older_object_stays_where_nothing_is_written() -> None:
    """``skip`` and ``fail`` leave the object of an earlier run as it was."""
    store = DictStore()
    store.objects["a"] = b"older"
    export(store, [], on_empty="skip")
    with pytest.raises(EmptyExportError):
        export(store, [], on_empty="fail")
    assert store.objects == {"a": b"older"}


@pytest.mark.parametrize("error", [ItemError("first"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("good_pages", [0, 1, 3])
def test_failing_pages_leave_nothing(error: BaseException, good_pages: int) -> None:
    """An error in fetching a page surfaces as it is, and what was written is aborted, once."""

    def broken() -> Iterator[Any]:
        yield from pages_of(good_pages)
        raise error

    store = DictStore()
    with pytest.raises(type(error)) as caught:
        export(store, broken())
    assert caught.value is error
    assert store.objects == {}
    assert store.aborted == store.opened <= min(good_pages, 1)


@pytest.mark.parametrize("error", [ItemError("first"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("at", ["open", "write", "finish", "publish"])
@pytest.mark.parametrize("abort_error", [None, OSError("second")])
def test_a_failing_store_leaves_nothing(at: str, error: BaseException, abort_error: Exception | None) -> None:
    """The store's error surfaces even where cleaning up fails as well; the sink, if there is one, is aborted once."""
    store = DictStore()
    target = FailingTarget(store, at, error, abort_error=abort_error)
    with pytest.raises(type(error)) as caught:
        export(store, pages_of(2), target=target)
    assert caught.value is error
    assert target.calls.count("abort") == (at != "open")
    assert target.calls[-1] == ("open" if at == "open" else "abort")
    assert store.objects == {}


@pytest.mark.parametrize("method", ["encode", "finish"])
def test_a_failing_encoder_leaves_nothing(method: str) -> None:
    """A record that cannot be encoded, on the second page or at the end, aborts the object."""
    calls = []

    class Failing(JsonLines):
        def encode(self, page: Any) -> bytes:
            calls.append("encode")
            if method == "encode" and len(calls) == 2:
                raise ItemError("first")
            return super().encode(page)

        def finish(self) -> bytes:
            raise ItemError("first")

    store = DictStore()
    with pytest.raises(ItemError):
        export(store, pages_of(3), Failing)
    assert store.objects == {}
    assert store.aborted == store.opened <= 1


def test_a_failure_to_clean_up_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Cleaning up that fails is a warning with the object's address, so that somebody can clean up by hand."""
    store = DictStore()
    with pytest.raises(ItemError):
        export(store, pages_of(1), target=FailingTarget(store, "publish", ItemError(), abort_error=OSError("second")))
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "dict://a" in record.getMessage()
    assert record.exc_info


def test_a_failed_export_stops_asking_for_pages() -> None:
    """Once writing has failed, no more than the page being fetched is asked for."""
    asked = []

    def endless() -> Iterator[Any]:
        while True:
            asked.append(1)
            yield json_page('{"id":1}')

    store = DictStore()
    with pytest.raises(ItemError):
        export(store, endless(), target=FailingTarget(store, "write", ItemError()))
    for thread in threading.enumerate():
        # Not those of stores that other tests have left to the garbage collector.
        if thread.name in ("custobar-reader", "custobar-writer"):
            thread.join(5)
            assert not thread.is_alive()
    assert len(asked) <= 3


def test_the_next_page_is_fetched_while_one_is_written() -> None:
    """Fetching and writing overlap: the second page is asked for while the first is being written."""
    asked = threading.Event()

    def pages() -> Iterator[Any]:
        yield json_page('{"id":1}')
        asked.set()
        yield json_page('{"id":2}')

    class Waiting(JsonLines):
        def encode(self, page: Any) -> bytes:
            assert asked.wait(5), "the second page was not asked for while the first was encoded"
            return super().encode(page)

    assert export(DictStore(), pages(), Waiting).rows == 2


def test_progress_shows_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """A line of progress at most every five seconds, with rows, pages, size and speed, and one line at the end."""
    caplog.set_level(logging.INFO)
    now = [100.0]
    progress = ProgressLog("events", LOG, clock=lambda: now[0])
    for page in range(1, 13):
        now[0] += 1.0
        progress.step(pages=page, rows=page * 1000, stored=page << 20)
    progress.exported(["dict://a", "dict://b"], pages=12, rows=12_000, stored=12 << 20)
    assert [record.getMessage() for record in caplog.records] == [
        "5,000 rows of events so far (5 pages, 5.0 MiB in 5.0 s, 1,000 rows/s)",
        "10,000 rows of events so far (10 pages, 10.0 MiB in 10.0 s, 1,000 rows/s)",
        "12,000 rows of events exported to dict://a and dict://b (12 pages, 12.0 MiB in 12.0 s, 1,000 rows/s)",
    ]


def test_progress_thins_out(caplog: pytest.LogCaptureFixture) -> None:
    """The longer it takes, the fewer lines: every 5 seconds in the first minute, every 30 up to the tenth, then every 120."""
    caplog.set_level(logging.INFO)
    now, at = [0.0], []
    progress = ProgressLog("events", LOG, clock=lambda: now[0])
    for second in range(1, 3601):
        now[0] = float(second)
        progress.step(pages=second, rows=second, stored=second)
        if len(caplog.records) > len(at):
            at.append(second)
    pauses = [later - earlier for earlier, later in pairwise([0, *at])]
    assert pauses == [5] * 12 + [30] * 18 + [120] * 25


def test_progress_tells_who_waits_for_the_own_pace(caplog: pytest.LogCaptureFixture) -> None:
    """Where most of the time went into waiting for ``requests_per_minute``, the line says so; for the server, it does not."""
    caplog.set_level(logging.INFO)
    now = [0.0]
    pacer = Pacer(60)
    progress = ProgressLog("events", LOG, clock=lambda: now[0], pacer=pacer)

    def pages(seconds: int, count: int) -> None:
        for _ in range(count):
            now[0] += pacer.reserve(now[0])
        now[0] = max(now[0], float(seconds))
        progress.step(pages=1, rows=1, stored=2048)

    pages(5, 6)
    pages(10, 2)
    pacer.hold(15.0)
    pages(16, 1)
    own = ", waiting for its own pace of 60 requests a minute"
    assert [own in record.getMessage() for record in caplog.records] == [True, False, False]
    assert caplog.records[0].getMessage() == f"1 row of events so far (1 page, 2.0 KiB in 5.0 s, 0 rows/s){own}"


def test_a_quick_export_logs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """An export of less than five seconds has the last line only; with nothing written it says so. No row shows."""
    caplog.set_level(logging.INFO)
    export(DictStore(), [json_page(json.dumps({"email": "anna@example.com"}))])
    export(DictStore(), [], on_empty="skip")
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("1 row of events exported to dict://a (1 page, ")
    assert "anna" not in first
    assert second.startswith("0 rows of events found, and nothing was written (0 pages, 0 bytes in ")


def test_a_failed_export_claims_no_success(caplog: pytest.LogCaptureFixture) -> None:
    """The line at the end is written only after the object is there."""
    caplog.set_level(logging.INFO)
    store = DictStore()
    with pytest.raises(ItemError):
        export(store, pages_of(1), target=FailingTarget(store, "publish", ItemError()))
    assert not [record for record in caplog.records if "exported" in record.getMessage()]


class Task:
    """A task whose attempts share a store and a task state store. ``stop_at`` is the page that the API fails to give."""

    def __init__(self, pages: list[Any], **arguments: Any) -> None:
        self.store = DictStore()
        self.state = Memory()
        self.pages = pages
        self.asked: list[int] = []
        self.attempts = 0
        self.refused = False
        self.arguments: dict[str, Any] = {
            "make_encoder": JsonLines,
            "files": FileSet(arguments.pop("name", "a"), DictFiles(self.store)),
            "content_type": TEXT,
            "object_id": MARK,
            "will_follow": True,
            "log": LOG,
            **arguments,
        }

    def whole(self) -> bytes:
        """What an undisturbed run writes."""
        self.attempt()
        return self.store.objects["a"]

    def attempt(
        self, *, stop_at: int | None = None, error: BaseException | list[Any] | None = None, **changes: Any
    ) -> ExportResult:
        """``error`` is raised in place of the page, or while there are any, those of a list."""
        errors = error if isinstance(error, list) else None

        def give(after: Position | None, turns: Turns) -> Iterator[Any]:
            if after is not None and self.refused:
                raise ExpiredCursorError("the cursor is not there any more")
            for number in range(after.record if after else 0, len(self.pages)):
                turns.take()
                if number == stop_at and errors != []:
                    # Pages are stored beside the asking for the next ones.
                    wait_until("its pages are recorded", lambda: self.recorded() == stop_at, every_seconds=0.002)
                    raise errors.pop() if errors else error or TransportError("no answer")
                self.asked.append(number)
                after = position(number + 1) if number + 1 < len(self.pages) else None
                yield changed(self.pages[number], after=after)

        checkpoints = Checkpoints(self.state, "export", changes.pop("fingerprint", "f"), logger=LOG)
        given = {"pages": give, "checkpoints": checkpoints, "may_have_debris": self.attempts > 0}
        self.attempts += 1
        self.export = Export(**(given | self.arguments | changes))
        return run_export(self.export)

    def recorded(self) -> int | None:
        """How many pages the state tells of."""
        state = self.state.get("export")
        return None if state is None or state["body"] is None else state["body"]["progress"]["pages"]


@pytest.mark.parametrize("stop_at", [1, 2, 5, 9])
@pytest.mark.parametrize(
    "error", [TransportError("x"), RateLimitedError("x", status=429, reason=""), OSError(), SystemExit(), KeyboardInterrupt()]
)
def test_a_failed_attempt_is_taken_up(stop_at: int, error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """What an attempt has stored stays; the next one goes on after it, counts it, says so, and leaves only the object."""
    caplog.set_level(logging.INFO)
    task = Task(pages_of(10))
    undisturbed = Task(pages_of(10)).attempt()
    with pytest.raises(type(error)):
        task.attempt(stop_at=stop_at, error=error)
    assert task.store.objects == {}
    assert "for the next attempt to go on from" in caplog.text
    result = task.attempt()
    assert result == changed(undisturbed, resumed=True)
    assert task.asked == list(range(10))
    assert f"{stop_at} page{'s' if stop_at > 1 else ''} with {stop_at * 3} rows stored" in caplog.text
    assert (list(task.store.objects), task.store.debris()) == (["a"], [])


def test_attempts_may_fail_again_and_again() -> None:
    """Each attempt goes on where the one before it stopped, and none asks for a page twice."""
    task = Task(pages_of(10))
    for stop_at in (2, 2, 3, 7, 9):
        with pytest.raises(TransportError):
            task.attempt(stop_at=stop_at)
    assert task.attempt().rows == 30
    assert task.asked == list(range(10))


@pytest.mark.parametrize("error", [ProtocolError("x"), TargetError("x"), NotFoundError("x", status=404, reason="")])
def test_what_no_attempt_can_pass_is_not_kept(error: Exception) -> None:
    """An error that would come again leaves nothing behind, neither in the store nor in the task's state."""
    task = Task(pages_of(10))
    with pytest.raises(type(error)):
        task.attempt(stop_at=5, error=error)
    assert (task.store.debris(), task.state.values) == ([], {})


def test_the_last_attempt_keeps_nothing() -> None:
    """Where no attempt follows, a failure leaves nothing behind."""
    task = Task(pages_of(10))
    with pytest.raises(TransportError):
        task.attempt(stop_at=5)
    with pytest.raises(TransportError):
        task.attempt(stop_at=7, will_follow=False)
    assert (task.store.debris(), task.state.values) == ([], {})
    assert task.asked == list(range(7))


def test_what_was_kept_for_an_attempt_that_does_not_come_can_be_removed() -> None:
    """Rule: where it turns out that no attempt follows, nothing stays of what was kept for it."""
    task = Task(pages_of(10))
    with pytest.raises(SystemExit):
        task.attempt(stop_at=5, error=SystemExit())
    assert task.store.debris()
    ExportRun(task.export).give_up()
    assert (task.store.debris(), task.state.values) == ([], {})


@pytest.mark.parametrize("why", ["cursor", "upload", "fingerprint"])
def test_what_cannot_be_taken_up_is_begun_again(why: str, caplog: pytest.LogCaptureFixture) -> None:
    """An expired cursor, a vanished upload or another request: the export starts over, and no row is there twice."""
    task = Task(pages_of(10))
    with pytest.raises(TransportError):
        task.attempt(stop_at=5)
    if why == "cursor":
        task.refused = True
    if why == "upload":
        task.store.vanish()
    result = task.attempt(fingerprint="g" if why == "fingerprint" else "f")
    assert (result.rows, result.pages, result.resumed) == (30, 10, False)
    assert len(task.store.objects["a"].splitlines()) == 30
    assert task.asked == [*range(5), *range(10)]
    assert task.store.debris() == []
    assert "Starting over" in caplog.text or why == "fingerprint"


@pytest.mark.parametrize("times", [1, 2])
def test_a_cursor_that_is_refused_in_the_middle_is_begun_again_once(times: int) -> None:
    """The run starts over from its first page, once; after that it fails, and leaves the next attempt nothing to stumble on."""
    task = Task(pages_of(10))
    refusals = [ExpiredCursorError("the cursor is not there any more") for _ in range(times)]
    if times == 1:
        result = task.attempt(stop_at=5, error=refusals)
        assert task.asked == [*range(5), *range(10)]
    else:
        with pytest.raises(ExpiredCursorError):
            task.attempt(stop_at=5, error=refusals)
        assert (task.store.debris(), task.state.values) == ([], {})
        result = task.attempt()
        assert task.asked == [*range(5), *range(5), *range(10)]
    assert (result.rows, result.pages, result.resumed) == (30, 10, False)
    assert task.store.objects["a"] == Task(pages_of(10)).whole()
    assert task.store.debris() == []


def test_dying_after_publishing_needs_no_page_again() -> None:
    """An attempt that dies between publishing and the task's end leaves nothing to do to the next, even with replace=False."""
    task = Task(pages_of(3))
    task.arguments["files"] = FileSet("a", DictFiles(task.store, replace=False), replace=False)
    first = task.attempt()
    assert task.attempt() == changed(first, resumed=True)
    assert task.asked == [0, 1, 2]


def test_an_export_without_rows_is_taken_up_where_its_manifest_failed() -> None:
    """What is published is this task's own, even without a row: replace=False does not refuse it in the next attempt."""
    task = Task([json_page()])
    task.arguments["files"] = FileSet("a", DictFiles(task.store, replace=False), replace=False)
    with pytest.raises(ItemError):
        task.attempt(manifest=FailingTarget(task.store, "publish", ItemError()))
    assert task.attempt().rows == 0
    assert task.store.objects["a"] == b""


def test_dying_in_the_middle_of_publishing_a_set(caplog: pytest.LogCaptureFixture) -> None:
    """A set of which some files are published is completed without asking for a page again."""
    task = Task(pages_of(4), name="a-{part}", limits=Limits(max_rows=2))
    publish, count = DictSink.publish, [0]

    def dying(sink: DictSink) -> None:
        count[0] += 1
        if count[0] == 3:
            raise SystemExit
        publish(sink)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DictSink, "publish", dying)
        with pytest.raises(SystemExit):
            task.attempt()
    assert len(task.store.objects) == 2
    result = task.attempt()
    assert sorted(task.store.objects) == [f"a-{number:05}" for number in range(6)]
    assert (result.rows, task.asked) == (12, [0, 1, 2, 3])


def test_an_object_of_an_earlier_run_is_not_taken_for_this_ones() -> None:
    """A task that is cleared and runs again has its old mark: what it published then is not what it was about to publish."""
    task = Task(pages_of(3))
    task.attempt()
    task.state.values.clear()
    task.pages = pages_of(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DictSink, "publish", lambda _: exec("raise SystemExit"))
        with pytest.raises(SystemExit):
            task.attempt()
    task.store.vanish()
    assert task.attempt().rows == 6
    assert len(task.store.objects["a"].splitlines()) == 6


def test_a_set_that_meets_anothers_file_is_taken_back() -> None:
    """replace=False: where a file of that name has appeared meanwhile, no part of the set stays to pass for the whole."""
    store = DictStore()

    def pages() -> Iterator[Any]:
        yield from pages_of(4)
        store.objects["a-00003"] = b"another's"

    files = FileSet("a-{part}", DictFiles(store, replace=False), replace=False)
    with pytest.raises(TargetError, match="a-00003 exists already"):
        export(store, pages(), files=files, limits=Limits(max_rows=2))
    assert store.objects == {"a-00003": b"another's"}
    assert store.debris() == []


@pytest.mark.parametrize("replaced", [0, 2])
def test_a_set_that_cannot_be_published_is_taken_back(replaced: int) -> None:
    """Where no attempt follows, no part of a set stays to pass for the whole, but for what replaced an older file."""
    store = DictStore()
    store.objects |= {f"a-{number:05}": b"older" for number in range(replaced)}
    publish = DictSink.publish

    def failing(sink: DictSink) -> None:
        if sink.target.name == "a-00003":
            raise ItemError
        publish(sink)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DictSink, "publish", failing)
        with pytest.raises(ItemError):
            export(store, pages_of(4), files=FileSet("a-{part}", DictFiles(store)), limits=Limits(max_rows=2))
    assert sorted(store.objects) == [f"a-{number:05}" for number in range(replaced)]
    assert store.debris() == []


def test_a_set_of_several_attempts_is_taken_back() -> None:
    """What an earlier attempt has published of a set goes with the rest, but for what replaced an older file."""
    task = Task(pages_of(4), name="a-{part}", limits=Limits(max_rows=2))
    task.store.objects["a-00000"] = b"older"
    publish, errors = DictSink.publish, {"a-00003": TransportError("no answer"), "a-00005": ItemError()}

    def failing(sink: DictSink) -> None:
        if error := errors.pop(sink.target.name, None):
            raise error
        publish(sink)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DictSink, "publish", failing)
        with pytest.raises(TransportError):
            task.attempt()
        assert len(task.store.objects) == 3
        with pytest.raises(ItemError):
            task.attempt(will_follow=False)
    assert list(task.store.objects) == ["a-00000"]


@pytest.mark.parametrize("at", ["write", "publish"])
def test_a_manifest_that_cannot_be_written_leaves_nothing(at: str) -> None:
    """Nothing of a manifest is left that the store does not take."""
    manifest = FailingTarget(store := DictStore(), at, ItemError())
    with pytest.raises(ItemError):
        export(store, pages_of(2), target=DictTarget(store, "b", replace=True), manifest=manifest)
    assert manifest.calls[-1] == "abort"
    assert (list(store.objects), store.debris()) == (["b"], [])


def test_what_a_killed_attempt_left_of_a_manifest_goes(tmp_path: Path) -> None:
    """Rule: a later attempt removes the half of it that an attempt left which could not clean up, however it ends."""
    manifest = LocalStore().target(f"{tmp_path}/m.json")
    killed = manifest.open(ObjectInfo(content_type="application/json", object_id=MARK))
    killed.write(b"half")
    task = Task(pages_of(2), manifest=manifest, may_have_debris=True)
    with pytest.raises(NotFoundError):
        task.attempt(stop_at=1, error=NotFoundError("x", status=404, reason=""))
    assert list(tmp_path.iterdir()) == []
    killed.abort()


@pytest.mark.parametrize("keeps", ["nothing", "no state", "all"])
def test_what_was_recorded_or_never_will_be_is_not_kept(keeps: str) -> None:
    """However many pages there are, where they end is not remembered for longer than it may be recorded."""
    task, written, counts = Task(pages_of(300)), 0, []
    write = DictSink.write

    def writing(sink: DictSink, data: bytes) -> None:
        nonlocal written
        written += 1
        if written in (10, 290):
            # isinstance would ask lazy proxies of other packages for their class, and so load what they stand for.
            counts.append(sum(type(each) is ExportProgress for each in gc.get_objects()))
        write(sink, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DictSink, "write", writing)
        patch.setattr(DictSink, "can_go_on", keeps == "all")
        task.attempt(**({"checkpoints": None} if keeps == "no state" else {}))
    early, late = counts
    assert late < early + 20


def test_a_state_store_that_does_not_answer_holds_up_few_pages() -> None:
    """Nine tenths of the time go into the export, however long each try to record something takes."""
    task, clock, tries = Task(pages_of(102)), [datetime(2026, 2, 1, tzinfo=UTC)], 0

    def away(key: str, value: object) -> None:
        nonlocal tries
        tries += 1
        clock[0] += timedelta(seconds=33)
        raise ConnectionError

    def writing(sink: DictSink, data: bytes) -> None:
        clock[0] += timedelta(seconds=3)
        write(sink, data)

    write = DictSink.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task.state, "set", away)
        patch.setattr(DictSink, "write", writing)
        checkpoints = Checkpoints(task.state, "export", "f", now=lambda: clock[0], logger=LOG)
        assert task.attempt(checkpoints=checkpoints).rows == 306
    # After the first page, 99 pages later, and before publishing.
    assert tries == 3


class Errors(list[Any]):
    """One error, made when it is wanted."""

    def __init__(self, make: Callable[[], BaseException]) -> None:
        super().__init__([make])

    def pop(self, *_: Any) -> BaseException:
        return super().pop()()  # type: ignore[no-any-return]


@pytest.mark.parametrize("stop_at", [0, 1, 3])
def test_an_attempt_that_another_one_has_replaced_stops(stop_at: int) -> None:
    """It publishes nothing and removes what is its own, but leaves what it recorded: the other attempt goes on from there."""
    task = Task(pages_of(4))
    store, count = task.state, 0

    def superseded(key: str, value: Any) -> None:
        nonlocal count
        count += key == "export"
        if count > stop_at:
            store.broken = ("set", "delete", "superseded")
        Memory.set(store, key, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "set", superseded)
        with pytest.raises(SupersededError):
            task.attempt()
    assert task.store.objects == {}
    assert bool(task.store.debris()) == bool(stop_at)
    store.broken = ()
    result = task.attempt()
    assert (result.rows, result.resumed) == (12, stop_at > 0)
    assert (list(task.store.objects), task.store.debris()) == (["a"], [])


def test_a_replaced_attempt_that_fails_leaves_what_the_other_goes_on_with() -> None:
    """Whatever ends it: what it recorded is the other attempt's by now, and is not removed."""
    task = Task(pages_of(4))

    def superseded() -> BaseException:
        task.state.broken = ("set", "delete", "superseded")
        return ColumnTypeError("no other attempt can pass it")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "is_due", property(lambda self: not task.state.broken))
        with pytest.raises(ColumnTypeError):
            task.attempt(stop_at=2, error=Errors(superseded))
    task.state.broken = ()
    assert task.attempt().resumed


def test_a_failing_state_store_fails_no_export(caplog: pytest.LogCaptureFixture) -> None:
    """Without its state store an export is not worse off than before Airflow had one, where no attempt follows."""
    task = Task(pages_of(5), will_follow=False)
    task.state.broken = ("get", "set", "delete")
    assert task.attempt().rows == 15
    assert caplog.text.count("a next attempt may start over") == 1


def test_what_cannot_be_read_now_is_left_for_the_next_attempt() -> None:
    """An attempt that is not told what the one before it left begins nothing, as long as another one follows."""
    task = Task(pages_of(5))
    with pytest.raises(TransportError):
        task.attempt(stop_at=3)
    task.state.broken = ("get",)
    with pytest.raises(UnreadableStateError, match="the API server is away"):
        task.attempt()
    task.state.broken = ()
    assert (task.attempt().rows, task.asked) == (15, [0, 1, 2, 3, 4])


def test_one_page_is_recorded_once() -> None:
    """An export of one page costs one write to the state store, at its end."""
    task = Task(pages_of(1))
    task.attempt()
    assert [call for call in task.state.calls if call.startswith("set")] == ["set export.files.0", "set export"]


def test_the_manifest_comes_last(caplog: pytest.LogCaptureFixture) -> None:
    """The manifest is written after every file is there, and not at all where a file is not."""
    store = DictStore()
    seen: list[list[str]] = []

    class Watching(DictTarget):
        def open(self, info: ObjectInfo) -> DictSink:
            seen.append(sorted(store.objects))
            return super().open(info)

    manifest = Watching(store, "m", replace=True)
    files = FileSet("a-{part}", DictFiles(store))
    export(store, pages_of(2), files=files, limits=Limits(max_rows=4), manifest=manifest, describe=lambda result: result.rows)
    assert seen == [["a-00000", "a-00001"]]
    assert store.objects["m"] == b"6\n"

    def broken() -> Iterator[Any]:
        yield from pages_of(2)
        raise ItemError

    with pytest.raises(ItemError):
        export(DictStore(), broken(), files=files, limits=Limits(max_rows=4), manifest=manifest)
    assert len(seen) == 1
