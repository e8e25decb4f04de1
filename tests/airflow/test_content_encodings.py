"""Objects that their store says are compressed, on real stores."""

from __future__ import annotations

import gzip
import os
from typing import Any

import pytest
import zstandard

from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.upload.files import FileError
from tests.airflow.places import OnGcs, OnS3, one, sent

ROWS = 3_000


def large() -> bytes:
    """More than 8 MiB, of which gzip makes not much less."""
    return b"".join(b'{"external_id": "%d", "acme__note": "%s"}\n' % (n, os.urandom(3_200).hex().encode()) for n in range(ROWS))


@pytest.fixture(scope="module")
def plain() -> bytes:
    return large()


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "aws-chunked,gzip", "GZIP", "x-gzip"])
def test_a_content_encoding_is_undone(bucket: OnS3 | OnGcs, tenant: CustobarSandbox, plain: bytes, encoding: str) -> None:
    """Rule: of an object that its store says is compressed, every row arrives, of however many pieces it is."""
    stored = zstandard.ZstdCompressor(level=1).compress(plain) if encoding == "zstd" else gzip.compress(plain, 1)
    assert len(stored) > 8 << 20
    bucket.put("customers.jsonl", stored, ContentEncoding=encoding)
    result = bucket.upload("customers.jsonl", dry_run=True)
    assert (result["rows"], result["rejected"]) == (ROWS, 0)


@pytest.mark.parametrize(
    ("name", "encoding", "stored"),
    [
        ("a.csv", "identity", (0, "infer")),
        ("a.csv", "", (0, "infer")),
        ("a.csv", "aws-chunked", (0, "infer")),
        ("a.csv.gz", "aws-chunked", (1, "infer")),
        ("a.csv.gz", "gzip", (1, "infer")),
        ("a.csv.gz", "gzip", (2, "infer")),
        ("a.csv", "gzip, gzip", (2, "infer")),
        ("a.csv", "gzip", (1, None)),
        ("a.csv", "gzip", (1, "gzip")),
        ("a.csv", "gzip", (2, "gzip")),
    ],
)
def test_a_label_that_repeats_the_ending_is_told_from_its_bytes(
    bucket: OnS3 | OnGcs, tenant: CustobarSandbox, name: str, encoding: str, stored: tuple[int, Any]
) -> None:
    """Rule: ``.gz`` and ``Content-Encoding: gzip`` are one compression or two, as the bytes have it."""
    times, compression = stored
    data = one("1")
    for _ in range(times):
        data = gzip.compress(data)
    bucket.put(name, data, ContentEncoding=encoding)
    assert bucket.upload(name, compression=compression)["uploaded"] == 1
    assert sent(tenant) == ["1"]


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip,br", "rot13"])
def test_an_encoding_that_cannot_be_undone_is_named(bucket: OnS3 | OnGcs, tenant: CustobarSandbox, encoding: str) -> None:
    """Rule: never rows out of bytes that nobody can read; the object and the encoding are named."""
    bucket.put("a.csv", one("1"), ContentEncoding=encoding)
    word = encoding.rpartition(",")[2]
    with pytest.raises(FileError, match=f"{bucket.uri('a.csv')} .*Content-Encoding is '{word}'.*gzip"):
        bucket.upload("a.csv")
    assert tenant.requests == []
