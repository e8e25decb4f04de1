"""What S3 alone can do wrong: refused parts, refused endings, buckets that are not there."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace as changed
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.httpsession import URLLib3Session

from airflow_provider_custobar.api.errors import TransportError
from airflow_provider_custobar.api.pages import JsonPage
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.export.checkpoints import Checkpoints
from airflow_provider_custobar.export.cutting import Limits
from airflow_provider_custobar.export.encoders import JsonLines
from airflow_provider_custobar.export.engine import ExportRun
from airflow_provider_custobar.export.file_set import FileSet
from airflow_provider_custobar.export.job import Export
from airflow_provider_custobar.stores.parts import PartBuffer
from airflow_provider_custobar.stores.protocol import LostError, State, TargetError
from airflow_provider_custobar.stores.s3 import S3Store as BucketStore
from airflow_provider_custobar.stores.s3_upload import S3Sink
from airflow_provider_custobar.stream import pipeline
from airflow_provider_custobar.stream.pipeline import Turns
from airflow_provider_custobar.upload.rejects import Rejects
from airflow_provider_custobar.upload.rows import Rejected
from tests.export.support import BUCKET, MARKED, MIB, PART, PLAIN, S3Store, s3_answer
from tests.export.test_checkpoints import Memory
from tests.export.test_engine import position
from tools.servers import S3Server
from tools.waiting import wait_until


def answer_instead(store: S3Store, operation: str, answer: Callable[[], Any], *, url: str = "") -> list[Any]:
    """Answer the store's requests of one kind with what ``answer`` gives, or leave them to the server; return them.

    Only those whose address has ``url`` in it.
    """
    seen: list[Any] = []

    def respond(request: Any, **_: Any) -> Any:
        if url not in request.url:
            return None
        seen.append(request)
        return answer()

    store.client.meta.events.register(f"before-send.s3.{operation}", respond)
    return seen


def in_turn(*answers: Any) -> Callable[[], Any]:
    """The answers one by one, then the server's own."""
    waiting = list(answers)
    return lambda: waiting.pop(0) if waiting else None


def test_a_missing_bucket_is_refused(s3: S3Store) -> None:
    """``check`` names a bucket that is not there, and the server that was asked."""
    target = BucketStore(s3.client, "no-such-bucket").target("a.csv")
    with pytest.raises(TargetError, match=r"'no-such-bucket' at http://127\.0\.0\.1:\d+: create it first"):
        target.check()


@pytest.mark.parametrize("replace", [True, False])
def test_no_right_to_look_is_no_reason_to_refuse(s3: S3Store, replace: bool) -> None:
    """An account that may write but not look passes ``check``: 403 tells nothing about the object."""
    for operation in ("HeadBucket", "HeadObject"):
        answer_instead(s3, operation, lambda: s3_answer(403, "Forbidden"))
    s3.target("a.csv", replace=replace).check()


def test_a_failing_server_is_not_taken_for_a_free_name(s3: S3Store) -> None:
    """``check`` passes on what it does not understand, as it came: 500 is neither yes nor no."""
    answer_instead(s3, "HeadObject", lambda: s3_answer(500, "InternalError"))
    with pytest.raises(ClientError, match="InternalError"):
        s3.target("a.csv", replace=False).check()


@pytest.mark.parametrize("failing_part", [1, 2, 3])
def test_a_refused_part_surfaces_and_leaves_nothing(s3: S3Store, failing_part: int) -> None:
    """The error of a part is raised as it is, at the latest by ``publish``, and ``abort`` removes the other parts."""
    answers = [None] * (failing_part - 1) + [s3_answer(403, "AccessDenied")]
    answer_instead(s3, "UploadPart", in_turn(*answers))
    sink = s3.target("a.csv").open(PLAIN)
    with pytest.raises(ClientError, match="AccessDenied"):  # noqa: PT012 - any of these may be the first to know
        for _ in range(3):
            sink.write(b"x" * PART)
        sink.publish()
    assert s3.names() == []
    sink.abort()
    sink.abort()
    assert (s3.names(), s3.debris()) == ([], [])


