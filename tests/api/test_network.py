"""One network for both clients: whatever the environment says about proxies and certificates, they go the same way."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import os
import re
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from packaging.version import Version

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.client import CustobarClient
from airflow_provider_custobar.api.config import config_from_connection
from airflow_provider_custobar.api.network import network_of, tls_context
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.api.spiffy.client import SpiffyStoresClient
from airflow_provider_custobar.api.spiffy.service import SPIFFY_STORES

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\nConnection: close\r\n\r\n{"customers":[]}'


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No variable of this machine's own."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"}:
            monkeypatch.delenv(name)
    return monkeypatch


class Server(socketserver.ThreadingTCPServer):
    """A server, or a proxy that leads every request to ``target``; keeps the heads of what it was sent."""

    daemon_threads = True
    allow_reuse_address = True
    target: Server | None = None
    tls: ssl.SSLContext | None = None
    authorization = ""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.heads: list[str] = []
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), _Handler)
        self.port = self.server_address[1]
        self.place = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        try:
            peer = server.tls.wrap_socket(self.request, server_side=True) if server.tls else self.request
            with peer, peer.makefile("rb") as reader:
                head = b"".join(iter(reader.readline, b"\r\n")).decode()
                if not head:
                    return
                server.heads.append(head)
                if server.authorization not in head:
                    peer.sendall(b"HTTP/1.1 407 Who Are You\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                elif server.target is None:
                    peer.sendall(ANSWER)
                elif head.startswith("CONNECT"):
                    peer.sendall(b"HTTP/1.1 200 Go On\r\n\r\n")
                    self._tunnel(peer, server.target)
                else:
                    server.target.heads.append(head)
                    peer.sendall(ANSWER)
        except OSError:
            pass

    def _tunnel(self, here: socket.socket, target: Server) -> None:
        with socket.create_connection(target.server_address[:2]) as there:
            while True:
                for ready in select.select([here, there], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    (there if ready is here else here).sendall(data)


def _serve(server: Server) -> Iterator[Server]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    yield from _serve(Server())


@pytest.fixture
def proxy(server: Server) -> Iterator[Server]:
    proxy = Server()
    proxy.target = server
    yield from _serve(proxy)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An authority's certificate, and a chain with a key for localhost, 127.0.0.1 and acme.custobar.com."""
    folder = tmp_path_factory.mktemp("tls")
    now = dt.datetime.now(dt.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("An Authority", "A Server")]
    certificates = []
    for number, (key, name) in enumerate(zip(keys, names, strict=True)):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=not number, path_length=None), critical=True)
            # Python 3.13 wants these, too.
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.KeyUsage(True, *[False] * 4, not number, *[False] * 3), critical=True)
        )
        if number:
            hosts = [x509.DNSName("localhost"), x509.DNSName("acme.custobar.com")]
            addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName([*hosts, *addresses]), critical=False)
        certificates.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (folder / "ca.pem").write_bytes(certificates[0])
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(certificates[1] + keys[1].private_bytes(*form))
    return folder / "ca.pem", folder / "server.pem"


def secured(server: Server, authority: tuple[Path, Path]) -> None:
    server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.tls.load_cert_chain(authority[1])


def ask(client: Any) -> None:
    client.pages(build_query("customers"))


PLAIN = "http://acme.invalid:8765"
#: Of requests before 2.33 any ending of a host is a domain.
TAKES_ENDINGS = Version(requests.__version__) < Version("2.33")


