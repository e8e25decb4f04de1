"""Rows out of files: every format, plain and compressed, of any size."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.upload.files import FileError, FileRows
from airflow_provider_custobar.upload.rows import TextRow, Unreadable
from tests.python_process import output_of
from tests.upload.file_help import csv_bytes, file, parquet_bytes, read

ROWS: list[dict[str, Any]] = [{"external_id": "1", "first_name": 'Äinö, "A"\nB'}, {"external_id": "2", "first_name": "🎉"}]


PLAIN = {
    "rows.csv": csv_bytes(ROWS),
    "rows.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in ROWS),
    "rows.ndjson": b"\n\n".join(json.dumps(row).encode() for row in ROWS),
    "rows.json": json.dumps(ROWS, indent=2).encode(),
    "rows.parquet": parquet_bytes(ROWS),
}
PACKED = {
    "": lambda data: data,
    ".gz": gzip.compress,
    # Two members and two frames, as exports write them.
    ".GZ": lambda data: gzip.compress(data[:20]) + gzip.compress(data[20:]),
    ".zst": lambda data: zstandard.compress(data[:20]) + zstandard.compress(data[20:]),
}


@pytest.mark.parametrize("ending", [ending for ending in PACKED if ending.islower() or not ending])
@pytest.mark.parametrize("name", PLAIN)
def test_every_format_gives_the_same_rows(name: str, ending: str) -> None:
    """Rule: the same rows come out of every format, plain or packed, told by the name's ending alone."""
    assert read(name + ending, PACKED[ending](PLAIN[name])) == ROWS


def test_endings_in_capitals_and_many_members() -> None:
    """Rule: endings count in any case, and a file of several gzip members is read to its end."""
    assert read("ROWS.JSONL.GZ", PACKED[".GZ"](PLAIN["rows.jsonl"])) == ROWS


def test_format_and_compression_can_be_named() -> None:
    """Rule: what a name does not tell can be said."""
    assert read("rows", gzip.compress(PLAIN["rows.csv"]), file_format="csv", compression="gzip") == ROWS
    assert read("rows.gz", PLAIN["rows.csv"], file_format="csv", compression=None) == ROWS


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_delimiters_are_detected(delimiter: str) -> None:
    """Rule: comma, semicolon and tab are told apart, as by Custobar's own import."""
    assert read("rows.csv", csv_bytes(ROWS, delimiter)) == ROWS


def test_csv_cells_are_texts_to_be_typed() -> None:
    """Rule: rows of CSV are marked as texts, others are not."""
    assert all(isinstance(row, TextRow) for row in read("rows.csv", PLAIN["rows.csv"]))
    assert not any(isinstance(row, TextRow) for row in read("rows.jsonl", PLAIN["rows.jsonl"]))


def test_a_row_of_another_width_is_no_row() -> None:
    """Rule: a CSV row with cells too many or too few is told of, and the others are read."""
    rows = read("a.csv", b"a,b\r\n1,2\r\n1\r\n\r\n1,2,3\r\n3,4\r\n")
    assert [type(row) for row in rows] == [TextRow, Unreadable, Unreadable, TextRow]
    assert rows[1].content == ["1"]
    assert "3 cells where the header has 2" in rows[2].reason


@pytest.mark.parametrize("line", ["{", '{"a": 1} x', "\x00", '"' + "\\ud800" * 2, "[" * 100_000])
def test_a_line_that_is_no_json_is_no_row(line: str) -> None:
    """Rule: one bad line of JSON Lines is told of, and the others are read."""
    found = read("a.jsonl", b'{"a":1}\n' + line.encode() + b'\n{"a":2}\n')
    assert (found[0], type(found[1]), found[2]) == ({"a": 1}, Unreadable, {"a": 2})


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv.gz", gzip.compress(b"a\r\n1\r\n" * 1000, mtime=0)[:-20], "end-of-stream|ended before"),
        ("a.csv.gz", b"a,b", "Not a gzipped file"),
        ("a.csv.zst", b"no zstd at all", "Unknown frame|descriptor|decompress"),
        ("a.json", b'{"rows": 1}', "not a JSON array"),
        ("a.json", b'[{"a": 1}, {"a"', "not whole JSON"),
        ("a.json", b'[{"a": 1} {"a": 2}]', "comma or ]"),
        ("a.json", b"[1] 2", "something follows"),
        ("a.json", b"", "not a JSON array"),
        ("a.parquet", b"PAR1 and then nothing", "Parquet|magic"),
    ],
)  # fmt: skip
def test_damaged_files_are_told_by_name(name: str, data: bytes, said: str) -> None:
    """Rule: a file that cannot be read to its end is an error that names it, never a shorter file."""
    with pytest.raises(FileError, match=rf"(?s)^{name} cannot be read to its end.*({said})"):
        list(FileRows([file(name, data)]))


@pytest.mark.parametrize(
    ("arguments", "name", "said"),
    [
        ({}, "rows.xml", "file_format='infer'.*rows.xml"),
        ({}, "rows", "file_format='infer'"),
        ({"file_format": "xml"}, "a.csv", "file_format='xml'.*csv, json, jsonl, parquet"),
        ({"compression": "bz2"}, "a.csv", "compression='bz2'.*gzip, zstd"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], name: str, said: str) -> None:
    """Rule: what cannot be is said before a file is opened."""
    with pytest.raises(InvalidArgumentError, match=said):
        FileRows([file(name, b"")], **arguments)


def test_files_follow_one_another() -> None:
    """Rule: several files are one sequence of rows, each with its own header and format."""
    files = [file("1.csv", PLAIN["rows.csv"]), file("2.jsonl.gz", gzip.compress(PLAIN["rows.jsonl"]))]
    assert list(FileRows(files)) == ROWS * 2


MEASURE = """
import sys
from tools.memory import peak_mib
from airflow_provider_custobar.upload.files import File, FileRows
from tests.upload.support import build_plan
from airflow_provider_custobar.upload.uploader import Upload
import pyarrow.parquet
name = sys.argv[1]
rows = FileRows([File(name=name, open=lambda: open(name, "rb"))])
result = Upload(rows=rows, plan=build_plan(dry_run=True), send=lambda rows, again: None).run()
print(result.rows, int(peak_mib()))
"""


@pytest.mark.processes
@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.json", "rows.jsonl.gz", "rows.parquet"])
def test_memory_does_not_grow_with_the_file(name: str, tmp_path: Path) -> None:
    """Rule: of 20 MB of rows not half is kept at once."""

    def peak(count: int) -> int:
        rows = [{"external_id": f"C-{n:07d}", "first_name": "x" * 1000} for n in range(count)]
        path = tmp_path / f"{count}-{name}"
        if name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=500)
        elif name.startswith("rows.csv"):
            path.write_bytes(gzip.compress(csv_bytes(rows), 1))
        elif name == "rows.json":
            path.write_text(json.dumps(rows))
        else:
            path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), 1))
        read_rows, megabytes = map(int, output_of(MEASURE, path).split())
        assert read_rows == count
        return megabytes

    # 8 MB of it may be the bit field that finds doubled identifiers, of which few rows touch little.
    assert peak(20_000) - peak(500) < 10
