"""Compression: valid, the same each time, and chosen by the name."""

from __future__ import annotations

import gzip
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.export.compression import content_type_of, make_compressor, resolve_compression


def compressed(pieces: list[bytes]) -> bytes:
    compressor = make_compressor("gzip")
    return b"".join([*map(compressor.compress, pieces), compressor.flush()])


@given(st.lists(st.binary(max_size=2000)))
def test_gzip_can_be_read_by_anything(pieces: list[bytes]) -> None:
    """What comes out is one gzip file of what went in, for nothing and for empty pieces too."""
    assert gzip.decompress(compressed(pieces)) == b"".join(pieces)


@given(st.lists(st.binary(max_size=2000)))
def test_no_compression_changes_nothing(pieces: list[bytes]) -> None:
    """Without compression bytes pass as they are."""
    compressor = make_compressor(None)
    assert b"".join([*map(compressor.compress, pieces), compressor.flush()]) == b"".join(pieces)


def test_gzip_of_the_same_rows_is_the_same_later() -> None:
    """A retry makes the same object byte for byte: the file holds no time stamp and no name."""
    pieces = [b"external_id,email\r\n", b"1,anna@example.com\r\n" * 1000]
    first = compressed(pieces)
    assert first[3:8] == bytes(5)  # no flags, hence no name; no time
    time.sleep(1.01)  # a time stamp counts whole seconds
    assert compressed(pieces) == first


def test_gzip_makes_texts_smaller() -> None:
    """Rows shrink by far; a compressor that only wraps would be of no use."""
    rows = b"".join(b"%d,anna.%d@example.com,Helsinki,FI\r\n" % (number, number) for number in range(5000))
    assert len(compressed([rows])) < len(rows) / 3


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
        ("gzip", "a.csv", "gzip"),
        (None, "a.csv.gz", None),
    ],
)
def test_the_name_tells_the_compression(compression: str, name: str, expected: str | None) -> None:
    """``infer`` goes by the last ending alone, whatever its case; an explicit choice goes before the name."""
    assert resolve_compression(compression, name) == expected  # type: ignore[arg-type]


def test_the_media_type_of_a_compressed_file() -> None:
    """A compressed file is told as such; any other keeps its format's own type."""
    assert content_type_of("gzip") == "application/gzip"
    assert content_type_of(None) is None


@pytest.mark.parametrize("ending", [".zst", ".bz2", ".XZ"])
def test_an_ending_that_promises_another_compression_is_refused(ending: str) -> None:
    """No object says by its name that it is compressed and is not, unless the user wants it so."""
    with pytest.raises(InvalidArgumentError, match=f"compression='infer'.*{ending.lower()}"):
        resolve_compression("infer", f"a.csv{ending}")
    assert resolve_compression(None, f"a.csv{ending}") is None