@pytest.mark.parametrize(
    ("variables", "is_used"),
    [
        ({}, False),
        ({"http_proxy": "{}"}, True),
        ({"HTTP_PROXY": "http://{}"}, True),
        ({"Http_Proxy": "http://{}"}, True),
        ({"ALL_PROXY": "http://{}"}, True),
        ({"all_proxy": "HTTP://{}"}, True),
        ({"all_proxy": "socks://127.0.0.1:9", "http_proxy": "http://{}"}, True),
        ({"HTTPS_PROXY": "http://{}"}, False),
        ({"https_proxy": "nonsense://"}, False),
        ({"http_proxy": "", "HTTP_PROXY": "http://{}"}, False),
        ({"http_proxy": "http://{}", "HTTP_PROXY": "http://127.0.0.1:9"}, True),
        ({"http_proxy": "http://{}", "NO_PROXY": "acme.invalid"}, False),
        ({"http_proxy": "http://{}", "no_proxy": "other, acme.invalid:8765"}, False),
        ({"http_proxy": "http://{}", "no_proxy": "acme.invalid:80"}, True),
        ({"http_proxy": "http://{}", "no_proxy": ".invalid"}, False),
        ({"http_proxy": "http://{}", "no_proxy": "invalid"}, False),
        ({"http_proxy": "http://{}", "no_proxy": "me.invalid"}, not TAKES_ENDINGS),
        ({"http_proxy": "http://{}", "no_proxy": "*"}, False),
        ({"http_proxy": "http://{}", "no_proxy": ""}, True),
    ],
    ids=str,
)
def test_both_clients_take_the_way_that_the_environment_names(
    make_any_client: Callable[..., Any],
    environment: pytest.MonkeyPatch,
    proxy: Server,
    variables: dict[str, str],
    *,
    is_used: bool,
) -> None:
    """Rule: a host that nobody knows is reached through the proxy, however it is spelt, or directly where it is exempt."""
    for name, value in variables.items():
        environment.setenv(name, value.format(proxy.place))
    client = make_any_client(PLAIN, max_attempts=1)
    if is_used:
        ask(client)
        assert proxy.heads[0].startswith(f"GET {PLAIN}/api/data/customers/?")
    else:
        with pytest.raises(errors.TransportError) as caught:
            ask(client)
        assert not caught.value.may_have_arrived
        assert proxy.heads == []


EXEMPT = [
    ("http://127.0.0.1:8765", "127.0.0.1", True),
    ("http://127.0.0.1:8765", "127.0.0.0/8", True),
    ("http://127.0.0.1:8765", "10.0.0.0/8", False),
    ("https://sub.acme.invalid", "acme.invalid", True),
    ("https://sub.acme.invalid", ".acme.invalid", True),
    ("https://subacme.invalid", "acme.invalid", TAKES_ENDINGS),
    ("https://acme.invalid", "ACME.INVALID", False),
    ("https://[::1]", "::1", True),
    ("https://[::1]", "[::1]", True),
    ("https://[::1]:8765", "[::1]:8765", True),
    ("https://[::1]:8765", "[::1]:8766", False),
    ("https://[0:0::1]:8765", "::1", True),
    ("https://[2001:db8::7]", "2001:db8::/32", True),
    ("https://[2001:db8::7]", "[2001:db8::]/32", True),
    ("https://[2001:db8::7]", "10.0.0.0/8, 2001:db9::/32", False),
    ("https://[2001:db8::7]", "2001:0db8:0000::7", True),
    ("https://[2001:db8::7]", "*", True),
    ("https://[2001:db8::7]", "db8::7", TAKES_ENDINGS),
    ("https://[::1]:8765", "localhost,127.0.0.1,::1,[::1]", True),
    ("https://[::1]", "localhost,127.0.0.0/8,::1/128", True),
    ("https://[fd00::1]", "::/0", True),
    ("https://acme.invalid", "::/0, fe80::/10, [::1]", False),
    ("http://127.0.0.1:8765", "::/0", False),
]


@pytest.mark.parametrize(("url", "no_proxy", "is_exempt"), EXEMPT)
def test_no_proxy_is_read_as_requests_reads_it(
    environment: pytest.MonkeyPatch, url: str, no_proxy: str, *, is_exempt: bool
) -> None:
    """Rule: hosts, domains, ports and networks of NO_PROXY are requests' own reading, IPv6 added."""
    environment.setenv("ALL_PROXY", "http://127.0.0.1:9")
    environment.setenv("NO_PROXY", no_proxy)
    network = network_of(config_from_connection(host=url, password="APITOKEN"))
    if "[" not in url:
        assert requests.utils.should_bypass_proxies(url, None) == (is_exempt or no_proxy.isupper())
    assert (network.proxy_for(url) is None) == (is_exempt or no_proxy.isupper())


