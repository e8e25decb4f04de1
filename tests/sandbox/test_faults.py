"""Faults do what they say, to the requests that match, as often as they should."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
import requests
from werkzeug import Request
from werkzeug.test import EnvironBuilder

from airflow_provider_custobar.sandbox import Fault
from airflow_provider_custobar.sandbox.fault_effects import EFFECTS

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


PAGE = "/api/data/customers/?limit=10"


def _statuses(client: Client, count: int, path: str = PAGE) -> list[int]:
    return [client.get(path).status_code for _ in range(count)]


def test_status(client: Client) -> None:
    """A status fault answers with its status, reason and Retry-After, and is logged."""
    client.sandbox.faults.add(Fault("status", status=429, retry_after=7, reason="slow down"))
    response = client.get(PAGE)
    assert (response.status_code, response.headers["Retry-After"], response.json()["error"]["reason"]) == (
        429,
        "7",
        "slow down",
    )
    assert _statuses(client, 1) == [200]
    assert [(record.status, record.faults) for record in client.sandbox.requests] == [(429, ("status",)), (200, ())]


@pytest.mark.parametrize(("style", "start"), [("html", "<html>"), ("empty", "")])
def test_status_bodies(client: Client, style: str, start: str) -> None:
    """A status fault may have a proxy's page for a body, or none."""
    client.sandbox.faults.add(Fault("status", body_style=style))
    response = client.get(PAGE)
    assert response.status_code == 503
    assert response.text.startswith(start)
    assert bool(response.text) == bool(start)


def test_status_comes_before_authentication(client: Client) -> None:
    """A server that is down does not look at tokens, and takes nothing from the rate limit."""
    client.sandbox.settings.rate_limit = 1
    client.sandbox.faults.add(Fault("status", times=2))
    assert requests.get(client.sandbox.url + PAGE, timeout=10).status_code == 503
    assert _statuses(client, 3) == [503, 200, 429]


def test_times_and_after(client: Client) -> None:
    """The first ``after`` matches are spared, the next ``times`` are met; None means for ever."""
    client.sandbox.faults.add(Fault("status", after=1, times=2))
    assert _statuses(client, 4) == [200, 503, 503, 200]
    client.sandbox.faults.add(Fault("status", times=None))
    assert _statuses(client, 3) == [503] * 3
    client.sandbox.faults.clear()
    assert _statuses(client, 1) == [200]


@pytest.mark.parametrize(
    "matching",
    [
        {"path": "/api/data/events/"},
        {"where": {"type": "BROWSE"}},
        {"where": lambda request: "type" in request.args},
        {"method": "get", "path": "/api/data/events/", "where": {"type": "BROWSE"}},
    ],
)
def test_matching(client: Client, matching: dict[str, Any]) -> None:
    """Method, path, query parameters or a function choose the requests; others are not counted."""
    client.sandbox.faults.add(Fault("status", **matching))
    assert _statuses(client, 2) == [200, 200]
    assert _statuses(client, 2, "/api/data/events/?type=BROWSE") == [503, 200]


def test_other_methods_do_not_match(client: Client) -> None:
    """A fault for POST leaves GET alone."""
    client.sandbox.faults.add(Fault("status", method="POST"))
    assert _statuses(client, 1) == [200]
    assert client.upload("customers", []).status_code == 503


def test_drop(client: Client) -> None:
    """A dropped connection closes before any byte; nothing was processed; status 0 is logged."""
    client.sandbox.faults.add(Fault("drop"))
    with pytest.raises(requests.ConnectionError):
        client.upload("customers", [{"external_id": "x"}])
    assert client.sandbox.uploads == []
    assert client.sandbox.requests[0].status == 0
    assert _statuses(client, 1) == [200]


def test_drop_after(client: Client) -> None:
    """``drop_after`` processes the request and then closes: an upload is applied though no answer comes."""
    client.sandbox.faults.add(Fault("drop_after", method="POST"))
    with pytest.raises(requests.ConnectionError):
        client.upload("events", [{"type": "X", "date": "2026-02-01", "customer_id": "c"}])
    assert len(client.rows("events", type="X")) == 1
    assert client.sandbox.requests[0].rows == 1


