"""The object, its server, its log and its admin routes."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from werkzeug.test import Client as WerkzeugClient

from airflow_provider_custobar.sandbox import CustobarSandbox
from tests.python_process import output_of

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


CUSTOMERS = "/api/data/customers/"


def test_connections_are_kept_open(client: Client) -> None:
    """HTTP/1.1: many requests go through one connection, refused uploads among them."""
    with socket.create_connection(("127.0.0.1", int(client.sandbox.url.rpartition(":")[2]))) as connection:
        stream = connection.makefile("rb")
        for number in range(3):
            body = b"[]" if number == 1 else b""
            method = "POST /api/customers/upload/" if body else f"GET {CUSTOMERS}?limit=1"
            head = f"{method} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            assert stream.readline() == b"HTTP/1.1 401 Unauthorized\r\n"
            length = 0
            while (line := stream.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert json.loads(stream.read(length))["error"]["reason"]


def test_small_requests_are_quick(client: Client) -> None:
    """Head and body do not wait for each other, which costs 40 ms: the quickest of a hundred small requests takes less."""
    times = [time.monotonic()]
    for _ in range(100):
        client.data("customers", limit=1)
        times.append(time.monotonic())
    # The quickest alone: what other work on the machine costs, no request can help, and 40 ms would be part of each.
    assert min(later - sooner for sooner, later in pairwise(times)) < 0.04


def test_stop_closes_and_start_goes_on(client: Client) -> None:
    """Stopping closes the port and open connections at once; a restart keeps port, data, tokens and cursors."""
    sandbox = client.sandbox
    url = client.data("customers", limit=10).json()["next_url"]
    sandbox.stop()
    sandbox.stop()
    with pytest.raises(requests.ConnectionError):
        client.session.get(url, timeout=1)
    sandbox.start()
    sandbox.start()
    assert client.session.get(url, timeout=10).status_code == 200


def test_no_port_before_the_start() -> None:
    """The URL is known once there is a port."""
    with pytest.raises(RuntimeError, match="start"):
        _ = CustobarSandbox().url
    with CustobarSandbox() as sandbox:
        assert sandbox.url.startswith("http://127.0.0.1:")


def test_only_loopback_listens(client: Client) -> None:
    """The server listens on the loopback interface only, since its admin routes ask for no password."""
    server = client.sandbox._server
    assert server is not None
    assert server.server_address[0] == "127.0.0.1"


def test_parallel_requests(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are served in parallel: four requests of which none is answered before all have come."""
    together = threading.Barrier(4, timeout=60)
    server = client.sandbox._server
    assert server is not None
    answer = server.handle_api
    monkeypatch.setattr(server, "handle_api", lambda request: (together.wait(), answer(request))[1])
    threads = [
        threading.Thread(target=requests.get, args=(client.sandbox.url + CUSTOMERS,), kwargs={"timeout": 10}) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken
    assert len(client.sandbox.requests) == 4


def test_request_log(client: Client) -> None:
    """The log tells what was asked, by whom, and how it was answered; admin requests are not in it."""
    client.data("customers", "?limit=5&city=a&city=b")
    client.upload("customers", [{"external_id": "x"}, {"external_id": "y"}])
    client.get("/_sandbox/state/")
    read, sent = client.sandbox.requests
    assert (read.method, read.path, read.status, read.rows) == ("GET", CUSTOMERS, 200, 0)
    assert read.query == {"limit": ["5"], "city": ["a", "b"]}
    assert read.token_hint == f"API***{client.sandbox.token[-3:]}"
    assert (sent.method, sent.rows, sent.content_length) == ("POST", 2, 44)
    assert sent.at >= read.at
    client.sandbox.clear_log()
    assert (client.sandbox.requests, client.sandbox.uploads) == ([], [])


def test_clock_moves_the_log(client: Client) -> None:
    """``at`` follows the sandbox's clock, so that a fake sleep that advances it counts as time."""
    client.data("customers")
    client.sandbox.clock.advance(30)
    client.data("customers")
    first, second = client.sandbox.requests
    assert 30 <= second.at - first.at < 40
    with pytest.raises(ValueError, match="forward"):
        client.sandbox.clock.advance(-1)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_load_file(empty: Client, tmp_path: Path, name: str) -> None:
    """JSON Lines are loaded, compressed or not, with unknown fields and characters that only look like line ends."""
    lines = [{"external_id": "a", "extra": "x\u2028y\x85z"}, {"external_id": "b"}]
    text = "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert empty.sandbox.load_file("products", path) == 2
    assert empty.rows("products") == lines
    assert "extra" in empty.data("products", format="csv").text.splitlines()[0]


@pytest.mark.parametrize(
    ("resource", "text", "expected"),
    [
        ("products", '{"external_id": "a"}\n{', "line 2: not JSON"),
        ("products", "[]", "line 1: expected an object"),
        ("events", '{"type": "X", "date": "soon"}', "events record 1: date='soon'"),
        ("customer", "{}", "expected one of customers"),
    ],
)
def test_wrong_files(empty: Client, tmp_path: Path, resource: str, text: str, expected: str) -> None:
    """What cannot be loaded is refused with its place."""
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=expected):
        empty.sandbox.load_file(resource, path)