def test_each_trusted_host_has_its_own_way(
    make_any_client: Callable[..., Any], environment: pytest.MonkeyPatch, proxy: Server, raw_server: Any
) -> None:
    """Rule: a next page on a trusted host goes through the proxy although the API itself is exempt, and the other way round."""
    environment.setenv("http_proxy", f"http://{proxy.place}")
    environment.setenv("no_proxy", "127.0.0.1")
    body = b'{"customers":[],"next_url":"http://other.invalid/x"}'
    raw_server.answers = [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body]
    ask(make_any_client(raw_server.url, trusted_hosts="other.invalid"))
    assert len(raw_server.heads) == 1
    assert proxy.heads[0].startswith("GET http://other.invalid/x ")


@pytest.mark.parametrize("kind", ["plain", "tunnel"])
def test_a_proxys_credentials_are_sent_and_never_shown(
    make_any_client: Callable[..., Any],
    environment: pytest.MonkeyPatch,
    proxy: Server,
    authority: tuple[Path, Path],
    kind: str,
) -> None:
    """Rule: user and password of a proxy's URL, decoded, go to it alone; no message holds them."""
    assert proxy.target is not None
    pair = base64.b64encode(b"us er:p@ss/w").decode()
    proxy.authorization = f"Proxy-Authorization: Basic {pair}"
    if kind == "tunnel":
        secured(proxy.target, authority)
    environment.setenv("REQUESTS_CA_BUNDLE", str(authority[0]))
    environment.setenv("ALL_PROXY", f"http://us%20er:p%40ss%2Fw@{proxy.place}")
    url = PLAIN if kind == "plain" else "https://acme.custobar.com"
    ask(make_any_client(url))
    assert "roxy-" not in proxy.target.heads[0] or kind == "plain"
    environment.setenv("ALL_PROXY", f"http://us%20er:wr%40ng@{proxy.place}")
    with pytest.raises(errors.CustobarError) as caught:
        ask(make_any_client(url, max_attempts=1))
    assert "407" in str(caught.value)
    assert "ALL_PROXY" in str(caught.value)
    for secret in ("us%20er", "us er", "wr%40ng", "wr@ng", base64.b64encode(b"us er:wr@ng").decode()):
        assert secret not in str(caught.value)
    assert "wr%40ng" not in repr(network_of(config_from_connection(host=url, password="APITOKEN")))