def test_a_lost_part_cannot_be_published_away(s3: S3Store) -> None:
    """After a part was refused, no ``publish`` makes an object with a hole in its place."""
    answer_instead(s3, "UploadPart", in_turn(None, s3_answer(403, "AccessDenied")))
    sink = s3.target("a.csv").open(PLAIN)
    sink.write(b"1" * PART)
    with pytest.raises(ClientError):  # noqa: PT012 - as soon as the answer is there
        sink.write(b"2" * PART)
        sink.publish()
    with pytest.raises(Exception):  # noqa: B017, PT011 - any refusal will do
        sink.publish()
    assert s3.read("a.csv") is None
    sink.abort()


def test_an_upload_that_cannot_begin_surfaces(s3: S3Store) -> None:
    """The refusal of a multipart upload is raised as it is; there is nothing to clean up."""
    answer_instead(s3, "CreateMultipartUpload", lambda: s3_answer(403, "AccessDenied"))
    sink = s3.target("a.csv").open(PLAIN)
    with pytest.raises(ClientError, match="AccessDenied"):
        sink.write(b"x" * PART)
    sink.abort()
    assert (s3.names(), s3.debris()) == ([], [])


@pytest.mark.parametrize(("operation", "size"), [("PutObject", 5), ("CompleteMultipartUpload", PART + 5)])
def test_a_refused_ending_surfaces_and_leaves_nothing(s3: S3Store, operation: str, size: int) -> None:
    """A refused ``publish`` raises the store's own error and makes no object."""
    answer_instead(s3, operation, lambda: s3_answer(403, "AccessDenied"))
    sink = s3.target("a.csv").open(PLAIN)
    sink.write(b"x" * size)
    with pytest.raises(ClientError, match="AccessDenied"):
        sink.publish()
    sink.abort()
    assert (s3.names(), s3.debris()) == ([], [])


def test_an_ending_that_fails_with_success_status_surfaces(s3: S3Store) -> None:
    """CompleteMultipartUpload may answer 200 and name an error in its body: that is an error."""
    answer_instead(s3, "CompleteMultipartUpload", lambda: s3_answer(200, "InternalError"))
    sink = s3.target("a.csv").open(PLAIN)
    sink.write(b"x" * PART)
    with pytest.raises(ClientError, match="InternalError"):
        sink.publish()
    sink.abort()
    assert (s3.names(), s3.debris()) == ([], [])


def test_an_upload_that_somebody_else_removed_is_no_error_for_abort(s3: S3Store) -> None:
    """``abort`` finds its upload gone, by a life cycle rule say, and is content."""
    sink = s3.target("a.csv").open(PLAIN)
    sink.write(b"x" * PART)
    for upload in s3.client.list_multipart_uploads(Bucket="exports")["Uploads"]:
        if upload["Key"].startswith(s3.prefix):
            s3.client.abort_multipart_upload(Bucket="exports", Key=upload["Key"], UploadId=upload["UploadId"])
    sink.abort()
    assert s3.debris() == []


def test_an_abort_that_failed_can_be_tried_again(s3: S3Store) -> None:
    """``abort`` may be called more than once, so a second call must not think the first one's failure a success."""
    answer_instead(s3, "AbortMultipartUpload", in_turn(s3_answer(503, "SlowDown")))
    sink = s3.target("a.csv").open(PLAIN)
    sink.write(b"x" * PART)
    with pytest.raises(ClientError, match="SlowDown"):
        sink.abort()
    sink.abort()
    assert s3.debris() == []


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart"])
def test_abort_while_another_thread_is_busy(s3: S3Store, operation: str) -> None:
    """``abort`` does not wait for a request on its way; called again after it, it removes what that has brought."""
    waits, goes_on = threading.Event(), threading.Event()

    def slow() -> None:
        waits.set()
        goes_on.wait(10)

    sink = s3.target("a.csv").open(MARKED)

    def work() -> None:
        with suppress(Exception):
            sink.write(b"x" * PART)
            sink.durable()

    answer_instead(s3, operation, slow)
    writer = threading.Thread(target=work)
    writer.start()
    assert waits.wait(10)
    sink.abort()
    goes_on.set()
    writer.join()
    sink.abort()
    assert (s3.names(), s3.debris()) == ([], [])


