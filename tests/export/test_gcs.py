"""What Google Cloud Storage alone can do wrong. Its stand-in ignores preconditions, so the requests are looked at."""

from __future__ import annotations

import gc
import re
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from airflow_provider_custobar.export.gcs import GcsTarget
from airflow_provider_custobar.export.targets import TargetError
from tests.export.support import PART, TEXT, GcsStore


def answer(status: int, *, method: str, path: str) -> object:
    """A rule for the wire: this status for requests of that method whose path and query match."""
    return lambda request: status if request.method == method and re.search(path, str(request.url)) else None


def begun(store: GcsStore) -> list[requests.PreparedRequest]:
    """The requests that began an upload."""
    return [request for request in store.wire.seen if request.method == "POST" and "uploadType" in str(request.url)]


def test_a_missing_bucket_is_refused(gcs: GcsStore) -> None:
    """``check`` names a bucket that is not there."""
    with pytest.raises(TargetError, match="'no-such-bucket': create it first"):
        GcsTarget(gcs.client, "no-such-bucket", "a.csv").check()


def test_no_right_to_list_is_no_reason_to_refuse(gcs: GcsStore) -> None:
    """An account that may create objects but not list them (role objectCreator) passes ``check``, as on S3."""
    gcs.wire.answer = answer(403, method="GET", path=r"/b/exports/o\?")
    gcs.target("a.csv").check()


def test_no_right_to_look_is_no_reason_to_refuse(gcs: GcsStore) -> None:
    """``replace=False`` without the right to read: 403 tells nothing; the precondition decides at the end."""
    gcs.wire.answer = answer(403, method="GET", path=r"/b/exports/o/")
    gcs.target("a.csv", replace=False).check()


@pytest.mark.parametrize("size", [5, PART + 5])
def test_the_precondition_is_sent(gcs: GcsStore, size: int) -> None:
    """``replace=False`` asks the store itself to refuse where there is an object; ``replace=True`` does not."""
    for replace in (False, True):
        sink = gcs.target("a.csv", replace=replace).open(TEXT)
        sink.write(b"x" * size)
        sink.commit()
    queries = [parse_qs(urlsplit(str(request.url)).query) for request in begun(gcs)]
    assert [query.get("ifGenerationMatch") for query in queries] == [["0"], None]


@pytest.mark.parametrize("size", [5, PART + 5])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_failed_precondition_says_that_the_object_exists(gcs: GcsStore, method: str, size: int) -> None:
    """412, whether at the beginning of the upload or at a chunk, is told as what it is: the object is there."""
    gcs.wire.answer = answer(412, method=method, path="uploadType=resumable")
    sink = gcs.target("a.csv", replace=False).open(TEXT)
    with pytest.raises(TargetError, match=r"a\.csv exists already"):  # noqa: PT012 - the chunk may go now or at the end
        sink.write(b"x" * size)
        sink.commit()
    sink.abort()
    assert gcs.names() == []


def test_a_refused_chunk_surfaces_and_leaves_nothing(gcs: GcsStore) -> None:
    """A chunk refused in the middle is raised, and ``abort`` takes the upload back."""
    chunks: list[str] = []

    def refuse_the_second(request: requests.PreparedRequest) -> int | None:
        if request.method != "PUT":
            return None
        chunks.append(str(request.url))
        return 403 if len(chunks) == 2 else None

    gcs.wire.answer = refuse_the_second
    sink = gcs.target("a.csv").open(TEXT)
    sink.write(b"x" * PART)
    with pytest.raises(Exception, match="403"):
        sink.write(b"x" * PART)
    sink.abort()
    sink.abort()
    assert (gcs.names(), gcs.debris()) == ([], [])


def test_an_upload_that_cannot_begin_surfaces(gcs: GcsStore) -> None:
    """The refusal of an upload is raised as it is; there is nothing to clean up."""
    gcs.wire.answer = answer(403, method="POST", path="uploadType=resumable")
    sink = gcs.target("a.csv").open(TEXT)
    with pytest.raises(Exception, match="403"):
        sink.write(b"x" * PART)
    sink.abort()
    assert (gcs.names(), gcs.debris()) == ([], [])


def test_abort_cancels_the_upload_itself(gcs: GcsStore) -> None:
    """``abort`` deletes the address that the chunks went to; an upload that is not cancelled is kept for a week."""
    sink = gcs.target("a.csv").open(TEXT)
    sink.write(b"x" * (PART + 5))
    sink.abort()
    chunks = {request.url for request in gcs.wire.seen if request.method == "PUT"}
    cancelled = {request.url for request in gcs.wire.seen if request.method == "DELETE"}
    assert len(chunks) == 1
    assert cancelled == chunks


def test_a_refused_cancellation_is_harmless(gcs: GcsStore) -> None:
    """An upload that cannot be cancelled is invisible anyway: ``abort`` does not raise."""
    gcs.wire.answer = answer(403, method="DELETE", path="")
    sink = gcs.target("a.csv").open(TEXT)
    sink.write(b"x" * (PART + 5))
    sink.abort()
    assert gcs.names() == []


@pytest.mark.parametrize("size", [5, PART, PART + 5])
def test_a_forgotten_sink_sends_no_last_chunk(gcs: GcsStore, size: int) -> None:
    """Collected as garbage, a sink sends nothing more: a last chunk would make the half-written object visible."""
    sink = gcs.target("a.csv").open(TEXT)
    sink.write(b"x" * size)
    before = len(gcs.wire.seen)
    del sink
    gc.collect()
    assert len(gcs.wire.seen) == before
    assert gcs.names() == []


def test_chunks_go_up_while_writing(gcs: GcsStore) -> None:
    """Whole chunks leave memory as they fill; they do not wait for ``commit``."""
    sink = gcs.target("a.csv").open(TEXT)
    for _ in range(33):
        sink.write(b"x" * (PART // 8))
    assert sum(request.method == "PUT" for request in gcs.wire.seen) == 4
    sink.commit()
    assert len(gcs.read("a.csv") or b"") == 33 * (PART // 8)
