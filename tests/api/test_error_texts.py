"""What failures say, and what they must not say."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_custobar.api import errors, flow, paging
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.api.responses import Response


def failure(runner: Any, script: Any, **query: Any) -> errors.CustobarError:
    with pytest.raises(errors.CustobarError) as caught:
        runner.run(paging.pages(runner.context, build_query("customers", **query)), script)
    return caught.value


def all_texts(runner: Any, error: BaseException) -> str:
    """Whatever a task log may come to show."""
    return "\n".join([*traceback.format_exception(error), repr(vars(error)), *(wait.reason for wait in runner.waits)])


@pytest.mark.parametrize(
    ("status", "kind", "advice"),
    [
        (400, errors.BadRequestError, ["arguments"]),
        (401, errors.AuthenticationError, ["token", "scope", "trailing slash", "8 hours"]),
        (403, errors.AccessDeniedError, ["scope", "trailing slash", "8 hours"]),
        (404, errors.NotFoundError, ["host", "resource"]),
        (413, errors.PayloadTooLargeError, ["batch_size"]),
        (429, errors.RateLimitedError, ["requests_per_minute", "pool"]),
        (500, errors.ServerError, ["server"]),
    ],
)
def test_errors_say_what_the_server_said_and_what_to_do(
    make_runner: Callable[..., Any], answers: Any, status: int, kind: type[errors.ResponseError], advice: list[str]
) -> None:
    """Rule: a message names the status, the resource, the server's own reason and the way out."""
    error = failure(make_runner(max_attempts=1), [answers.error(status, "Unknown filter 'contry'.")])
    assert type(error) is kind
    assert isinstance(error, errors.ResponseError)
    assert (error.status, error.reason) == (status, "Unknown filter 'contry'.")
    for part in (str(status), "customers", "Unknown filter 'contry'.", *advice):
        assert part in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("status", "login", "helps", "does_not"),
    [
        (401, "teppo", "login and password", "scope"),
        (401, None, "token", "login"),
        (304, None, "redirect", "arguments"),
        (407, None, "HTTPS_PROXY", "arguments"),
    ],
)
def test_the_advice_fits_the_case(
    make_runner: Callable[..., Any], answers: Any, *, status: int, login: str | None, helps: str, does_not: str
) -> None:
    """Rule: no advice is given that could not help: a login has no scope, and a proxy does not care for arguments."""
    error = failure(make_runner(max_attempts=1, login=login), [answers.raw(b"", status)])
    assert helps in str(error)
    assert does_not not in str(error)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"reason": "Bad \\u00e4"}}', "Bad ä"),
        (b'{"error": "Plain words"}', "Plain words"),
        (b'{"error": {"message": "Words"}}', "Words"),
        (b"Upstream\r\n  timed out", "Upstream timed out"),
        (b"<html><h1>502 Bad Gateway</h1></html>", ""),
        (b"  <!doctype html>", ""),
        (b"", ""),
        (b"{}", ""),
        (b"[]", ""),
        (b"null", ""),
        (b'{"error": null}', ""),
    ],
)
def test_the_servers_reason_is_found_in_every_kind_of_body(
    make_runner: Callable[..., Any], answers: Any, body: bytes, said: str
) -> None:
    """Rule: error.reason, a bare error and short plain text are the reason; a proxy's HTML is not repeated."""
    error = failure(make_runner(max_attempts=1), [answers.raw(body, 400)])
    assert isinstance(error, errors.ResponseError)
    assert error.reason == said
    assert said in str(error)
    assert "<" not in str(error)