@pytest.mark.parametrize("fraction", [0, 0.5])
def test_truncate(client: Client, fraction: float) -> None:
    """A truncated body announces its whole length and stops early."""
    client.sandbox.faults.add(Fault("truncate", fraction=fraction))
    response = client.session.get(client.sandbox.url + PAGE, stream=True, timeout=10)
    assert response.status_code == 200
    whole = int(response.headers["Content-Length"])
    received = b"".join(iter(lambda: response.raw._fp.fp.read(4096) or b"", b""))
    assert len(received) == int(whole * fraction)


def test_cut_json(client: Client) -> None:
    """``cut_json`` is a well-formed response whose text stops in the middle."""
    client.sandbox.faults.add(Fault("cut_json"))
    response = client.get(PAGE)
    assert len(response.content) == int(response.headers["Content-Length"])
    with pytest.raises(ValueError, match=r"line \d+"):
        response.json()


def test_html(client: Client) -> None:
    """A login page is 200 with HTML."""
    client.sandbox.faults.add(Fault("html"))
    response = client.get(PAGE)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/html")


def test_missing_key_and_wrong_type(client: Client) -> None:
    """The list can be missing, or be something else; other JSON does not use the fault up."""
    client.sandbox.faults.add(Fault("missing_key"))
    client.upload("customers", [])
    assert "customers" not in client.get(PAGE).json()
    client.sandbox.faults.add(Fault("wrong_key_type", value={"a": 1}))
    assert client.get(PAGE).json()["customers"] == {"a": 1}


@pytest.mark.parametrize("style", ["absolute", "relative"])
@pytest.mark.parametrize("form", ["json", "csv"])
def test_foreign_next_url(client: Client, style: str, form: str) -> None:
    """next_url can name another host, in body and header; pages without one do not use the fault up."""
    client.sandbox.settings.next_url_style = style
    client.sandbox.faults.add(Fault("foreign_next_url", host="evil.invalid:81", scheme="https"))
    client.data("customers", limit=1000)
    response = client.data("customers", limit=10, format=form)
    url = response.headers["X-Custobar-Next-Url"]
    assert url.startswith("https://evil.invalid:81/api/data/customers/?")
    if form == "json":
        assert response.json()["next_url"] == url


def test_repeat_next_url(client: Client) -> None:
    """next_url can name the page that it stands on, again and again."""
    client.sandbox.faults.add(Fault("repeat_next_url", times=None))
    pages = list(islice(client.pages("customers", limit=10), 4))
    assert pages[0] == pages[1] == pages[3]


def test_redirect(client: Client) -> None:
    """A redirect goes where it is told."""
    client.sandbox.faults.add(Fault("redirect", location="https://evil.invalid/x", status=307))
    response = client.session.get(client.sandbox.url + PAGE, allow_redirects=False, timeout=10)
    assert (response.status_code, response.headers["Location"]) == (307, "https://evil.invalid/x")


def test_slow_body_and_delay(client: Client) -> None:
    """A delay comes before the first byte; a slow body drips, and is whole in the end."""
    client.sandbox.faults.add(Fault("slow_body", seconds=0.2, chunks=4))
    client.sandbox.faults.add(Fault("delay", seconds=0.2))
    started = time.monotonic()
    response = client.session.get(client.sandbox.url + PAGE, stream=True, timeout=10)
    assert time.monotonic() - started >= 0.2
    assert len(json.loads(response.content)["customers"]) == 10
    assert time.monotonic() - started >= 0.4


def test_bad_utf8(client: Client) -> None:
    """Bytes that are not UTF-8 can stand inside an otherwise well-formed body."""
    client.sandbox.faults.add(Fault("bad_utf8"))
    content = client.get(PAGE).content
    with pytest.raises(UnicodeDecodeError):
        content.decode()
    assert len(json.loads(content.decode(errors="replace"))["customers"]) == 10
    client.sandbox.faults.add(Fault("bad_utf8"))
    with pytest.raises(UnicodeDecodeError):
        client.get(PAGE + "&format=csv").content.decode()


