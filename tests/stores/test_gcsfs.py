"""A file system of fsspec's that reads more out of names and objects than is there: gcsfs, against a real server."""

from __future__ import annotations

import gzip
import os
from typing import Any

import pytest

from airflow_provider_custobar.stores.files import FileSystemStore
from airflow_provider_custobar.stores.protocol import ObjectInfo, StoreError
from airflow_provider_custobar.stores.reading import find
from tools.servers import GcsServer

NAMES = ["customers[1].csv", "a*.csv", "a?.csv", "a#1.csv", "a%20b.csv", "{a}.csv", "in [1]/x=*/a.csv", "a?generation=1"]


@pytest.fixture
def filesystem(gcs_server: GcsServer) -> Any:
    # Of its core: the class that it shows asks the real service about each bucket for a minute.
    from gcsfs.core import GCSFileSystem

    return GCSFileSystem(token="anon", endpoint_url=gcs_server.endpoint_url, project="test", skip_instance_cache=True)


@pytest.mark.parametrize("mark", [None, "0123456789ab"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_written_and_read_as_it_stands(
    gcs_server: GcsServer, gcs_bucket: str, filesystem: Any, name: str, mark: str | None
) -> None:
    """Rule: the object has the name that was given, nothing lies beside it at any time, and it is found by that name."""
    bucket = gcs_server.client().bucket(gcs_bucket)
    bucket.blob("customers1.csv").upload_from_string("not this")
    sink = (
        FileSystemStore(filesystem)
        .target(f"{gcs_bucket}/{name}")
        .open(ObjectInfo(content_type="text/csv", object_id=mark, can_continue=mark is not None))
    )
    sink.write(b"this")
    sink.finish()
    waiting = {blob.name for blob in bucket.list_blobs()} - {"customers1.csv"}
    assert [each.partition("/")[0] for each in waiting] == [".custobar-unfinished"]
    sink.publish()
    assert {blob.name for blob in bucket.list_blobs()} == {"customers1.csv", name}
    (found,) = find(FileSystemStore(filesystem), "path", f"{gcs_bucket}/{name}")
    assert (found.uri, found.open().read()) == (f"gs://{gcs_bucket}/{name}", b"this")


def test_what_a_dead_attempt_has_finished_is_swept(gcs_server: GcsServer, gcs_bucket: str, filesystem: Any) -> None:
    """Rule: an attempt that starts over removes what lies apart for it."""
    target = FileSystemStore(filesystem).target(f"{gcs_bucket}/out/a.csv")
    info = ObjectInfo(content_type="text/csv", object_id="0123456789ab", can_continue=True)
    dead = target.open(info)
    dead.write(b"this")
    dead.finish()
    target.sweep(info)
    assert list(gcs_server.client().bucket(gcs_bucket).list_blobs()) == []


def test_patterns_and_prefixes(gcs_server: GcsServer, gcs_bucket: str, filesystem: Any) -> None:
    """Rule: they mean here what they mean everywhere, with the empty object that stands for a folder or without it."""
    bucket = gcs_server.client().bucket(gcs_bucket)
    for name in ("in/", "in/a.csv", "in/b.csv", "in/old/c.csv", "in/_SUCCESS"):
        bucket.blob(name).upload_from_string("" if name.endswith("/") else "x")
    objects = FileSystemStore(filesystem)
    found = {name: [each.name.partition("/")[2] for each in find(objects, "path", f"{gcs_bucket}/{name}")] for name in (
        "in/", "in/*.csv", "in/**/*.csv", "*/a.csv",
    )}  # fmt: skip
    assert found == {
        "in/": ["in/a.csv", "in/b.csv", "in/old/c.csv"],
        "in/*.csv": ["in/a.csv", "in/b.csv"],
        "in/**/*.csv": ["in/a.csv", "in/b.csv", "in/old/c.csv"],
        "*/a.csv": ["in/a.csv"],
    }


@pytest.mark.parametrize("size", [100, 12 << 20])
def test_what_a_client_decompresses_by_itself_is_refused(
    gcs_server: GcsServer, gcs_bucket: str, filesystem: Any, size: int
) -> None:
    """Rule: where a library decompresses ranges of an object, an error tells it, and no row is taken from them."""
    blob = gcs_server.client().bucket(gcs_bucket).blob("a.csv")
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(os.urandom(size)))
    (found,) = find(FileSystemStore(filesystem), "path", f"{gcs_bucket}/a.csv")
    assert found.content_encoding == "gzip"
    with pytest.raises(StoreError, match=f"gs://{gcs_bucket}/a.csv"):
        found.open().read()