def test_a_proxy_that_is_not_there_is_named(make_any_client: Callable[..., Any], environment: pytest.MonkeyPatch) -> None:
    """Rule: where the proxy does not answer, the message names it and its variable, and nothing has arrived."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    environment.setenv("https_proxy", f"http://user:secret@{place}")
    with pytest.raises(errors.TransportError, match=f"the proxy http://{place} of https_proxy") as caught:
        ask(make_any_client("acme", max_attempts=1))
    assert "secret" not in str(caught.value)
    assert not caught.value.may_have_arrived


BAD = [
    ({"HTTPS_PROXY": "http://"}, "HTTPS_PROXY", "http://host:port"),
    ({"https_proxy": "http://user:p#ss@proxy:3128"}, "https_proxy", "percent-encoded"),
    ({"https_proxy": "http://proxy:port"}, "https_proxy", "http://host:port"),
    ({"https_proxy": "http://proxy:99999"}, "https_proxy", "http://host:port"),
    ({"https_proxy": "http://[::1"}, "https_proxy", "http://host:port"),
    ({"https_proxy": "http://exa mple:3128"}, "https_proxy", "http://host:port"),
    ({"https_proxy": "http://us er:secret@proxy:3128"}, "https_proxy", "percent-encoded"),
    ({"https_proxy": "http://[::1]x:80"}, "https_proxy", "http://host:port"),
    ({"https_proxy": "http://a<b>:80"}, "https_proxy", "http://host:port"),
    ({"https_proxy": "http:// "}, "https_proxy", "http://host:port"),
    ({"https_proxy": "http://xn--\udc80:80"}, "https_proxy", "http://host:port"),
    ({"https_proxy": "http://a..b:80"}, "https_proxy", "http://host:port"),
    ({"https_proxy": f"http://{'a' * 64}:80"}, "https_proxy", "http://host:port"),
    ({"ALL_PROXY": "socks5h://.proxy:1080"}, "ALL_PROXY", "http://host:port"),
    ({"all_proxy": "socks://127.0.0.1:1080"}, "all_proxy", "socks5h"),
    ({"ALL_PROXY": "ftp://user:secret@proxy:21"}, "ALL_PROXY", "ftp://proxy:21"),
    ({"ALL_PROXY": "socks4://127.0.0.1:1080"}, "ALL_PROXY", "socks4"),
    ({"REQUESTS_CA_BUNDLE": "/no/such.pem"}, "REQUESTS_CA_BUNDLE", "/no/such.pem"),
    ({"CURL_CA_BUNDLE": "/no/such.pem"}, "CURL_CA_BUNDLE", "/no/such.pem"),
    ({"REQUESTS_CA_BUNDLE": "/no/such.pem", "CURL_CA_BUNDLE": certifi.where()}, "REQUESTS_CA_BUNDLE", "/no/such.pem"),
    ({"REQUESTS_CA_BUNDLE": __file__}, "REQUESTS_CA_BUNDLE", "test_network.py"),
    ({"CURL_CA_BUNDLE": f"{'-' * 5}BEGIN CERTIFICATE{'M' * 5_000}"}, "CURL_CA_BUNDLE", "-----BEGIN"),
]


@pytest.mark.parametrize(("variables", "name", "said"), BAD)
def test_what_cannot_be_read_is_named_before_the_first_request(
    make_any_client: Callable[..., Any], environment: pytest.MonkeyPatch, variables: dict[str, str], name: str, said: str
) -> None:
    """Rule: both clients refuse a proxy or a CA bundle that is none, name its variable, and show no credentials."""
    for variable, value in variables.items():
        environment.setenv(variable, value)
    with pytest.raises(errors.InvalidArgumentError, match=f"^{name}=") as caught:
        ask(make_any_client("acme"))
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "p#ss" not in str(caught.value)
    config = config_from_connection(host="mystore", login="KEY", password="PASSWORD", service=SPIFFY_STORES)
    with pytest.raises(errors.InvalidArgumentError, match=f"^{name}="):
        SpiffyStoresClient(config)


class _SocksHandler(socketserver.StreamRequestHandler):
    """SOCKS 5 (RFC 1928) with a user's name and password (RFC 1929), up to CONNECT; leads every request to ``target``."""

    def handle(self) -> None:
        server, read = self.server, self.rfile.read
        assert isinstance(server, Server)
        assert server.target is not None
        assert 2 in read(read(2)[1]), "nobody offers a name and a password"
        self.wfile.write(b"\x05\x02")
        name, password = (read(read(1)[0]).decode() for _ in read(1) * 2)
        self.wfile.write(b"\x01\x00")
        kind = read(4)[3]
        host = read(read(1)[0]).decode() if kind == 3 else read(4 if kind == 1 else 16).hex()
        server.heads.append(f"{name}:{password} {host}:{int.from_bytes(read(2))}")
        self.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
        server.target.finish_request(self.request, self.client_address)


@pytest.mark.parametrize("variable", ["ALL_PROXY", "http_proxy"])
def test_both_clients_go_through_a_socks_proxy(
    make_any_client: Callable[..., Any], environment: pytest.MonkeyPatch, proxy: Server, variable: str
) -> None:
    """Rule: a host that nobody here knows is reached through a SOCKS 5 proxy, which looks it up and learns no token."""
    proxy.RequestHandlerClass = _SocksHandler
    environment.setenv(variable, f"socks5h://user:p%40ss@{proxy.place}")
    ask(make_any_client(PLAIN, max_attempts=1))
    assert proxy.heads == ["user:p@ss acme.invalid:8765"]
    assert proxy.target is not None
    assert len(proxy.target.heads) == 1
    assert "Authorization: Token APITOKEN".lower() in proxy.target.heads[0].lower()


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_needs_its_libraries(
    make_any_client: Callable[..., Any], environment: pytest.MonkeyPatch, scheme: str
) -> None:
    """Rule: without them, both clients say what to install."""
    environment.setenv("ALL_PROXY", f"{scheme}://user:secret@127.0.0.1:1080")
    environment.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.InvalidArgumentError, match=r"ALL_PROXY='socks5h?://127.*pip install"):
        ask(make_any_client("acme"))


