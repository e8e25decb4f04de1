"""Compression: valid, the same each time, and chosen by the name."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import duckdb
import pyarrow.compute
import pyarrow.csv
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.export.compression import (
    Codec,
    compress,
    content_type_of,
    resolve_compression,
    resolve_inner_compression,
)
from tests.python_process import output_of


def compressed(pieces: list[bytes], codec: Codec = "gzip") -> bytes:
    return b"".join(compress(piece, codec) for piece in pieces)


PIECES = st.lists(st.binary(max_size=2000), min_size=1)


@given(PIECES)
def test_gzip_can_be_read_by_anything(pieces: list[bytes]) -> None:
    """Members one after another are one gzip file of what went in, for nothing and for empty pieces too."""
    assert gzip.decompress(compressed(pieces)) == b"".join(pieces)


@given(PIECES)
def test_zstd_can_be_read_by_anything(pieces: list[bytes]) -> None:
    """Frames one after another are one zstd file of what went in, for nothing and for empty pieces too, with checksums."""
    content = compressed(pieces, "zstd")
    reader = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True)
    assert reader.read() == b"".join(pieces)
    assert zstandard.get_frame_parameters(content).has_checksum


def test_other_readers_agree_on_zstd(tmp_path: Path) -> None:
    """DuckDB and PyArrow read a file of many frames, some of many blocks, by its ending."""
    pages = [b"".join(b"%d,Oulu\r\n" % number for number in range(start, start + 50_000)) for start in (0, 50_000)]
    path = tmp_path / "a.csv.zst"
    path.write_bytes(compressed([b"id,city\r\n", *pages], "zstd"))
    expected = (100_000, sum(range(100_000)))
    assert duckdb.sql(f"SELECT count(*), sum(id) FROM read_csv('{path}')").fetchall() == [expected]
    table = pyarrow.csv.read_csv(path)
    assert (table.num_rows, pyarrow.compute.sum(table["id"]).as_py()) == expected


def test_no_compression_changes_nothing() -> None:
    """Without compression bytes pass as they are, not even copied: pages are large."""
    data = b"abc" * 1000
    assert compress(data, None) is data


def test_gzip_of_the_same_rows_is_the_same_later() -> None:
    """A retry makes the same object byte for byte: the file holds no time stamp and no name."""
    pieces = [b"external_id,email\r\n", b"1,anna@example.com\r\n" * 1000]
    first = compressed(pieces)
    assert first[3:8] == bytes(5)  # no flags, hence no name; no time
    time.sleep(1.01)  # a time stamp counts whole seconds
    assert compressed(pieces) == first


def test_zstd_of_the_same_rows_is_the_same() -> None:
    """A retry makes the same object byte for byte."""
    pieces = [b"external_id,email\r\n", b"1,anna@example.com\r\n" * 100_000]
    assert compressed(pieces, "zstd") == compressed(pieces, "zstd")


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_compression_makes_texts_smaller(codec: Codec) -> None:
    """Rows shrink by far; a compressor that only wraps would be of no use."""
    rows = b"".join(b"%d,anna.%d@example.com,Helsinki,FI\r\n" % (number, number) for number in range(5000))
    assert len(compressed([rows], codec)) < len(rows) / 3


@pytest.mark.parametrize(
    ("compression", "name", "expected"),
    [
        ("infer", "a.csv", None),
        ("infer", "a.csv.gz", "gzip"),
        ("infer", "a.jsonl.GZ", "gzip"),
        ("infer", "a.gzip", "gzip"),
        ("infer", "s3://bucket/ds=2026-02-01/a.json.gz", "gzip"),
        ("infer", "s3://bucket.gz/a.json", None),
        ("infer", "s3://bucket/folder.gz/a", None),
        ("infer", "a.gz.csv", None),
        ("infer", "a", None),
        ("infer", "a.csv.zst", "zstd"),
        ("infer", "a.jsonl.ZSTD", "zstd"),
        ("infer", "a.zst.csv", None),
        ("gzip", "a.csv", "gzip"),
        ("zstd", "a.csv.gz", "zstd"),
        (None, "a.csv.gz", None),
    ],
)
def test_the_name_tells_the_compression(compression: str, name: str, expected: str | None) -> None:
    """``infer`` goes by the last ending alone, whatever its case; an explicit choice goes before the name."""
    assert resolve_compression(compression, name) == expected  # type: ignore[arg-type]


def test_the_media_type_of_a_compressed_file() -> None:
    """A compressed file is told as such; any other keeps its format's own type."""
    assert content_type_of("gzip") == "application/gzip"
    assert content_type_of("zstd") == "application/zstd"
    assert content_type_of(None) is None


@pytest.mark.parametrize("ending", [".bz2", ".XZ", ".lz4"])
def test_an_ending_that_promises_another_compression_is_refused(ending: str) -> None:
    """No object says by its name that it is compressed and is not, unless the user wants it so."""
    with pytest.raises(InvalidArgumentError, match=f"compression='infer'.*{ending.lower()}"):
        resolve_compression("infer", f"a.csv{ending}")
    assert resolve_compression(None, f"a.csv{ending}") is None


@pytest.mark.parametrize(
    ("compression", "name", "expected"),
    [
        ("infer", "a.parquet", "zstd"),
        ("infer", "a", "zstd"),
        ("infer", "s3://bucket.gz/a.zst.parquet", "zstd"),
        ("gzip", "a.parquet", "gzip"),
        ("zstd", "a.parquet.gz", "zstd"),
        (None, "a.parquet", None),
    ],
)
def test_compression_within_a_file(compression: str, name: str, expected: str | None) -> None:
    """A file that is compressed within is so by zstd unless told otherwise."""
    assert resolve_inner_compression(compression, name) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", [".gz", ".zst", ".bz2"])
def test_a_file_compressed_within_is_not_wrapped(ending: str) -> None:
    """A name that promises a wrapped file is refused, since the file would not be one."""
    with pytest.raises(InvalidArgumentError, match=f"compression='infer'.*{ending}.*end the name in .parquet"):
        resolve_inner_compression("infer", f"a.parquet{ending}")


@pytest.mark.processes
def test_without_zstandard_the_message_has_the_pip_line() -> None:
    """Without its package zstd is refused before anything is asked of anyone, with what to install; gzip works."""
    code = """if True:
        import sys
        sys.modules["zstandard"] = None
        from airflow_provider_custobar.export.compression import compress, resolve_compression
        compress(b"", resolve_compression("infer", "a.csv.gz"))
        try:
            resolve_compression("infer", "a.csv.zst")
        except Exception as error:
            print(type(error).__name__, error)
    """
    said = output_of(code)
    assert said.startswith("MissingExtraError ")
    assert "pip install 'airflow-provider-custobar[zstd]'" in said