def test_a_small_object_is_one_request(s3: S3Store) -> None:
    """An object below one part takes one PUT: it cannot leave an unfinished upload behind."""
    begun = answer_instead(s3, "CreateMultipartUpload", lambda: None)
    put = answer_instead(s3, "PutObject", lambda: None)
    sink = s3.target("a.csv").open(PLAIN)
    sink.write(b"x" * (PART - 1))
    assert (begun, put) == ([], [])
    sink.publish()
    assert (len(begun), len(put)) == (0, 1)


def test_parts_go_up_while_writing(s3: S3Store) -> None:
    """Whole parts leave memory as they fill; they do not wait for ``publish``."""
    sent = answer_instead(s3, "UploadPart", lambda: None)
    sink = s3.target("a.csv").open(PLAIN)
    for _ in range(39):
        sink.write(b"x" * (PART // 8))
    assert len(sent) >= 3
    sink.publish()
    assert len(sent) == 5


def test_an_object_that_ends_with_a_part_has_no_empty_one_behind_it(s3: S3Store) -> None:
    """What is on its way when the end comes is the last part."""
    sink = s3.target("a.csv").open(MARKED)
    sink.write(b"x" * PART)
    sink.publish()
    assert s3.client.head_object(Bucket=BUCKET, Key=s3.prefix + "a.csv")["ETag"].endswith('-1"')


@pytest.mark.parametrize("size", [5, PART + 5])
def test_an_answer_lost_on_its_way_is_not_another_object(s3_server: S3Server, size: int) -> None:
    """``replace=False``: where the store did its part and only the answer was lost, botocore's second try meets the very
    object that this export made. That is success, not an object of somebody else's.
    """
    store = S3Store(s3_server.client(retries={"total_max_attempts": 3, "mode": "standard"}))
    lost: list[str] = []

    def lose_the_answer(request: Any, **_: Any) -> None:
        if not lost:
            lost.append(request.url)
            URLLib3Session().send(request)
            raise ConnectionClosedError(endpoint_url=request.url)

    for operation in ("PutObject", "CompleteMultipartUpload"):
        store.client.meta.events.register(f"before-send.s3.{operation}", lose_the_answer)
    sink = store.target("a.csv", replace=False).open(PLAIN)
    sink.write(b"x" * size)
    sink.publish()
    assert lost
    assert store.read("a.csv") == b"x" * size


# What an attempt leaves to the next one.


def test_parts_grow_with_the_object() -> None:
    """10,000 parts, all that S3 takes, hold whatever there is: after each thousand they are twice as large."""
    sizes: list[int] = []

    def upload_part(*, Body: bytes, **_: Any) -> dict[str, str]:  # noqa: N803 - boto3's name
        sizes.append(len(Body))
        return {"ETag": "x"}

    client: Any = SimpleNamespace(upload_part=upload_part, create_multipart_upload=lambda **_: {"UploadId": "1"})
    sink = BucketStore(client, "bucket").target("a.csv").open(PLAIN)
    data = b"x" * PART
    for _ in range(1004):
        sink.write(data)
    sink.finish()
    assert sorted(sizes) == [PART] * 1000 + [2 * PART] * 2


def test_a_part_ends_where_a_write_ends(s3: S3Store) -> None:
    """A large page is sent whole, in parts of equal size, so that nothing of it waits in memory."""
    sent = answer_instead(s3, "UploadPart", lambda: None)
    put = answer_instead(s3, "PutObject", lambda: None)
    sink = s3.target("a.csv").open(MARKED)
    sink.write(b"x" * (2 * PART + 7))
    size, _ = sink.durable() or (0, {})
    assert (len(sent), put, size) == (2, [], 2 * PART + 7)
    sink.abort()


def test_a_page_alone_is_one_request(s3: S3Store) -> None:
    """An export that could be continued but has one small page costs no more than any other."""
    seen: list[str] = []
    s3.client.meta.events.register("before-send.s3", lambda request, **_: seen.append(request.method))
    sink = s3.target("a.csv").open(MARKED)
    sink.write(b"x" * 1000)
    sink.finish()
    sink.publish()
    assert seen == ["PUT"]


def test_a_continued_object_is_the_same_to_the_last_byte_of_its_etag(s3: S3Store) -> None:
    """Parts end where they would have ended: even what S3 computes over the parts is what it would have been."""
    pieces = [bytes([number]) * (PART // 4) for number in range(11)]
    undisturbed = s3.target("a.csv").open(MARKED)
    for piece in pieces:
        undisturbed.write(piece)
    undisturbed.publish()
    target = s3.target("b.csv")
    sink = target.open(MARKED)
    for begin in (0, 4):
        for piece in pieces[begin : begin + 6]:
            sink.write(piece)
        sink = target.reopen(MARKED, state_of(sink, (begin + 4) * (PART // 4)))
    for piece in pieces[8:]:
        sink.write(piece)
    sink.publish()
    heads = [s3.client.head_object(Bucket=BUCKET, Key=s3.prefix + name) for name in ("a.csv", "b.csv")]
    assert heads[0]["ETag"] == heads[1]["ETag"]
    assert heads[0]["ETag"].endswith('-3"')


def state_of(sink: S3Sink, size: int | None = None) -> State:
    sink._settle()
    found = sink.durable()
    assert found is not None
    assert size is None or found[0] == size
    return found[1]


def test_nothing_is_sent_twice_and_nothing_lies_beside(s3: S3Store) -> None:
    """However small the pages, the store gets the object's bytes and no others, in one request for 8 MiB and two more."""
    seen: list[tuple[str, int]] = []

    def note(request: Any, **_: Any) -> None:
        body = request.body or b""
        seen.append((request.method, len(body if isinstance(body, bytes) else body.getbuffer())))

    s3.client.meta.events.register("before-send.s3", note)
    sink = s3.target("a.csv").open(MARKED)
    for _ in range(5 * 64 + 1):
        sink.write(b"x" * (PART // 64))
        sink.durable()
    sink.end({})
    sink.finish()
    sent = list(seen)
    assert (s3.names(), [method for method, _ in sent]) == ([], ["POST"] + ["PUT"] * 6)
    sink.publish()
    assert sum(size for method, size in sent if method == "PUT") == 5 * PART + PART // 64


def test_where_the_pace_is_slow_a_part_is_closed_early(s3: S3Store) -> None:
    """A minute after the last part, 5 MiB are enough for one: no more than a minute's work waits in memory."""
    clock = [0.0]
    sink = s3.target("a.csv").open(MARKED)
    sink._buffer = PartBuffer(clock=lambda: clock[0])
    sent = answer_instead(s3, "UploadPart", lambda: None)
    for seconds, size, parts in ((59, 5 * MIB, 0), (61, 1, 1), (120, 5 * MIB, 1), (121, 1, 2), (200, 4 * MIB, 2)):
        clock[0] = float(seconds)
        sink.write(b"x" * size)
        sink._settle()
        assert len(sent) == parts
    sink.publish()
    assert len(s3.read("a.csv") or b"") == 14 * MIB + 2
    assert s3.debris() == []


def test_an_upload_of_which_only_the_beginning_is_recorded_is_ended(s3: S3Store) -> None:
    """Killed before its first part was there: the next attempt begins another upload, and ends the first."""
    target = s3.target("a.csv")
    dead = target.open(MARKED)
    dead._begin()
    state = state_of(dead, 0)
    assert len(s3.uploads()) == 1
    sink = target.reopen(MARKED, state)
    assert s3.uploads() == []
    sink.write(b"x" + b"y" * PART)
    sink.publish()
    assert (s3.read("a.csv"), s3.debris()) == (b"x" + b"y" * PART, [])


def test_the_uploads_of_others_are_left_alone(s3: S3Store) -> None:
    """An attempt that starts over, or goes on, ends what its own state names, and no other upload to the same key."""
    theirs = s3.target("a.csv").open(changed(MARKED, object_id="ffff"))
    theirs.write(b"theirs" * PART)
    target = s3.target("a.csv")
    ours = target.open(MARKED)
    ours.write(b"x" * PART)
    state = state_of(ours)
    target.sweep(MARKED)
    target.sweep(MARKED, state)
    assert len(s3.uploads()) == 1
    theirs.publish()
    assert s3.read("a.csv") == b"theirs" * PART


@pytest.mark.parametrize("gone", ["upload", "part", "replaced"])
def test_what_is_missing_is_told(s3: S3Store, gone: str) -> None:
    """Whichever of its pieces is gone or another, an object is not continued with a hole, and nothing of it is left."""
    target = s3.target("a.csv")
    sink = target.open(MARKED)
    sink.write(b"x" * PART)
    state = state_of(sink)
    if gone == "upload":
        s3.client.abort_multipart_upload(Bucket=BUCKET, Key=s3.prefix + "a.csv", UploadId=state["upload"])
    else:
        # The server lists the first one where another attempt has sent the same part again: the state tells of another, then.
        state |= {"parts": 2 if gone == "part" else 1, "digest": "of others"}
    with pytest.raises(LostError, match="a.csv"):
        target.reopen(MARKED, state)
    assert s3.debris() == []


def test_a_key_of_the_customers_own_is_given_with_every_request(s3: S3Store) -> None:
    """S3 wants such a key again for parts and listings of them, and boto3 encodes it for most requests only."""
    asked = answer_instead(s3, "ListParts", lambda: s3_answer(403, "AccessDenied"))
    target = s3.target("a.csv", SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32)
    with pytest.raises(LostError):
        target.reopen(MARKED, {"Bucket": BUCKET, "Key": "a.csv", "upload": "1", "parts": 1, "bytes": PART, "digest": "x"})
    assert asked[0].headers["x-amz-server-side-encryption-customer-key"] == b"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
    assert "x-amz-server-side-encryption-customer-key-MD5" in asked[0].headers


def test_the_users_metadata_win(s3: S3Store) -> None:
    """``extra_args`` may say otherwise than the export would."""
    sink = s3.target("a.csv", Metadata={"custobar-resource": "mine"}).open(PLAIN)
    sink.publish()
    assert s3.metadata("a.csv") == {"custobar-resource": "mine"}


@pytest.mark.parametrize(("status", "level"), [(403, logging.DEBUG), (501, logging.DEBUG), (500, logging.WARNING)])
def test_sweeping_never_fails(s3: S3Store, caplog: pytest.LogCaptureFixture, status: int, level: int) -> None:
    """What cannot be ended is logged: as a warning if it is more than a missing right."""
    target = s3.target("a.csv")
    sink = target.open(MARKED)
    sink.write(b"x" * PART)
    state = state_of(sink)
    answer_instead(s3, "AbortMultipartUpload", in_turn(s3_answer(status, "Made up")))
    caplog.set_level(logging.DEBUG, "airflow_provider_custobar")
    target.sweep(MARKED, state)
    (record,) = [record for record in caplog.records if record.name.startswith("airflow_provider_custobar")]
    assert record.levelno == level
    target.sweep(MARKED, state)
    assert s3.debris() == []


def test_without_a_mark_nothing_is_durable(s3: S3Store) -> None:
    """No later attempt comes back to it, so there is no state."""
    sink = s3.target("a.csv").open(changed(PLAIN, can_continue=True))
    sink.write(b"x" * PART)
    assert (sink.durable(), sink.finish()) == (None, None)
    sink.publish()
    assert s3.read("a.csv") == b"x" * PART


def test_parts_go_up_side_by_side(s3: S3Store) -> None:
    """The parts of one large write are on their way together, and no more than a few of them."""
    lock, running, most = threading.Lock(), [0], [0]

    def slowly() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.2)
        with lock:
            running[0] -= 1

    answer_instead(s3, "UploadPart", slowly)
    sink = s3.target("a.csv").open(PLAIN)
    content = random.Random(5).randbytes(6 * PART)
    sink.write(content)
    sink.publish()
    assert 2 <= most[0] <= 3
    assert s3.read("a.csv") == content


def test_an_upload_is_recorded_before_anything_is_in_it(s3: S3Store) -> None:
    """However large the first page: whenever the process dies with a part sent, the state names the upload."""
    state = Memory()
    named: list[bool] = []
    answer_instead(s3, "UploadPart", lambda: named.append("export" in state.values))
    page = JsonPage(b'{"id":1,"x":"%s"}\n' % (b"x" * 3 * PART), 1, 1, 1)

    def pages(after: Position | None, turns: Turns) -> Iterator[JsonPage]:
        turns.take()
        yield page

    run = ExportRun(
        Export(
            pages=pages,
            make_encoder=JsonLines,
            files=FileSet(s3.prefix + "a.jsonl", BucketStore(s3.client, BUCKET)),
            content_type="application/x-ndjson",
            object_id="0123456789ab",
            checkpoints=Checkpoints(state, "export", "f"),
        )
    )
    run.prepare()
    run.run()
    assert named
    assert all(named)


def test_an_upload_that_begins_while_its_attempt_ends_is_not_left_over(s3: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: what a slow store begins for an attempt that failed meanwhile is recorded for the next one, or ended."""
    begun = threading.Event()
    monkeypatch.setattr(pipeline, "_PATIENCE_SECONDS", 0.05)

    def slow() -> None:
        if state.values:
            begun.set()
            time.sleep(1)

    def pages(after: Position | None, turns: Turns) -> Iterator[JsonPage]:
        for number in range(2):
            turns.take()
            page = JsonPage(b'{"id":%d,"x":"%s"}\n' % (number, b"x" * PART), 1, 1, 1)
            yield changed(page, after=position(number + 1))
        assert begun.wait(10)
        raise TransportError("no answer")

    answer_instead(s3, "CreateMultipartUpload", slow)
    state = Memory()
    run = ExportRun(
        Export(
            pages=pages,
            make_encoder=JsonLines,
            files=FileSet(s3.prefix + "{part}.jsonl", BucketStore(s3.client, BUCKET)),
            content_type="application/x-ndjson",
            limits=Limits(max_rows=1),
            object_id="0123456789ab",
            checkpoints=Checkpoints(state, "export", "f"),
            will_follow=True,
        )
    )
    run.prepare()
    with pytest.raises(TransportError):
        run.run()
    wait_until("nothing is at it any more", lambda: "custobar-writer" not in {thread.name for thread in threading.enumerate()})
    assert len(s3.uploads()) == 2
    run.give_up()
    assert s3.uploads() == []


def test_what_an_attempt_before_wrote_is_not_taken_for_a_lost_upload(s3: S3Store) -> None:
    """Rule: rejects whose upload was ended by others are an error, though those of the attempt before have the same name."""
    target = s3.target("rejects.jsonl")
    with Rejects(target, object_id="0123456789ab") as rejects:
        rejects.add(Rejected(0, ["bad"], {}))
        rejects.publish()
    with Rejects(target, object_id="0123456789ab", may_have_debris=True) as rejects:
        rejects.add(Rejected(0, ["bad"], {"external_id": "x" * PART}))
        (upload,) = s3.uploads()
        where = {"Bucket": BUCKET, "Key": upload["Key"], "UploadId": upload["UploadId"]}
        wait_until("its part is there", lambda: "Parts" in s3.client.list_parts(**where))
        s3.vanish()
        with pytest.raises(ClientError):
            rejects.publish()


def test_an_object_is_known_after_the_answer_to_its_completion_was_lost(s3: S3Store) -> None:
    """A second try that meets no upload any more, but the object, has published."""
    done: list[str] = []

    def complete_and_lose(request: Any, **_: Any) -> Any:
        if done:
            return None
        done.append(request.url)
        URLLib3Session().send(request)
        return s3_answer(404, "NoSuchUpload")

    s3.client.meta.events.register("before-send.s3.CompleteMultipartUpload", complete_and_lose)
    sink = s3.target("a.csv").open(MARKED)
    sink.write(b"x" * PART)
    sink.publish()
    assert s3.read("a.csv") == b"x" * PART
