"""Uploads: what is sent, what counts as success, what may be sent twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_custobar.api import errors, flow
from airflow_provider_custobar.api.resources import RESOURCES

REPEATABLE = ["customers", "sales", "products", "shops"]
LOST = errors.TransportError("No complete answer.", may_have_arrived=True)
REFUSED = errors.TransportError("Nobody listens.", may_have_arrived=False)


def upload(
    runner: Any, resource: str, script: Any, rows: tuple[bytes, ...] = (b'{"a":1}', b'{"b":"\xc3\xa4"}'), **options: Any
) -> Any:
    return runner.run(flow.upload(runner.context, RESOURCES[resource], rows, **options), script)


@pytest.mark.parametrize("resource", [*REPEATABLE, "events"])
def test_a_batch_is_one_post_of_a_list_under_the_resources_name(
    make_runner: Callable[..., Any], answers: Any, resource: str
) -> None:
    """Rule: POST /api/<resource>/upload/, JSON, rows byte for byte in a list under the resource's name."""
    runner = make_runner()
    assert upload(runner, resource, [answers.raw(b'{"run_id":"r1","response":"ok"}')]) == "r1"
    (request,) = runner.sent
    assert (request.method, request.url) == ("POST", f"https://acme.custobar.com/api/{resource}/upload/")
    assert request.headers["Content-Type"] == "application/json"
    assert request.body is not None
    assert json.loads(request.body) == {resource: [{"a": 1}, {"b": "ä"}]}
    assert b'{"a":1}' in request.body


@pytest.mark.parametrize(
    ("body", "status", "run_id"),
    [
        (b'{"run_id":"abc"}', 200, "abc"),
        (b'{"run_id":"abc"}', 201, "abc"),
        (b'{"run_id":"abc"}', 202, "abc"),
        (b'{"run_id":17}', 200, "17"),
        (b'{"response":"ok"}', 200, None),
        (b'{"run_id":null,"error":null}', 200, None),
        (b"", 204, None),
        (b"", 200, None),
        (b"OK", 200, None),
        (b'["ok"]', 200, None),
        (b'"ok"', 200, None),
    ],
)
def test_any_2xx_without_an_error_is_a_success(
    make_runner: Callable[..., Any], answers: Any, body: bytes, status: int, run_id: str | None
) -> None:
    """Rule: every 2xx whose body names no error is a success; run_id is handed on where there is one."""
    runner = make_runner()
    assert upload(runner, "customers", [answers.raw(body, status)]) == run_id
    assert len(runner.sent) == 1


@pytest.mark.parametrize("resource", ["customers", "events"])
def test_an_error_in_a_success_is_a_refusal(make_runner: Callable[..., Any], answers: Any, resource: str) -> None:
    """Rule: a 200 with an error in its body took nothing, is said so, and is not repeated."""
    runner = make_runner()
    bodies = (b'{"error":{"reason":"No such field."}}', b'{"response":"error","error":"No such field."}')
    for body in (*bodies, b"\xef\xbb\xbf" + bodies[0]):
        with pytest.raises(errors.UploadRefusedError, match=f"2 {resource}.*No such field."):
            upload(runner, resource, [answers.raw(body)])
    assert len(runner.sent) == 3


@pytest.mark.parametrize("resource", REPEATABLE)
@pytest.mark.parametrize("failure", ["lost", "refused", "429", "500", "html"])
def test_batches_with_identifiers_are_sent_again(
    make_runner: Callable[..., Any], answers: Any, resource: str, failure: str
) -> None:
    """Rule: rows with identifiers may be sent twice, so every passing failure is tried again with the same bytes."""
    runner = make_runner(max_attempts=2)
    first = {
        "lost": LOST,
        "refused": REFUSED,
        "429": answers.error(429),
        "500": answers.error(500),
        "html": answers.raw(b"<html>"),
    }
    rows = (b'{"external_id":"1-1"}', b'{"external_id":"1-2"}')
    assert upload(runner, resource, [first[failure], answers.raw(b'{"run_id":"r"}')], rows) == "r"
    assert runner.sent[0] == runner.sent[1]