def test_a_long_reason_is_cut(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: a server's novel does not fill the task log."""
    for body in (b"x y " * 100_000, b'{"error":{"reason":"' + b"x y " * 100_000 + b'"}}'):
        assert len(str(failure(make_runner(max_attempts=1), [answers.raw(body, 400)]))) < 700


@pytest.mark.parametrize("padding", [0, 260, 280, 298, 1180])
@pytest.mark.parametrize("login", [None, "teppo"])
def test_an_echoed_credential_is_never_shown(
    make_runner: Callable[..., Any], answers: Any, token: str, padding: int, login: str | None
) -> None:
    """Rule: a server that repeats the Authorization header does not get it into a log, not even a piece of it."""
    runner = make_runner(max_attempts=2, login=login)
    sent = runner.config.authorization
    secret = sent.partition(" ")[2]
    replies = [answers.error(500, "x" * padding + sent), answers.raw(b"x" * padding + sent.encode(), 500)]
    texts = [all_texts(runner, failure(runner, [reply, reply])) for reply in replies]
    for text in texts:
        for piece in (secret[:8], secret[-8:], token):
            assert piece not in text


RECORD = b'{"external_id":"1","email":"teppo@example.com","first_name":"Teppo"}'


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"customers":[' + RECORD),
        (200, b'{"customers":[' + RECORD + b'],"next_url":7}'),
        (200, b'{"customers":[' + RECORD + b",17]}"),
        (200, b'{"records":[' + RECORD + b"]}"),
        (200, RECORD),
        (200, b"[" + RECORD + b"]"),
        (200, RECORD[:-10] + b"\xff"),
        (200, b"external_id,email\r\n1,teppo@example.com\r\n"),
        (500, b'{"customers":[' + RECORD + b"]}"),
        (500, b'{"customers":[' + RECORD),
        (500, b'{"customers":[' + RECORD + b"," + RECORD[:20]),
        (502, b"[" + RECORD),
        (400, RECORD + b"\n" + RECORD),
    ],
)
def test_json_failures_show_no_record(make_runner: Callable[..., Any], answers: Any, status: int, body: bytes) -> None:
    """Rule: no error and no log line holds record data, whatever the server put into its body."""
    runner = make_runner(max_attempts=2)
    text = all_texts(runner, failure(runner, lambda request: answers.raw(body, status)))
    assert "eppo" not in text


@pytest.mark.parametrize(
    "texts",
    [
        ['external_id,email\r\n1,"teppo@example.com'],
        ["external_id,email\r\n1,teppo@example.com,x"],
        ["external_id,email\r\n1,teppo@example.com\r\n", "2,teppo@example.com\r\n3,x@example.com\r\n"],
        ["external_id,email\r\n1,teppo@example.com\r\n2\r\n"],
    ],
    ids=["cut", "wide", "no header on page 2", "narrow"],
)
def test_csv_failures_show_no_record(make_runner: Callable[..., Any], answers: Any, texts: list[str]) -> None:
    """Rule: the same for CSV, also where a page without a header makes a record look like one."""
    runner = make_runner(max_attempts=2)

    def answer(request: flow.Request) -> flow.Outcome:
        number = min(int(request.url.partition("c=")[2] or "0"), len(texts) - 1)
        return answers.csv(texts[number], f"/api/data/customers/?c={number + 1}" if number + 1 < len(texts) else None)

    text = all_texts(runner, failure(runner, answer, api_format="csv"))
    assert "eppo" not in text


def test_the_token_is_in_no_step(make_runner: Callable[..., Any], answers: Any, token: str) -> None:
    """Rule: a flow never handles the token; only the client that sends a request adds it."""
    runner = make_runner(max_attempts=2)
    runner.run(paging.pages(runner.context, build_query("customers")), [answers.error(500), answers.page("customers", [{}])])
    assert token not in repr(runner.sent)
    assert token not in repr(runner.waits)
    assert token not in repr(runner.context)


PEOPLE = ("C-1", "anna@example.com", "Anna", "+358401234567")


def test_first_lines_that_are_people_are_not_shown(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: columns or keys that are a person's are not shown, nor is what merely looks like a name beside them."""
    first, second = ",".join(("external_id", *PEOPLE)), "external_id,email,first_name,phone_number"
    script = [answers.csv(f"{first}\r\n", "https://acme.custobar.com/api/data/customers/?c=1"), answers.csv(f"{second}\r\n")]
    changed = failure(make_runner(), script, api_format="csv")
    assert "gone: 4 whose names are not shown; new: 3" in str(changed)
    envelope = json.dumps(dict.fromkeys(("status", *PEOPLE[::3])))
    keyed = failure(make_runner(max_attempts=1), [Response(200, {"content-type": "application/json"}, envelope.encode())])
    assert "its keys: status, 2 whose names are not shown" in str(keyed)
    assert not [part for part in PEOPLE if part in str(changed) + str(keyed)]