def test_pretty_json_and_bom(client: Client) -> None:
    """JSON can be indented, escaped to ASCII, or start with a BOM; the content is the same."""
    plain = client.get(PAGE).json()["customers"]
    client.sandbox.faults.add(Fault("pretty_json", ascii=True))
    client.sandbox.faults.add(Fault("bom"))
    response = client.get(PAGE)
    assert response.content.startswith(b'\xef\xbb\xbf{\n  "customers": [\n')
    assert response.content[3:].isascii()
    assert json.loads(response.content.decode("utf-8-sig"))["customers"] == plain


def test_late_faults_skip_failures(client: Client) -> None:
    """Faults of the answer wait for a successful one."""
    client.sandbox.faults.add(Fault("truncate"))
    assert client.get("/api/data/customers/?limit=0").status_code == 400
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.get(PAGE)


def test_random_faults_repeat_with_their_seed(make_client: Callable[..., Client]) -> None:
    """Random faults come with their probability, the same ones for the same seed."""

    def statuses(seed: int) -> list[int]:
        client = make_client(rate_limit=None)
        kinds = [Fault("status", status=500), Fault("status", status=503)]
        client.sandbox.faults.add_random(seed=seed, probability=0.3, kinds=kinds)
        return _statuses(client, 60)

    first = statuses(5)
    assert first == statuses(5)
    assert first != statuses(6)
    assert 6 <= len(first) - first.count(200) <= 32
    assert {500, 503} <= set(first)


def test_random_late_faults(client: Client) -> None:
    """Chance can spoil answers as well."""
    client.sandbox.faults.add_random(probability=1, kinds=["missing_key"])
    assert all("customers" not in client.get(PAGE).json() for _ in range(3))


def test_without_a_socket_a_drop_is_an_exception(client: Client) -> None:
    """Through ``handle`` a dropped connection is a ConnectionError."""
    client.sandbox.faults.add(Fault("drop"))
    request = Request(EnvironBuilder(path="/api/data/customers/").get_environ())
    with pytest.raises(ConnectionError):
        client.sandbox.handle(request)


@pytest.mark.parametrize(
    ("kind", "arguments", "named"),
    [
        ("explode", {}, "kind='explode'"),
        ("status", {"times": 0}, "times=0"),
        ("status", {"times": True}, "times=True"),
        ("status", {"after": -1}, "after=-1"),
        ("status", {"after": None}, "after=None"),
        ("status", {"status": "x"}, "status='x'"),
        ("status", {"body_style": "xml"}, "body_style='xml'"),
        ("drop", {"seconds": 1}, "seconds=1"),
        ("delay", {"seconds": -1}, "seconds=-1"),
    ],
)
def test_wrong_faults(kind: str, arguments: dict[str, Any], named: str) -> None:
    """A wrong fault is refused with the argument, its value and what is accepted."""
    with pytest.raises(ValueError, match=named) as caught:
        Fault(kind, **arguments)
    assert "expected" in str(caught.value) or "accepts" in str(caught.value)


@pytest.mark.parametrize("arguments", [{"probability": 2}, {"probability": 0.5, "kinds": []}])
def test_wrong_random_faults(client: Client, arguments: dict[str, Any]) -> None:
    """Probabilities lie between 0 and 1, and there must be something to choose from."""
    with pytest.raises(ValueError, match="expected"):
        client.sandbox.faults.add_random(**arguments)


@pytest.mark.parametrize("kind", EFFECTS)
def test_every_kind_ends(client: Client, kind: str) -> None:
    """After any fault the next request is answered as if nothing had been."""
    plain = client.get(PAGE).json()["customers"]
    details = {"seconds": 0.01} if "seconds" in EFFECTS[kind].details else {}
    client.sandbox.faults.add(Fault(kind, **details))
    with contextlib.suppress(requests.RequestException):
        client.session.get(client.sandbox.url + PAGE, allow_redirects=False, timeout=10)
    assert client.get(PAGE).json()["customers"] == plain
    assert client.sandbox.requests[1].faults == (kind,)