@pytest.mark.parametrize(
    ("variables", "verify", "is_trusted"),
    [
        ({}, None, False),
        ({"REQUESTS_CA_BUNDLE": "{}"}, None, True),
        ({"CURL_CA_BUNDLE": "{}"}, None, True),
        ({"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "{}"}, None, True),
        ({"REQUESTS_CA_BUNDLE": certifi.where(), "CURL_CA_BUNDLE": "{}"}, None, False),
        ({"SSL_CERT_FILE": "{}"}, None, False),
        ({"SSL_CERT_FILE": "/no/such.pem"}, None, False),
        ({"SSL_CERT_DIR": "/no/such", "REQUESTS_CA_BUNDLE": "{}"}, None, True),
        ({}, "{}", True),
        ({"REQUESTS_CA_BUNDLE": "/no/such.pem"}, "{}", True),
        ({"REQUESTS_CA_BUNDLE": "{}"}, certifi.where(), False),
        ({"REQUESTS_CA_BUNDLE": "/no/such.pem"}, False, True),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
@pytest.mark.parametrize("way", ["direct", "proxy", "tls proxy"])
def test_both_clients_trust_the_same_authorities(
    make_any_client: Callable[..., Any],
    environment: pytest.MonkeyPatch,
    proxy: Server,
    authority: tuple[Path, Path],
    *,
    variables: dict[str, str],
    verify: Any,
    way: str,
    is_trusted: bool,
) -> None:
    """Rule: the extra verify comes first, then REQUESTS_CA_BUNDLE, then CURL_CA_BUNDLE; through a proxy as without one."""
    assert proxy.target is not None
    secured(proxy.target, authority)
    for name, value in variables.items():
        environment.setenv(name, value.format(authority[0]))
    if way == "tls proxy":
        secured(proxy, authority)
    if way != "direct":
        environment.setenv("HTTPS_PROXY", f"http{'s' * (way == 'tls proxy')}://{proxy.place}")
    url = f"https://localhost:{proxy.target.port}" if way == "direct" else "https://acme.custobar.com"
    extra = {} if verify is None else {"verify": verify.format(authority[0]) if verify else False}
    client = make_any_client(url, max_attempts=1, **extra)
    if is_trusted:
        ask(client)
        assert len(proxy.target.heads) == 1
        assert "Authorization: Token APITOKEN".lower() in proxy.target.heads[0].lower()
        assert not any("APITOKEN" in head for head in proxy.heads)
    else:
        with pytest.raises(errors.CertificateError, match="localhost|acme.custobar.com"):
            ask(client)
    assert len(proxy.heads) == (way != "direct" and (is_trusted or way == "proxy"))


def test_an_environment_that_changes_does_not_change_a_client(environment: pytest.MonkeyPatch, server: Server) -> None:
    """Rule: the way is worked out when a client is made; a task keeps to it."""
    config = config_from_connection(host=f"http://{server.place}", password="APITOKEN", extra={"max_attempts": 1})
    with CustobarClient(config) as client:
        environment.setenv("ALL_PROXY", "http://127.0.0.1:9")
        client.test()
    assert len(server.heads) == 1


def test_an_api_at_an_ipv6_address_is_reached(make_any_client: Callable[..., Any]) -> None:
    """Rule: both clients reach a host that is given as an IPv6 address, with brackets or without."""
    try:
        server = Server("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    for served in _serve(server):
        for host in (f"http://{served.place}", "::1", "[::1]"):
            config = config_from_connection(host=host, schema="http", port=served.port, password="APITOKEN")
            client = make_any_client("acme")
            client.config = config
            ask(client)
        assert all(re.search(rf"(?im)^host: \[::1\]:{served.port}\r$", head) for head in served.heads)
        assert len(served.heads) == 3


def test_no_certificates_are_read_for_a_plain_connection() -> None:
    """Rule: a context that nobody uses costs nothing, and trusts nobody."""
    assert tls_context(config_from_connection(host=PLAIN, password="APITOKEN")).cert_store_stats()["x509_ca"] == 0
