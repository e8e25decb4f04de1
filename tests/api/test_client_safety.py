"""Where both clients send the token, and what they make of servers that misbehave; over real sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault, SandboxSettings


@pytest.fixture
def sandbox(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> CustobarSandbox:
    return custobar_sandbox_factory(SandboxSettings(rate_limit=None), customers=40, products=25, events=80, sales=60)


@pytest.mark.parametrize("login", [None, "user"])
def test_a_netrc_entry_does_not_replace_the_token(
    make_any_client: Callable[..., Any],
    elsewhere: Any,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    login: str | None,
) -> None:
    """Rule: the connection's credentials go out as they are, even where ~/.netrc knows the host."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\ndefault login other password one\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    client = make_any_client(elsewhere.url, "APITOKEN", login=login)
    client.pages(build_query("customers"))
    assert [headers["authorization"] for headers in elsewhere.seen] == [client.config.authorization]


def test_the_token_is_not_sent_to_a_foreign_next_url(
    make_any_client: Callable[..., Any], sandbox: CustobarSandbox, elsewhere: Any
) -> None:
    """Rule: a next page on another host or port is an error, and that host is not even connected to."""
    sandbox.faults.add(Fault("foreign_next_url", after=1, host=elsewhere.host))
    with pytest.raises(errors.ProtocolError, match=elsewhere.host):
        make_any_client(sandbox.url, sandbox.token).pages(build_query("customers", page_size=7))
    assert elsewhere.seen == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_token_is_not_sent_where_a_redirect_points(
    make_any_client: Callable[..., Any], sandbox: CustobarSandbox, elsewhere: Any, status: int
) -> None:
    """Rule: no client follows a redirect to another host or port, trusted for next pages or not."""
    sandbox.faults.add(Fault("redirect", status=status, location=f"{elsewhere.url}/api/data/customers/"))
    with pytest.raises(errors.ProtocolError, match="redirect"):
        make_any_client(sandbox.url, sandbox.token, trusted_hosts=[elsewhere.host]).pages(build_query("customers"))
    assert elsewhere.seen == []


def test_a_trusted_host_gets_the_token(make_any_client: Callable[..., Any], sandbox: CustobarSandbox, elsewhere: Any) -> None:
    """Rule: trusted_hosts is what it says; the next page is asked for there, signed."""
    sandbox.faults.add(Fault("foreign_next_url", host=elsewhere.host))
    client = make_any_client(sandbox.url, sandbox.token, trusted_hosts=[elsewhere.host])
    assert len(client.pages(build_query("customers", page_size=7))) == 2
    assert [headers["authorization"] for headers in elsewhere.seen] == [f"Token {sandbox.token}"]


def test_a_repeated_next_url_ends_in_an_error(make_any_client: Callable[..., Any], sandbox: CustobarSandbox) -> None:
    """Rule: a page that names itself as the next one is an error after one more request at most."""
    sandbox.faults.add(Fault("repeat_next_url", after=2))
    with pytest.raises(errors.ProtocolError, match="never end"):
        make_any_client(sandbox.url, sandbox.token).pages(build_query("customers", page_size=7))
    assert len(sandbox.requests) == 3


def test_nobody_listens(make_any_client: Callable[..., Any]) -> None:
    """Rule: a refused connection is tried max_attempts times, named with its address, and known not to have arrived."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    client = make_any_client(url, "APISECRET", max_attempts=3)
    with pytest.raises(errors.TransportError, match=url) as caught:
        client.pages(build_query("customers"))
    assert caught.value.may_have_arrived is False
    assert "APISECRET" not in str(caught.value)
    assert len(client.long_waits) == 2


def test_an_answer_that_is_lost_may_have_arrived(make_any_client: Callable[..., Any], sandbox: CustobarSandbox) -> None:
    """Rule: once connected, a missing answer tells nothing about what the server did."""
    sandbox.faults.add(Fault("drop", times=None))
    with pytest.raises(errors.TransportError, match=sandbox.url) as caught:
        make_any_client(sandbox.url, sandbox.token, max_attempts=2).pages(build_query("customers"))
    assert caught.value.may_have_arrived is True
    assert len(sandbox.requests) == 2
    assert sandbox.token not in str(caught.value)


def test_a_next_url_is_sent_to_the_letter(make_any_client: Callable[..., Any], elsewhere: Any) -> None:
    """Rule: next_url is opaque: its escapes go back as they came, since a signature may cover them."""
    paths = ["/api/data/customers/?c=%7E%41%2B&limit=3", "/api/data/customers/?b=+%20~&&a=(x)*!'$,;:@/?"]
    elsewhere.bodies = [json.dumps({"customers": [], "next_url": path}).encode() for path in paths]
    make_any_client(elsewhere.url).pages(build_query("customers"))
    assert elsewhere.paths[1:] == paths


@pytest.mark.parametrize(
    "target",
    ["?c=\x01", "?c=\x7f", f"?c={'x' * 70_000}", "http://[::1", "http://127.0.0.1:x/", "?c=%zz"],
    ids=lambda target: repr(target)[:20],
)
def test_a_broken_next_url_is_this_packages_own_error(make_any_client: Callable[..., Any], elsewhere: Any, target: str) -> None:
    """Rule: whatever a server names as the next page, a client goes on or raises CustobarError, never a library's error."""
    elsewhere.bodies = [json.dumps({"customers": [], "next_url": target}).encode()]
    client = make_any_client(elsewhere.url, max_attempts=1)
    try:
        client.pages(build_query("customers"))
    except errors.CustobarError as error:
        assert str(error)  # noqa: PT017 - either outcome is right


def test_an_answer_that_cannot_be_unpacked_is_no_answer(make_any_client: Callable[..., Any], elsewhere: Any) -> None:
    """Rule: a body that is not the gzip it says it is counts as a broken connection: tried again, then this package's error."""
    elsewhere.encoding = "gzip"
    with pytest.raises(errors.TransportError, match=elsewhere.url):
        make_any_client(elsewhere.url, max_attempts=2).pages(build_query("customers"))
    assert len(elsewhere.seen) == 2
