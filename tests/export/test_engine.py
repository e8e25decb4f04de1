"""The export loop: what it counts, what it does without rows, and what is left when something fails."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from airflow_provider_custobar.export.compression import NoCompression, make_compressor
from airflow_provider_custobar.export.encoders import CsvFromRecords, CsvRows, JsonArray, JsonLines
from airflow_provider_custobar.export.engine import EmptyExportError, ExportResult, Progress, run_export
from airflow_provider_custobar.export.targets import Sink
from tests.export.support import TEXT, DictSink, DictStore, DictTarget, csv_page, json_page

LOG = logging.getLogger("test-export")


class ItemError(Exception):
    """What went wrong first."""


def export(store: DictStore, pages: Iterable[Any], encoder: Any = None, **changes: Any) -> ExportResult:
    arguments: dict[str, Any] = {
        "encoder": encoder or JsonLines(),
        "compressor": NoCompression(),
        "target": store.target("a"),
        "content_type": TEXT,
        "on_empty": "write",
        "progress": Progress("events", LOG),
    }
    return run_export(pages, **(arguments | changes))


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

    def open(self, content_type: str) -> Sink:
        self.step("open")
        inner = super().open(content_type)
        return FailingSink(self, inner)

    def step(self, name: str) -> None:
        self.calls.append(name)
        if self.at == name:
            raise self.error


class FailingSink:
    def __init__(self, target: FailingTarget, inner: DictSink) -> None:
        self.target = target
        self.inner = inner

    def write(self, data: bytes) -> None:
        self.target.step("write")
        self.inner.write(data)

    def commit(self) -> None:
        self.target.step("commit")
        self.inner.commit()

    def abort(self) -> None:
        self.target.calls.append("abort")
        self.inner.abort()
        if self.target.abort_error is not None:
            raise self.target.abort_error


def test_rows_pages_and_bytes_are_counted() -> None:
    """The result counts rows, pages (empty ones too) and bytes as stored, and names the object."""
    store = DictStore()
    result = export(store, [*pages_of(3), json_page()])
    content = store.objects["a"]
    assert content.splitlines() == [b'{"id":%d}' % number for number in range(9)]
    assert result == ExportResult(uris=("dict://a",), rows=9, pages=4, bytes=len(content))


def test_bytes_are_those_stored() -> None:
    """``bytes`` counts after compression, its last bytes included."""
    store = DictStore()
    result = export(store, pages_of(50), compressor=make_compressor("gzip"))
    content = store.objects["a"]
    assert result.bytes == len(content)
    assert len(gzip.decompress(content).splitlines()) == result.rows == 150


def test_rows_are_those_kept() -> None:
    """A page whose records were filtered counts what is left of it, not what the API sent."""
    page = csv_page("id", "1", "2")
    store = DictStore()
    result = export(store, [type(page)(page.header, page.header_line, page.body, 2, 500, 9)], CsvRows())
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
    result = export(store, empty_pages, make_encoder())
    assert store.objects == {"a": expected}
    assert result == ExportResult(uris=("dict://a",), rows=0, pages=len(empty_pages), bytes=len(expected))

    store = DictStore()
    result = export(store, empty_pages, make_encoder(), on_empty="skip")
    assert result == ExportResult(uris=(), rows=0, pages=len(empty_pages), bytes=0)
    assert (store.opened, store.objects) == (0, {})

    with pytest.raises(EmptyExportError, match=r"dict://a.*on_empty='fail'"):
        export(store, empty_pages, make_encoder(), on_empty="fail")
    assert (store.opened, store.objects) == (0, {})


@pytest.mark.parametrize("on_empty", ["write", "skip", "fail"])
def test_rows_after_empty_pages_are_written(on_empty: str) -> None:
    """``on_empty`` is about the whole: empty pages before the first row change nothing, and the header is kept."""
    store = DictStore()
    pages = [csv_page("id"), csv_page("id"), csv_page("id", "1"), csv_page("id")]
    result = export(store, pages, CsvRows(), on_empty=on_empty)
    assert store.objects == {"a": b"id\r\n1\r\n"}
    assert (result.rows, result.pages, result.bytes) == (1, 4, 7)


def test_an_empty_compressed_file_can_be_read() -> None:
    """A gzip file without rows is still a gzip file."""
    store = DictStore()
    export(store, [], compressor=make_compressor("gzip"))
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
    assert store.aborted == store.opened == min(good_pages, 1)


@pytest.mark.parametrize("error", [ItemError("first"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("at", ["open", "write", "commit"])
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
        export(store, pages_of(3), Failing())
    assert (store.objects, store.opened, store.aborted) == ({}, 1, 1)


def test_a_failure_to_clean_up_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Cleaning up that fails is a warning with the object's address, so that somebody can clean up by hand."""
    store = DictStore()
    with pytest.raises(ItemError):
        export(store, pages_of(1), target=FailingTarget(store, "commit", ItemError(), abort_error=OSError("second")))
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
        if thread.name == "custobar-read-ahead":
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

    assert export(DictStore(), pages(), Waiting()).rows == 2


def test_progress_shows_every_five_seconds(caplog: pytest.LogCaptureFixture) -> None:
    """A line of progress at most every five seconds, with pages, rows, size and speed, and one line at the end."""
    caplog.set_level(logging.INFO)
    now = [100.0]
    progress = Progress("events", LOG, clock=lambda: now[0])
    for page in range(1, 13):
        now[0] += 1.0
        progress.step(pages=page, rows=page * 1000, stored=page << 20)
    progress.done(ExportResult(uris=("dict://a", "dict://b"), rows=12_000, bytes=12 << 20, pages=12))
    assert [record.getMessage() for record in caplog.records] == [
        "events so far: 5 pages, 5,000 rows, 5.0 MiB in 5.0 s (1,000 rows/s)",
        "events so far: 10 pages, 10,000 rows, 10.0 MiB in 10.0 s (1,000 rows/s)",
        "events exported to dict://a, dict://b: 12 pages, 12,000 rows, 12.0 MiB in 12.0 s (1,000 rows/s)",
    ]


def test_a_quick_export_logs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """An export of less than five seconds has the last line only; with nothing written it says so. No row shows."""
    caplog.set_level(logging.INFO)
    export(DictStore(), [json_page(json.dumps({"email": "anna@example.com"}))])
    export(DictStore(), [], on_empty="skip")
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("events exported to dict://a: 1 pages, 1 rows, ")
    assert "anna" not in first
    assert second.startswith("events exported to nothing written: 0 pages, 0 rows, ")


def test_a_failed_export_claims_no_success(caplog: pytest.LogCaptureFixture) -> None:
    """The line at the end is written only after the object is there."""
    caplog.set_level(logging.INFO)
    store = DictStore()
    with pytest.raises(ItemError):
        export(store, pages_of(1), target=FailingTarget(store, "commit", ItemError()))
    assert not [record for record in caplog.records if "exported" in record.getMessage()]