def test_records_are_copies(empty: Client) -> None:
    """Changing a record that was handed out changes nothing."""
    empty.sandbox.load("customers", [{"external_id": "a"}])
    next(empty.sandbox.records("customers"))["external_id"] = "b"
    assert empty.rows("customers") == [{"external_id": "a"}]


def test_airflow_connection(client: Client) -> None:
    """The connection is JSON as Airflow reads it from an environment variable."""
    connection = json.loads(client.sandbox.airflow_connection(timezone="Europe/Helsinki"))
    assert connection == {
        "conn_type": "custobar",
        "host": client.sandbox.url,
        "password": client.sandbox.token,
        "extra": {"timezone": "Europe/Helsinki"},
    }


def test_wsgi_door(custobar_sandbox: CustobarSandbox) -> None:
    """The same function serves as a WSGI application."""
    door = WerkzeugClient(custobar_sandbox.wsgi_app)
    response = door.get(f"{CUSTOMERS}?limit=1", headers={"Authorization": f"Token {custobar_sandbox.token}"})
    assert response.status_code == 200
    assert len(response.json["customers"]) == 1


def _admin(client: Client, method: str, route: str, **kwargs: Any) -> Any:
    response = requests.request(method, f"{client.sandbox.url}/_sandbox/{route}", timeout=10, **kwargs)
    assert response.status_code == 200, response.text
    return response.json()


def test_admin_routes(empty: Client) -> None:
    """Data, settings, faults, clock and logs can be reached over HTTP without a token."""
    assert _admin(empty, "POST", "load/customers/", data='{"external_id": "a\u2028"}\n'.encode()) == {"loaded": 1}
    assert _admin(empty, "GET", "records/customers/") == [{"external_id": "a\u2028"}]
    assert _admin(empty, "POST", "settings/", json={"limit_max_json": 5})["limit_max_json"] == 5
    assert empty.data("customers", limit=6).status_code == 400
    _admin(empty, "POST", "faults/", json={"kind": "status", "status": 418})
    assert len(_admin(empty, "GET", "faults/")) == 1
    assert empty.data("customers").status_code == 418
    assert _admin(empty, "DELETE", "faults/") == []
    before = empty.sandbox.clock.monotonic()
    _admin(empty, "POST", "clock/", json={"advance": 60})
    assert empty.sandbox.clock.monotonic() - before >= 60
    empty.upload("customers", [{"first_name": "x"}])
    assert _admin(empty, "GET", "uploads/")[0]["errors"][0][0] == 0
    assert [record["status"] for record in _admin(empty, "GET", "requests/")] == [400, 418, 200]
    assert _admin(empty, "DELETE", "requests/") == []
    state = _admin(empty, "GET", "state")
    assert state["records"]["customers"] == 1
    assert state["errors"] == []


@pytest.mark.parametrize(
    ("method", "route", "body", "status"),
    [
        ("GET", "nothing/", None, 404),
        ("POST", "settings/", {"nonsense": 1}, 400),
        ("POST", "settings/", {"limit_default": 0}, 400),
        ("POST", "faults/", {"kind": "explode"}, 400),
        ("POST", "faults/", {"kind": "drop", "bogus": 1}, 400),
        ("POST", "clock/", {}, 400),
        ("GET", "records/nothing/", None, 400),
    ],
)
def test_wrong_admin_requests(client: Client, method: str, route: str, body: Any, status: int) -> None:
    """Wrong admin requests are refused with a reason."""
    response = requests.request(method, f"{client.sandbox.url}/_sandbox/{route}", json=body, timeout=10)
    assert response.status_code == status
    assert response.json()["error"]["reason"]


@pytest.mark.processes
def test_stands_apart() -> None:
    """The sandbox imports nothing of the rest of the provider and nothing of Airflow."""
    code = (
        "import sys, airflow_provider_custobar.sandbox.cli;"
        "print([m for m in sys.modules if m.partition('.')[0] in ('airflow', 'requests', 'httpx')"
        " or m.startswith('airflow_provider_custobar.')"
        " and not m.startswith('airflow_provider_custobar.sandbox')])"
    )
    assert output_of(code).strip() == "[]"


def test_broken_clients_are_no_errors(client: Client) -> None:
    """A client that sends nonsense or goes away in the middle is not an error of the sandbox."""
    address = ("127.0.0.1", int(client.sandbox.url.rpartition(":")[2]))
    head = "POST /api/customers/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    authorization = f"Authorization: Token {client.sandbox.token}\r\n"
    for message in (
        "nonsense\r\n\r\n",
        f"{head}{authorization}Content-Length: 100\r\n\r\n[",
        f"{head}{authorization}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ):
        with socket.create_connection(address) as connection:
            connection.sendall(message.encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    assert client.data("customers").status_code == 200
    assert client.sandbox.uploads == []
