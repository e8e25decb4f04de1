"""What S3 alone can do wrong: refused parts, refused endings, buckets that are not there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.httpsession import URLLib3Session

from airflow_provider_custobar.export.s3 import S3Target
from airflow_provider_custobar.export.targets import TargetError
from tests.export.support import PART, TEXT, S3Store, s3_answer
from tools.servers import S3Server


def answer_instead(store: S3Store, operation: str, answer: Callable[[], Any]) -> list[str]:
    """Answer the store's requests of one kind with what ``answer`` gives, or leave them to the server; return a log."""
    seen: list[str] = []

    def respond(request: Any, **_: Any) -> Any:
        seen.append(request.url)
        return answer()

    store.client.meta.events.register(f"before-send.s3.{operation}", respond)
    return seen


def in_turn(*answers: Any) -> Callable[[], Any]:
    """The answers one by one, then the server's own."""
    waiting = list(answers)
    return lambda: waiting.pop(0) if waiting else None


def test_a_missing_bucket_is_refused(s3: S3Store) -> None:
    """``check`` names a bucket that is not there, and the server that was asked."""
    target = S3Target(s3.client, "no-such-bucket", "a.csv")
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
    """The error of a part is raised as it is, at the latest by ``commit``, and ``abort`` removes the other parts."""
    answers = [None] * (failing_part - 1) + [s3_answer(403, "AccessDenied")]
    answer_instead(s3, "UploadPart", in_turn(*answers))
    sink = s3.target("a.csv").open(TEXT)
    with pytest.raises(ClientError, match="AccessDenied"):  # noqa: PT012 - any of these may be the first to know
        for _ in range(3):
            sink.write(b"x" * PART)
        sink.commit()
    assert s3.names() == []
    sink.abort()
    sink.abort()
    assert (s3.names(), s3.debris()) == ([], [])


def test_a_lost_part_cannot_be_committed_away(s3: S3Store) -> None:
    """After a part was refused, no ``commit`` makes an object with a hole in its place."""
    answer_instead(s3, "UploadPart", in_turn(None, s3_answer(403, "AccessDenied")))
    sink = s3.target("a.csv").open(TEXT)
    sink.write(b"1" * PART)
    sink.write(b"2" * PART)
    with pytest.raises(ClientError):
        sink.write(b"3" * PART)
    with pytest.raises(Exception):  # noqa: B017, PT011 - any refusal will do
        sink.commit()
    assert s3.read("a.csv") is None


def test_an_upload_that_cannot_begin_surfaces(s3: S3Store) -> None:
    """The refusal of a multipart upload is raised as it is; there is nothing to clean up."""
    answer_instead(s3, "CreateMultipartUpload", lambda: s3_answer(403, "AccessDenied"))
    sink = s3.target("a.csv").open(TEXT)
    with pytest.raises(ClientError, match="AccessDenied"):
        sink.write(b"x" * PART)
    sink.abort()
    assert (s3.names(), s3.debris()) == ([], [])


@pytest.mark.parametrize(("operation", "size"), [("PutObject", 5), ("CompleteMultipartUpload", PART + 5)])
def test_a_refused_ending_surfaces_and_leaves_nothing(s3: S3Store, operation: str, size: int) -> None:
    """A refused ``commit`` raises the store's own error and makes no object."""
    answer_instead(s3, operation, lambda: s3_answer(403, "AccessDenied"))
    sink = s3.target("a.csv").open(TEXT)
    sink.write(b"x" * size)
    with pytest.raises(ClientError, match="AccessDenied"):
        sink.commit()
    sink.abort()
    assert (s3.names(), s3.debris()) == ([], [])


def test_an_ending_that_fails_with_success_status_surfaces(s3: S3Store) -> None:
    """CompleteMultipartUpload may answer 200 and name an error in its body: that is an error."""
    answer_instead(s3, "CompleteMultipartUpload", lambda: s3_answer(200, "InternalError"))
    sink = s3.target("a.csv").open(TEXT)
    sink.write(b"x" * PART)
    with pytest.raises(ClientError, match="InternalError"):
        sink.commit()
    sink.abort()
    assert (s3.names(), s3.debris()) == ([], [])


def test_an_upload_that_somebody_else_removed_is_no_error_for_abort(s3: S3Store) -> None:
    """``abort`` finds its upload gone, by a life cycle rule say, and is content."""
    sink = s3.target("a.csv").open(TEXT)
    sink.write(b"x" * PART)
    for upload in s3.client.list_multipart_uploads(Bucket="exports")["Uploads"]:
        if upload["Key"].startswith(s3.prefix):
            s3.client.abort_multipart_upload(Bucket="exports", Key=upload["Key"], UploadId=upload["UploadId"])
    sink.abort()
    assert s3.debris() == []


def test_an_abort_that_failed_can_be_tried_again(s3: S3Store) -> None:
    """``abort`` may be called more than once, so a second call must not think the first one's failure a success."""
    answer_instead(s3, "AbortMultipartUpload", in_turn(s3_answer(503, "SlowDown")))
    sink = s3.target("a.csv").open(TEXT)
    sink.write(b"x" * PART)
    with pytest.raises(ClientError, match="SlowDown"):
        sink.abort()
    sink.abort()
    assert s3.debris() == []


def test_abort_waits_for_the_part_on_its_way(s3: S3Store) -> None:
    """A part that arrives after the upload was aborted may be kept, and paid for, for ever: ``abort`` comes last."""
    order: list[str] = []

    def slow_part() -> None:
        time.sleep(0.2)
        order.append("part")

    answer_instead(s3, "UploadPart", slow_part)
    answer_instead(s3, "AbortMultipartUpload", lambda: order.append("abort"))
    sink = s3.target("a.csv").open(TEXT)
    sink.write(b"x" * PART)
    sink.abort()
    assert order == ["part", "abort"]
    assert s3.debris() == []


def test_a_small_object_is_one_request(s3: S3Store) -> None:
    """An object below one part takes one PUT: it cannot leave an unfinished upload behind."""
    begun = answer_instead(s3, "CreateMultipartUpload", lambda: None)
    put = answer_instead(s3, "PutObject", lambda: None)
    sink = s3.target("a.csv").open(TEXT)
    sink.write(b"x" * (PART - 1))
    assert (begun, put) == ([], [])
    sink.commit()
    assert (len(begun), len(put)) == (0, 1)


def test_parts_go_up_while_writing(s3: S3Store) -> None:
    """Whole parts leave memory as they fill; they do not wait for ``commit``."""
    sent = answer_instead(s3, "UploadPart", lambda: None)
    sink = s3.target("a.csv").open(TEXT)
    for _ in range(40):
        sink.write(b"x" * (PART // 8))
    assert len(sent) >= 4
    sink.commit()
    assert len(sent) == 5


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
    sink = store.target("a.csv", replace=False).open(TEXT)
    sink.write(b"x" * size)
    sink.commit()
    assert lost
    assert store.read("a.csv") == b"x" * size
