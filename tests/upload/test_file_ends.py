"""A file is only whole when its own end has been seen: what is cut is an error, never a shorter file."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import struct
import sys
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from airflow_provider_custobar.api.errors import MissingExtraError
from airflow_provider_custobar.upload.files import FileError
from airflow_provider_custobar.upload.rows import Unreadable
from tests.upload.file_help import csv_bytes, parquet_bytes, read

ROWS: list[dict[str, Any]] = [{"external_id": f"C-{n}", "first_name": 'Äinö, "A"\nB'} for n in range(4)]
PLAIN = {
    "a.csv": csv_bytes(ROWS),
    "a.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in ROWS),
    "a.json": json.dumps(ROWS).encode(),
    "a.parquet": parquet_bytes(ROWS),
}
# Blocks of every kind: a frame that ends says so in its last block alone.
BLOCKY = zstandard.ZstdCompressor(level=1, write_content_size=False)
PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".zstd": BLOCKY.compress,
}


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("name", PLAIN)
def test_a_compressed_file_cut_anywhere_is_an_error(name: str, ending: str) -> None:
    """Rule: of a stream with an end mark, any beginning is an error that names the file, 0 bytes included."""
    packed = PACK[ending](PLAIN[name])
    assert read(name + ending, packed) == ROWS
    for length in range(len(packed)):
        with pytest.raises(FileError, match=rf"^{re.escape(name + ending)} cannot be read to its end"):
            read(name + ending, packed[:length])


@pytest.mark.parametrize("ending", PACK)
def test_a_long_compressed_file_cut_anywhere_is_an_error(ending: str) -> None:
    """Rule: it holds where a stream has many blocks, and comes in many pieces."""
    rows = [{"external_id": hashlib.sha256(str(n).encode()).hexdigest()} for n in range(6_000)]
    packed = PACK[ending](b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    assert read("a.jsonl" + ending, packed) == rows
    for length in [*range(1, len(packed), 9_973), *range(len(packed) - 12, len(packed))]:
        with pytest.raises(FileError):
            read("a.jsonl" + ending, packed[:length])


@pytest.mark.parametrize("name", ["a.json", "a.parquet"])
def test_a_document_cut_anywhere_is_an_error(name: str) -> None:
    """Rule: a JSON array and Parquet have an end mark of their own."""
    for length in range(len(PLAIN[name])):
        with pytest.raises(FileError, match=rf"^{name} cannot be read to its end"):
            read(name, PLAIN[name][:length])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32"])
def test_json_lines_cut_anywhere_hold_no_half_row(encoding: str) -> None:
    """Rule: lines have no end mark, so whole ones may be missing; but a line that is cut is no row."""
    data = PLAIN["a.jsonl"].decode().encode(encoding)
    for length in range(1, len(data)):
        try:
            *whole, last = read("a.jsonl", data[:length], encoding=encoding) or [None]
        except FileError:
            continue
        assert whole == ROWS[: len(whole)]
        assert last is None or isinstance(last, Unreadable) or last == ROWS[len(whole)]


def test_csv_cut_anywhere_holds_no_row_that_shows_it() -> None:
    """Rule: CSV has no end mark. A quote that is open and cells that are missing show the cut; a shorter last cell cannot."""
    data = PLAIN["a.csv"]
    for length in range(len(data)):
        try:
            rows = read("a.csv", data[:length])
        except FileError:
            continue
        good = [row for row in rows if not isinstance(row, Unreadable)]
        assert good[:-1] == ROWS[: len(good[:-1])]
        if good:
            begun, whole = good[-1], ROWS[len(good) - 1]
            assert all(whole[name].startswith(cell) for name, cell in begun.items())


@pytest.mark.parametrize(
    ("name", "data", "is_told"),
    [
        ("cut.csv", b"a,b\n1,Oulu\n2,Tur", True),
        ("cut.csv", "\na,b\r\n1,Oulu".encode("utf-16"), True),
        ("a.csv", b"a,b\n1,Oulu\n", False),
        ("a.csv", b"a,b\r1,Oulu\r", False),
        ("a.csv", b"a,b", False),
        ("a.csv.gz", gzip.compress(b"a,b\n1,Oulu", mtime=0), False),
        ("a.jsonl", b'{"a": 1}\n{"a": 2}', False),
    ],
)
def test_a_last_line_without_its_end_is_told(name: str, data: bytes, is_told: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Rule: plain CSV that may be cut within its last cell is told of, once and by name; its rows are read all the same."""
    assert read(name, data, encoding="utf-16" if data[:1] == b"\xff" else "utf-8") or data == b"a,b"
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [message.split(" may be cut")[0] for message in messages] == [name] * is_told


SKIPPABLE = b"\x50\x2a\x4d\x18" + struct.pack("<I", 5) + b"hello"
LINES = [b'{"a": 1}\n', b'{"a": 2}\n']


def _gzipped(data: bytes) -> bytes:
    # Tests are called after such bytes, so these must be the same in every process.
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("ending", "data"),
    [
        (".gz", b"".join(map(_gzipped, LINES))),
        (".gz", _gzipped(b"".join(LINES)) + bytes(700)),
        (".gz", _gzipped(LINES[0]) + _gzipped(b"") + bytes(3) + _gzipped(LINES[1])),
        (".zst", b"".join(map(zstandard.compress, LINES))),
        (".zst", SKIPPABLE + zstandard.compress(LINES[0]) + SKIPPABLE + zstandard.compress(LINES[1]) + SKIPPABLE),
        (".zst", zstandard.compress(LINES[0]) + zstandard.compress(b"") + zstandard.compress(LINES[1])),
        (".zst", b"".join(BLOCKY.compress(line) for line in LINES)),
    ],
)
def test_streams_of_several_parts_are_read_to_the_last(ending: str, data: bytes) -> None:
    """Rule: members, frames, frames to be skipped and padding are what the tools of either format write."""
    assert read("a.jsonl" + ending, data) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("cut", range(1, len(SKIPPABLE)))
def test_a_frame_to_be_skipped_has_an_end_too(cut: int) -> None:
    """Rule: a frame without content that is cut may have had others behind it."""
    with pytest.raises(FileError):
        read("a.jsonl.zst", zstandard.compress(LINES[0]) + SKIPPABLE[:cut])


@pytest.mark.parametrize("behind", [b"x", b"garbage", b"\x1f", b"\x28\xb5", bytes(9) + b"x"])
@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_what_follows_a_stream_must_be_one(ending: str, behind: bytes) -> None:
    """Rule: what follows the end mark is not left out in silence."""
    with pytest.raises(FileError):
        read("a.jsonl" + ending, PACK[ending](LINES[0]) + behind)


def test_a_stream_without_content_is_a_file_without_content() -> None:
    """Rule: an empty file that was compressed is empty, as the same file is without."""
    for ending, pack in PACK.items():
        assert read("a.jsonl" + ending, pack(b"")) == read("a.jsonl", b"") == []


@pytest.mark.parametrize(("package", "name"), [("zstandard", "a.csv.zst"), ("pyarrow", "a.parquet")])
def test_a_missing_package_is_final_and_no_fault_of_the_file(package: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: what another attempt would not find either fails at once, with what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match="pip install 'airflow-provider-custobar"):
        read(name, b"any bytes")
