"""Redirects: followed on the own origin, never with the token to another, never for ever."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_custobar.api import errors, flow, paging
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.api.resources import RESOURCES

HERE = "https://acme.custobar.com"


def customers(runner: Any) -> Any:
    return paging.pages(runner.context, build_query("customers"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "url"),
    [
        (f"{HERE}/v2/?a=%2B", f"{HERE}/v2/?a=%2B"),
        ("/v2/", f"{HERE}/v2/"),
        ("?a=1", f"{HERE}/api/data/customers/?a=1"),
        ("https://ACME.custobar.com:443/v2/", "https://ACME.custobar.com:443/v2/"),
    ],
)
def test_redirects_on_the_own_origin_are_followed(
    make_runner: Callable[..., Any], answers: Any, status: int, location: str, url: str
) -> None:
    """Rule: a redirect to the same scheme, host and port is followed, relative or absolute, and costs no attempt."""
    runner = make_runner(max_attempts=1)
    runner.run(customers(runner), [answers.redirect(location, status), answers.page("customers", [{}])])
    assert runner.urls[1] == url
    assert runner.sent[1].method == "GET"
    assert runner.pages[0].rows == 1


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/",
        "//evil.example/",
        "http://acme.custobar.com/api/data/customers/",
        "https://acme.custobar.com:8443/",
        "https://app.custobar.com/",
        "https://acme.custobar.com@evil.example/",
    ],
)
def test_redirects_to_anywhere_else_are_refused(make_runner: Callable[..., Any], answers: Any, location: str) -> None:
    """Rule: a redirect off the origin or down to http is an error and is not asked; trusted_hosts is for next_url only."""
    runner = make_runner(trusted_hosts=["app.custobar.com"])
    with pytest.raises(errors.ProtocolError, match="redirect"):
        runner.run(customers(runner), [answers.redirect(location)])
    assert len(runner.sent) == 1


def test_an_upgrade_to_https_is_refused_with_advice(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: http to https is another origin as well; the message says how to set the connection."""
    runner = make_runner(host="http://acme.custobar.com")
    with pytest.raises(errors.ProtocolError, match="Set the connection's host") as caught:
        runner.run(customers(runner), [answers.redirect("https://acme.custobar.com/")])
    assert "https://acme.custobar.com" in str(caught.value)


def test_the_second_of_two_redirects_is_checked_as_well(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: every step of a row of redirects must stay on the origin."""
    runner = make_runner()
    with pytest.raises(errors.ProtocolError, match="redirect"):
        runner.run(customers(runner), [answers.redirect("/v2/"), answers.redirect("https://evil.example/")])


def test_redirects_in_a_circle_end(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: a loop of redirects is an error after a handful of requests, and is not tried again."""
    runner = make_runner()
    targets = itertools.cycle(["/a/", "/b/"])
    with pytest.raises(errors.ProtocolError, match="redirects"):
        runner.run(customers(runner), lambda request: answers.redirect(next(targets)))
    assert len(runner.sent) <= 11


def test_each_request_has_its_own_redirects(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: redirects are counted for one request, so an export of many redirected pages goes through."""
    runner = make_runner()
    script = [
        reply
        for number in range(20)
        for reply in (answers.redirect(f"/r/{number}/"), answers.page("customers", [], f"/p/{number}/"))
    ]
    runner.run(customers(runner), [*script, answers.page("customers", [])])
    assert len(runner.pages) == 21


def test_a_next_url_is_read_from_the_page_that_named_it(make_runner: Callable[..., Any], answers: Any) -> None:
    """Rule: a redirect to the own origin changes nothing about the check of the next page."""
    runner = make_runner()
    with pytest.raises(errors.ProtocolError, match="next_url"):
        runner.run(customers(runner), [answers.redirect("/v2/"), answers.page("customers", [], "https://evil.example/")])


@pytest.mark.parametrize("status", [301, 302, 303])
@pytest.mark.parametrize("resource", ["customers", "events"])
def test_an_upload_is_not_turned_into_a_get(make_runner: Callable[..., Any], answers: Any, status: int, resource: str) -> None:
    """Rule: a redirect that would drop the body of a POST is an error, not an upload that seems to have worked."""
    runner = make_runner()
    with pytest.raises(errors.ProtocolError, match=f"{resource}.*redirect"):
        runner.run(flow.upload(runner.context, RESOURCES[resource], [b"{}"]), [answers.redirect("/v2/", status)])
    assert len(runner.sent) == 1


@pytest.mark.parametrize("status", [307, 308])
def test_an_upload_is_sent_whole_to_where_it_was_redirected(make_runner: Callable[..., Any], answers: Any, status: int) -> None:
    """Rule: 307 and 308 keep method and body; on the own origin they are followed, and nowhere else."""
    runner = make_runner()
    runner.run(
        flow.upload(runner.context, RESOURCES["events"], [b"{}"]), [answers.redirect("/v2/", status), answers.raw(b"{}")]
    )
    assert [request.method for request in runner.sent] == ["POST", "POST"]
    assert runner.sent[0].body == runner.sent[1].body
    with pytest.raises(errors.ProtocolError):
        runner.run(
            flow.upload(runner.context, RESOURCES["events"], [b"{}"]), [answers.redirect("https://evil.example/", status)]
        )
