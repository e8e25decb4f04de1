"""Files cut from pages: never too large, nothing lost at a cut, and taken up again anywhere with the same bytes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import ProtocolError
from airflow_provider_custobar.api.pages import CsvPage, JsonPage
from airflow_provider_custobar.api.resources import find_resource
from airflow_provider_custobar.export.cutting import Chunk, Cutter, ExportProgress, Limits
from airflow_provider_custobar.export.encoders import CsvFromRecords, CsvRows, JsonArray, JsonLines
from airflow_provider_custobar.export.parquet import ParquetFile
from airflow_provider_custobar.stores.protocol import LostError
from tests.export.support import csv_page, json_page


def parquet() -> ParquetFile:
    return ParquetFile(find_resource("customers"), ["external_id", "city"], timezone="UTC", codec="zstd")


ENCODERS: dict[str, Callable[[], Any]] = {
    "csv": CsvRows,
    "csv-from-json": lambda: CsvFromRecords(["external_id", "city"]),
    "json": JsonArray,
    "jsonl": JsonLines,
    "parquet": parquet,
}


def pages_for(name: str, sizes: Sequence[int]) -> list[Any]:
    """Pages of so many rows, which are numbered on."""
    pages, number = [], 0
    for size in sizes:
        numbers = range(number, number := number + size)
        if name == "csv":
            pages.append(csv_page("external_id,city", *(f'{n},"O""u\r\nlu{"x" * (n % 7)}"' for n in numbers)))
        else:
            pages.append(json_page(*(f'{{"external_id":"{n}","city":"Oulu{"x" * (n % 7)}"}}' for n in numbers)))
    return pages


class Files:
    """Chunks put together, as the writer does."""

    def __init__(self) -> None:
        self.whole: list[tuple[bytes, int]] = []
        self.open = b""

    def add(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            self.open += chunk.data
            if chunk.ended_rows is not None:
                self.whole.append((self.open, chunk.ended_rows))
                self.open = b""


UNLIMITED = Limits()


def cut(name: str, pages: Sequence[Any], limits: Limits = UNLIMITED, codec: Any = None, *, even_empty: bool = True) -> Files:
    cutter, files = Cutter(ENCODERS[name], codec, limits), Files()
    for page in pages:
        files.add(cutter.add(page))
    files.add(cutter.end(even_empty=even_empty and not any(page.rows for page in pages)))
    return files


def ids_in(name: str, content: bytes, tmp_path: Any) -> list[str]:
    if name == "parquet":
        path = tmp_path / "a.parquet"
        path.write_bytes(content)
        return list(pq.read_table(path)["external_id"].to_pylist())
    if name == "json":
        return [record["external_id"] for record in json.loads(content)]
    if name == "jsonl":
        return [json.loads(line)["external_id"] for line in content.splitlines()]
    import csv
    import io

    return [row["external_id"] for row in csv.DictReader(io.StringIO(content.decode(), newline=""))]


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("sizes", [[], [0], [0, 0], [10], [3, 0, 4], [5, 5], [1] * 12, [40, 1]])
@pytest.mark.parametrize("max_rows", [1, 3, 5, 10, 1000])
def test_every_row_is_in_one_whole_file(name: str, sizes: list[int], max_rows: int, tmp_path: Any) -> None:
    """Each file is valid by itself, full but for the last one, and together they hold every row once and in order."""
    files = cut(name, pages_for(name, sizes), Limits(max_rows=max_rows))
    found = [ids_in(name, content, tmp_path) for content, _ in files.whole if content]
    total = sum(sizes)
    assert [each for ids in found for each in ids] == [str(number) for number in range(total)]
    counts = [max_rows] * (total // max_rows) + ([total % max_rows] if total % max_rows else [])
    assert [rows for _, rows in files.whole] == (counts or [0])
    assert [len(ids) for ids in found if ids] == counts
    assert files.open == b""


def size_of_rows(pages: Sequence[Any]) -> list[int]:
    from airflow_provider_custobar.api.csv_text import split_rows

    sizes = []
    for page in pages:
        if isinstance(page, CsvPage):
            sizes += [len(raw.encode()) for raw, _ in split_rows(page.body)]
        else:
            sizes += [len(record) + 1 for record in page.records]
    return sizes


@pytest.mark.parametrize("page", [csv_page("path", "/x", "", "/z"), replace(json_page("{}", "{}"), rows=3)])
def test_a_page_that_counts_other_rows_is_not_cut(page: Any) -> None:
    """Rule: a row that is counted and not there is an error, where it is counted again, and no shorter file."""
    with pytest.raises(ProtocolError, match="has 2 rows where 3 were counted"):
        Cutter(JsonLines, None, Limits(max_rows=2)).add(page)


@given(
    st.sampled_from(["csv", "jsonl", "json"]),
    st.lists(st.integers(0, 12), max_size=8),
    st.integers(1, 200),
    st.one_of(st.none(), st.integers(1, 20)),
)
def test_files_are_as_full_as_may_be(name: str, sizes: list[int], max_bytes: int, max_rows: int | None) -> None:
    """A file ends before the first row that would be too much, and nowhere else; a row that is too large is alone."""
    pages = pages_for(name, sizes)
    files = cut(name, pages, Limits(max_bytes=max_bytes, max_rows=max_rows), even_empty=False)
    expected: list[list[int]] = []
    for size in size_of_rows(pages):
        last = expected[-1] if expected else None
        if last and sum(last) + size <= max_bytes and len(last) != max_rows:
            last.append(size)
        else:
            expected.append([size])
    assert [rows for _, rows in files.whole] == list(map(len, expected))


@pytest.mark.parametrize("codec", [None, "gzip"])
@given(
    name=st.sampled_from(list(ENCODERS)),
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=7),
    max_rows=st.one_of(st.none(), st.integers(1, 11)),
    max_bytes=st.one_of(st.none(), st.integers(1, 300)),
)
def test_taken_up_at_any_point_the_files_are_the_same(
    codec: Any, name: str, sizes: list[int], max_rows: int | None, max_bytes: int | None
) -> None:
    """From every progress that a chunk names, another cutter with the pages from there on makes the same bytes."""
    pages = pages_for(name, sizes)
    limits = Limits(max_rows=max_rows, max_bytes=max_bytes)
    undisturbed = cut(name, pages, limits, codec, even_empty=False)

    cutter, files = Cutter(ENCODERS[name], codec, limits), Files()
    stops: list[tuple[ExportProgress, list[tuple[bytes, int]], bytes]] = []
    for page in pages:
        for chunk in cutter.add(page):
            files.add([chunk])
            if chunk.progress is not None:
                stops.append((chunk.progress, list(files.whole), files.open))
    # A header that came without a row is nowhere yet.
    assert [1 for stop in stops if stop[0].skip == 0] or name == "parquet" or not any(sizes)
    for progress, whole, is_open in stops:
        assert bool(is_open) == bool(progress.file_rows)
        again, later = Files(), Cutter(ENCODERS[name], codec, limits, progress)
        again.whole, again.open = list(whole), is_open
        for page in pages[progress.pages :]:
            again.add(later.add(page))
        again.add(later.end(even_empty=False))
        assert again.whole == undisturbed.whole


def test_a_parquet_file_can_be_taken_up_only_between_files() -> None:
    """pyarrow takes up no file that another has begun: one can go on where one ends, within a page too, and nowhere else."""
    cutter = Cutter(parquet, None, Limits(max_rows=4))
    found = [chunk.progress for page in pages_for("parquet", [3, 3, 2]) for chunk in cutter.add(page)]
    assert [progress.skip for progress in found if progress is not None] == [1, 0]
    assert Cutter(parquet, None).add(pages_for("parquet", [3])[0])[-1].progress is None


def test_other_rows_than_before_are_not_taken_for_the_same() -> None:
    """A page that is fetched again and begins otherwise ends the attempt: rows would be missing, or twice."""
    (page, *_) = pages_for("parquet", [6])
    cutter = Cutter(parquet, None, Limits(max_rows=4))
    (progress,) = [chunk.progress for chunk in cutter.add(page) if chunk.progress is not None and chunk.progress.skip]
    for other in (json_page(), json_page(*['{"external_id":"other"}'] * 6), json_page('{"external_id":"0"}')):
        with pytest.raises(LostError, match="other rows"):
            Cutter(parquet, None, Limits(max_rows=4), progress).add(other)
    assert Cutter(parquet, None, Limits(max_rows=4), progress).add(page)


def test_each_page_is_a_member_of_its_own() -> None:
    """Compressed pages are independent of each other: what is stored of one can be followed by the next without the first."""
    pages = pages_for("jsonl", [5, 5])
    cutter = Cutter(JsonLines, "gzip")
    members = [b"".join(chunk.data for chunk in cutter.add(page)) for page in pages]
    assert [len(gzip.decompress(member).splitlines()) for member in members] == [5, 5]


def test_nothing_comes_out_before_the_first_row() -> None:
    """Empty pages make no bytes, so that an export without rows can still be skipped; their header is not lost."""
    cutter = Cutter(CsvRows, None)
    assert [chunk.data for chunk in cutter.add(csv_page("id"))] == [b""]
    assert [chunk.data for chunk in cutter.add(csv_page("id", "1"))] == [b"id\r\n1\r\n", b""]


def test_a_page_that_fits_is_not_looked_into() -> None:
    """Without a limit in the way, a page's own bytes pass as they are: not even one row is cut out of it."""
    page = JsonPage(b"not even a record\n", 1, 1, 18)
    (chunk, end) = Cutter(JsonLines, None, Limits(max_rows=2, max_bytes=100)).add(page)
    assert chunk.data == b"not even a record\n"
    assert end.progress == ExportProgress(pages=1, rows=1, file_rows=1, file_bytes=18)
