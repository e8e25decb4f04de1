"""What Google Cloud Storage alone can do wrong. Its stand-in ignores preconditions, so the requests are looked at."""

from __future__ import annotations

import gc
import json
import logging
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from airflow_provider_custobar.stores.gcs import GcsStore as CloudStore
from airflow_provider_custobar.stores.gcs_resumable import GcsSink
from airflow_provider_custobar.stores.gcs_upload import GcsComponentsSink
from airflow_provider_custobar.stores.protocol import LostError, State, TargetError
from tests.export.support import MARK, MARKED, PART, PLAIN, GcsStore


def answer(status: int, *, method: str, path: str) -> object:
    """A rule for the wire: this status for requests of that method whose path and query match."""
    return lambda request: status if request.method == method and re.search(path, str(request.url)) else None


def query_of(request: requests.PreparedRequest) -> dict[str, list[str]]:
    return parse_qs(urlsplit(str(request.url)).query)


def begun(store: GcsStore) -> list[requests.PreparedRequest]:
    """The requests that began an upload."""
    return [request for request in store.wire.seen if request.method == "POST" and "uploadType" in str(request.url)]


def test_a_missing_bucket_is_refused(gcs: GcsStore) -> None:
    """``check`` names a bucket that is not there."""
    with pytest.raises(TargetError, match="'no-such-bucket': create it first"):
        CloudStore(gcs.client, "no-such-bucket").target("a.csv").check()


def test_no_right_to_list_is_no_reason_to_refuse(gcs: GcsStore) -> None:
    """An account that may create objects but not list them (role objectCreator) passes ``check``, as on S3."""
    gcs.wire.answer = answer(403, method="GET", path=r"/b/[^/]+/o\?")
    gcs.target("a.csv").check()


def test_no_right_to_look_is_no_reason_to_refuse(gcs: GcsStore) -> None:
    """``replace=False`` without the right to read: 403 tells nothing; the precondition decides at the end."""
    gcs.wire.answer = answer(403, method="GET", path=r"/b/[^/]+/o/")
    gcs.target("a.csv", replace=False).check()


@pytest.mark.parametrize("size", [5, PART + 5])
def test_the_precondition_is_sent(gcs: GcsStore, size: int) -> None:
    """``replace=False`` asks the store itself to refuse where there is an object; ``replace=True`` does not."""
    for replace in (False, True):
        sink = gcs.target("a.csv", replace=replace).open(PLAIN)
        sink.write(b"x" * size)
        sink.publish()
    queries = [query_of(request) for request in begun(gcs)]
    assert [query.get("ifGenerationMatch") for query in queries] == [["0"], None]


@pytest.mark.parametrize("size", [5, PART + 5])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_failed_precondition_says_that_the_object_exists(gcs: GcsStore, method: str, size: int) -> None:
    """412, whether at the beginning of the upload or at a chunk, is told as what it is: the object is there."""
    gcs.wire.answer = answer(412, method=method, path="uploadType=resumable")
    sink = gcs.target("a.csv", replace=False).open(PLAIN)
    with pytest.raises(TargetError, match=r"a\.csv exists already"):  # noqa: PT012 - the chunk may go now or at the end
        sink.write(b"x" * size)
        sink.publish()
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
    sink = gcs.target("a.csv").open(PLAIN)
    sink.write(b"x" * PART)
    with pytest.raises(Exception, match="403"):
        sink.write(b"x" * PART)
    sink.abort()
    sink.abort()
    assert (gcs.names(), gcs.debris()) == ([], [])


def test_an_upload_that_cannot_begin_surfaces(gcs: GcsStore) -> None:
    """The refusal of an upload is raised as it is; there is nothing to clean up."""
    gcs.wire.answer = answer(403, method="POST", path="uploadType=resumable")
    sink = gcs.target("a.csv").open(PLAIN)
    with pytest.raises(Exception, match="403"):
        sink.write(b"x" * PART)
    sink.abort()
    assert (gcs.names(), gcs.debris()) == ([], [])


def test_abort_cancels_the_upload_itself(gcs: GcsStore) -> None:
    """``abort`` deletes the address that the chunks went to; an upload that is not cancelled is kept for a week."""
    sink = gcs.target("a.csv").open(PLAIN)
    sink.write(b"x" * (PART + 5))
    sink.abort()
    chunks = {request.url for request in gcs.wire.seen if request.method == "PUT"}
    cancelled = {request.url for request in gcs.wire.seen if request.method == "DELETE"}
    assert len(chunks) == 1
    assert cancelled == chunks