@pytest.mark.parametrize(("resource", "repeatable", "tries"), [("events", True, 2), ("customers", False, 1)])
def test_the_caller_has_the_last_word_on_sending_again(
    make_runner: Callable[..., Any], resource: str, repeatable: bool, tries: int
) -> None:
    """Rule: ``repeatable`` decides in place of what the rows would allow."""
    runner = make_runner(max_attempts=2)
    with pytest.raises(errors.TransportError):
        upload(runner, resource, [LOST, LOST], (b'{"external_id":"1"}',), repeatable=repeatable)
    assert len(runner.sent) == tries


def test_sales_need_a_row_id_to_be_sent_again(make_runner: Callable[..., Any]) -> None:
    """Rule: one row of a sale without an identifier of its own, and the batch is as little repeatable as events."""
    runner = make_runner(max_attempts=2)
    rows = (b'{"external_id":"1-1"}', b'{"sale_external_id":"1"}')
    with pytest.raises(errors.TransportError):
        upload(runner, "sales", [LOST], rows)
    assert len(runner.sent) == 1


@pytest.mark.parametrize("failure", ["lost", "500", "502", "503", "504", "html"])
def test_events_are_not_sent_again_where_they_may_have_arrived(
    make_runner: Callable[..., Any], answers: Any, failure: str
) -> None:
    """Rule: an event sent twice is two events, so a lost or failed answer is final."""
    runner = make_runner()
    replies = {"lost": LOST, "html": answers.raw(b"<html>Gateway</html>")}
    reply = replies[failure] if failure in replies else answers.error(int(failure), retry_after="1")
    with pytest.raises(errors.CustobarError):
        upload(runner, "events", [reply])
    assert len(runner.sent) == 1
    assert runner.explained == []


def test_events_are_sent_again_where_they_cannot_have_arrived(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: 429 and a connection that never came about leave nothing behind, so events are sent again."""
    runner = make_runner(max_attempts=4)
    script = [REFUSED, answers.error(429, retry_after="3"), REFUSED, answers.raw(b'{"run_id":"r"}')]
    assert upload(runner, "events", script) == "r"
    assert len(runner.sent) == 4
    assert runner.explained[1].seconds == 3


def test_a_lost_answer_after_a_429_is_final_for_events(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: each failure is judged by itself."""
    runner = make_runner()
    with pytest.raises(errors.TransportError):
        upload(runner, "events", [answers.error(429), LOST])
    assert len(runner.sent) == 2


def test_a_redirected_event_that_is_lost_is_not_repeated(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: following a redirect makes an upload of events no more repeatable."""
    runner = make_runner()
    with pytest.raises(errors.TransportError):
        upload(runner, "events", [answers.redirect("/v2/", 307), LOST])
    assert len(runner.sent) == 2


@pytest.mark.parametrize("resource", ["customers", "events"])
@pytest.mark.parametrize(
    ("status", "kind"), [(400, errors.BadRequestError), (403, errors.AccessDeniedError), (413, errors.PayloadTooLargeError)]
)
def test_refused_uploads_are_final(
    make_runner: Callable[..., Any], answers: Any, resource: str, status: int, kind: type[Exception]
) -> None:
    """Rule: a 4xx names the batch and is not tried again."""
    runner = make_runner()
    with pytest.raises(kind, match=f"{status}.*2 {resource}"):
        upload(runner, resource, [answers.error(status)])
    assert len(runner.sent) == 1


def test_upload_errors_show_no_row(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: no message repeats what was sent."""
    runner = make_runner(max_attempts=1)
    rows = (b'{"email":"teppo@example.com"}',)
    for reply in (answers.error(500), answers.error(400), LOST, answers.raw(b'{"error":"No."}'), answers.raw(b"<html>")):
        with pytest.raises(errors.CustobarError) as caught:
            upload(runner, "customers", [reply], rows)
        assert "teppo" not in str(caught.value)


def test_probe_asks_once_for_the_test_path(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: testing a connection is one GET of its test_path that must be answered with JSON."""
    runner = make_runner(test_path="/api/data/events/?limit=1&type=BROWSE", max_attempts=3)
    runner.run(flow.probe(runner.context), [answers.raw(b'{"events":[]}')])
    assert runner.urls == ["https://acme.custobar.com/api/data/events/?limit=1&type=BROWSE"]
    with pytest.raises(errors.ProtocolError, match="JSON"):
        runner.run(flow.probe(runner.context), [answers.raw(b"<html>Log in</html>")])
    with pytest.raises(errors.AccessDeniedError, match="/api/data/events/"):
        runner.run(flow.probe(runner.context), [answers.error(403)])