def test_a_refused_cancellation_is_harmless(gcs: GcsStore) -> None:
    """An upload that cannot be cancelled is invisible anyway: ``abort`` does not raise."""
    gcs.wire.answer = answer(403, method="DELETE", path="")
    sink = gcs.target("a.csv").open(PLAIN)
    sink.write(b"x" * (PART + 5))
    sink.abort()
    assert gcs.names() == []


@pytest.mark.parametrize("size", [5, PART, PART + 5])
def test_a_forgotten_sink_sends_no_last_chunk(gcs: GcsStore, size: int) -> None:
    """Collected as garbage, a sink sends nothing more: a last chunk would make the half-written object visible."""
    sink = gcs.target("a.csv").open(PLAIN)
    sink.write(b"x" * size)
    before = len(gcs.wire.seen)
    del sink
    gc.collect()
    assert len(gcs.wire.seen) == before
    assert gcs.names() == []


def test_chunks_go_up_while_writing(gcs: GcsStore) -> None:
    """Whole chunks leave memory as they fill; they do not wait for ``publish``."""
    sink = gcs.target("a.csv").open(PLAIN)
    for _ in range(33):
        sink.write(b"x" * (PART // 8))
    assert sum(request.method == "PUT" for request in gcs.wire.seen) == 4
    sink.publish()
    assert len(gcs.read("a.csv") or b"") == 33 * (PART // 8)


# What an attempt leaves to the next one.


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write is a component of its own."""
    monkeypatch.setattr(GcsComponentsSink, "part_bytes", 1)


def composed(store: GcsStore) -> list[requests.PreparedRequest]:
    return [
        request
        for request in store.wire.seen
        if request.method == "POST" and str(request.url).split("?")[0].endswith("/compose")
    ]


def granted(*names: str) -> Any:
    """A rule for the wire: of all rights the account has these."""
    body = json.dumps({"permissions": [f"storage.objects.{name}" for name in names]}).encode()
    return lambda request: (200, body) if "testPermissions" in str(request.url) else None


def state_of(sink: Any) -> State:
    size, state = sink.durable()
    assert size == state["bytes"]
    return state  # type: ignore[no-any-return]


@pytest.mark.usefixtures("small_parts")
def test_the_final_step_alone_has_a_precondition(gcs: GcsStore) -> None:
    """``replace=False`` asks for it where the object gets its name; components may be written again."""
    for replace in (False, True):
        sink = gcs.target("a.csv", replace=replace).open(MARKED)
        for _ in range(33):
            sink.write(b"x")
        sink.publish()
        matches = [query_of(request).get("ifGenerationMatch") for request in begun(gcs) + composed(gcs)]
        assert matches == [None] * 35 + [["0"] if not replace else None]
        gcs.wire.seen.clear()


def test_a_page_alone_is_one_request(gcs: GcsStore) -> None:
    """An export that could be continued but has one small page is put in one request, after a look at the rights."""
    sink = gcs.target("a.csv", replace=False).open(MARKED)
    sink.write(b"x" * 1000)
    sink.finish()
    sink.publish()
    # The library may look at the bucket by itself now and then.
    (only,) = [request for request in gcs.wire.seen if request.method != "GET"]
    assert query_of(only)["ifGenerationMatch"] == ["0"]


def test_nothing_lies_where_the_object_will(gcs: GcsStore) -> None:
    """Components are neither in the object's folder nor under any prefix that it has: no wildcard of a loader meets them."""
    sink = gcs.target("a.csv").open(MARKED)
    sink.write(b"x" * PART)
    assert [name.partition("/")[0] for name in gcs.components()] == [".custobar-unfinished"]
    assert gcs.names() == []
    sink.abort()


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("components", [0, 2])
@pytest.mark.parametrize("is_ours", [True, False])
def test_a_refused_object_may_be_our_own(gcs: GcsStore, components: int, is_ours: bool) -> None:
    """412 after an answer was lost tells of the object that this export made; else of somebody else's."""
    sink = gcs.target("a.csv", replace=False).open(MARKED)
    for _ in range(components):
        sink.write(b"x")
    sink.finish()
    there = gcs.bucket.blob(gcs.prefix + "a.csv")
    there.metadata = {"custobar-export": MARKED.signature if is_ours else "ffff"}
    there.upload_from_string(b"x" * components)
    gcs.wire.answer = answer(412, method="POST", path="ifGenerationMatch=0")
    if is_ours:
        sink.publish()
    else:
        with pytest.raises(TargetError, match="exists already"):
            sink.publish()
        sink.abort()
    assert (gcs.names(), gcs.debris()) == (["a.csv"], [])


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("count", [31, 32, 33, 1025])
def test_any_number_of_components_is_one_object(gcs: GcsStore, count: int) -> None:
    """Whatever their number, and however often it dies, components become one object, in their order."""
    target = gcs.target("a.csv")
    sink: Any = target.open(MARKED)
    pieces = [b"%d;" % number for number in range(count)]
    for number, piece in enumerate(pieces):
        sink.write(piece)
        if number % 400 == 30:
            sink = target.reopen(MARKED, state_of(sink))
    assert len(json.dumps(state_of(sink))) < 200
    sink.publish()
    assert gcs.read("a.csv") == b"".join(pieces)
    assert (gcs.names(), gcs.debris()) == (["a.csv"], [])


@pytest.mark.usefixtures("small_parts")
def test_every_state_leads_on_while_the_next_one_is_not_recorded(gcs: GcsStore) -> None:
    """With what came after the last recorded state already there, any number of deaths in a row: the same object."""
    target = gcs.target("a.csv")
    pieces = [b"%d;" % number for number in range(40)]
    state: State | None = None
    for number in range(len(pieces)):
        sink = target.open(MARKED) if state is None else target.reopen(MARKED, state)
        sink.write(pieces[number])
        state = state_of(sink)
        for piece in pieces[number + 1 : number + 2]:
            sink.write(piece)
    assert state is not None
    target.reopen(MARKED, state).publish()
    assert gcs.read("a.csv") == b"".join(pieces)
    assert gcs.debris() == []


@pytest.mark.usefixtures("small_parts")
def test_a_missing_component_is_told(gcs: GcsStore) -> None:
    """An object is not continued with a hole, nor with a component of another length; and nothing is left of it."""
    target = gcs.target("a.csv")
    sink = target.open(MARKED)
    for _ in range(3):
        sink.write(b"xy")
    gcs.bucket.blob(gcs.components()[1]).upload_from_string(b"x")
    with pytest.raises(LostError, match=r"a\.csv"):
        target.reopen(MARKED, state_of(sink))
    assert gcs.debris() == []


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("components", [33, 3])
def test_a_refused_compose_surfaces_and_leaves_nothing(gcs: GcsStore, components: int) -> None:
    """The refusal is raised as it is, at the last step and before it, and ``abort`` removes the components."""
    gcs.wire.answer = answer(403, method="POST", path="/compose")
    sink = gcs.target("a.csv").open(MARKED)
    for _ in range(components):
        sink.write(b"x")
    with pytest.raises(Exception, match="403"):
        sink.publish()
    sink.abort()
    sink.abort()
    assert (gcs.names(), gcs.debris()) == ([], [])


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("status", [403, 400])
def test_components_that_cannot_be_removed_are_told(gcs: GcsStore, caplog: pytest.LogCaptureFixture, status: int) -> None:
    """Where removing is refused, by a retention policy say, the object is there all the same, and one warning is logged."""
    gcs.wire.answer = answer(status, method="DELETE", path="")
    sink = gcs.target("a.csv").open(MARKED)
    for _ in range(3):
        sink.write(b"x")
    sink.publish()
    assert gcs.read("a.csv") == b"xxx"
    (told,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert f".custobar-unfinished/{MARK}/" in told


@pytest.mark.usefixtures("small_parts")
def test_a_passing_failure_is_tried_again(gcs: GcsStore) -> None:
    """503 once, at a component, at the last compose and at removing: no error, and the object is right."""
    failed: list[str] = []

    def fail_once(request: requests.PreparedRequest) -> int | None:
        kind = "compose" if "/compose" in str(request.url) else str(request.method)
        if kind in ("GET", *failed):
            return None
        failed.append(kind)
        return 503

    sink = gcs.target("a.csv").open(MARKED)
    gcs.wire.answer = fail_once
    sink.write(b"x")
    sink.publish()
    assert failed == ["POST", "compose", "DELETE"]
    assert (gcs.read("a.csv"), gcs.debris()) == (b"x", [])


@pytest.mark.parametrize("missing", ["get", "list", "delete"])
def test_without_the_right_to_components_an_export_is_streamed(
    gcs: GcsStore, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    """Who may only create objects still exports, in one upload that cannot be continued, and is told so once."""
    gcs.wire.answer = granted(*{"create", "get", "list", "delete"} - {missing})
    caplog.set_level(logging.INFO, "airflow_provider_custobar")
    store = CloudStore(gcs.client, gcs.bucket.name)
    for name in ("a.csv", "b.csv"):
        sink = store.target(gcs.prefix + name).open(MARKED)
        assert isinstance(sink, GcsSink)
        sink.write(b"x" * (PART + 5))
        assert sink.durable() is None
        sink.publish()
        assert gcs.read(name) == b"x" * (PART + 5)
    (line,) = [record.message for record in caplog.records if record.name.startswith("airflow_provider_custobar")]
    assert f"storage.objects.{missing}" in line


@pytest.mark.parametrize("status", [403, 404, 500, 501])
def test_a_store_that_does_not_tell_of_rights_is_tried(gcs: GcsStore, status: int) -> None:
    """Only an answer that lists rights can say that some are missing."""
    gcs.wire.answer = answer(status, method="GET", path="testPermissions")
    assert isinstance(gcs.target("a.csv").open(MARKED), GcsComponentsSink)


def test_all_rights_are_enough(gcs: GcsStore) -> None:
    """An account with the four rights exports in components; one that needs none is not asked."""
    gcs.wire.answer = granted("create", "get", "list", "delete")
    assert isinstance(gcs.target("a.csv").open(MARKED), GcsComponentsSink)
    gcs.wire.seen.clear()
    assert isinstance(gcs.target("a.csv").open(PLAIN), GcsSink)
    assert not [request for request in gcs.wire.seen if "testPermissions" in str(request.url)]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("info", [PLAIN, MARKED], ids=["streamed", "components"])
@pytest.mark.parametrize("count", [1, 33])
def test_what_goes_along_with_the_object(gcs: GcsStore, info: Any, count: int) -> None:
    """Headers and metadata are the object's, of however many components it is made."""
    sink = gcs.target("a.csv", cache_control="no-store").open(info)
    for _ in range(count):
        sink.write(b"x" * 10)
    sink.end({"custobar-rows": "7"})
    sink.finish()
    sink.publish()
    blob = gcs.blob("a.csv")
    assert (blob.cache_control, blob.content_type) == ("no-store", info.content_type)
    assert blob.metadata["custobar-rows"] == "7"
    assert gcs.read("a.csv") == b"x" * 10 * count


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(("status", "level"), [(403, logging.DEBUG), (400, logging.WARNING)])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_sweeping_never_fails(gcs: GcsStore, caplog: pytest.LogCaptureFixture, method: str, status: int, level: int) -> None:
    """What cannot be looked for or removed is logged: as a warning if it is more than a missing right."""
    target = gcs.target("a.csv")
    sink = target.open(MARKED)
    sink.write(b"x")
    caplog.set_level(logging.DEBUG, "airflow_provider_custobar")
    gcs.wire.answer = answer(status, method=method, path="")
    target.sweep(MARKED)
    (record,) = [record for record in caplog.records if record.name.startswith("airflow_provider_custobar")]
    assert record.levelno == level
    gcs.wire.answer = lambda _: None
    target.sweep(MARKED)
    assert gcs.debris() == []


@pytest.mark.usefixtures("small_parts")
def test_what_a_replaced_attempt_writes_late_goes(gcs: GcsStore) -> None:
    """An attempt that was taken for dead may write after the next one has begun: that one removes it at its end."""
    target = gcs.target("a.csv")
    replaced = target.open(MARKED)
    replaced.write(b"x" * 10)
    found = replaced.durable()
    assert found is not None
    sink = target.reopen(MARKED, found[1])
    replaced.write(b"late" * 10)
    sink.publish()
    assert (gcs.read("a.csv"), gcs.debris()) == (b"x" * 10, [])


def test_a_published_object_is_known_without_the_right_to_list(gcs: GcsStore) -> None:
    """Who may not look for components still knows the object that an attempt before has published."""
    target = gcs.target("a.csv", replace=False)
    sink = target.open(MARKED)
    sink.write(b"x")
    state = sink.finish()
    sink.publish()
    gcs.wire.answer = answer(403, method="GET", path=r"/o\?")
    assert state is not None
    target.reopen(MARKED, state).publish()
    assert gcs.read("a.csv") == b"x"
