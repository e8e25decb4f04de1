"""Where the token may go: the connection's own origin, and hosts trusted for next pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import ProtocolError

HERE = "https://acme.custobar.com/api/data/customers/?limit=2"


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("https://acme.custobar.com/api/data/customers/?cursor=x", "https://acme.custobar.com/api/data/customers/?cursor=x"),
        ("https://ACME.custobar.com/x?c=%2B+%2b", "https://ACME.custobar.com/x?c=%2B+%2b"),
        ("https://acme.custobar.com:443/x", "https://acme.custobar.com:443/x"),
        ("//acme.custobar.com/x", "https://acme.custobar.com/x"),
        ("/api/data/customers/?cursor=x", "https://acme.custobar.com/api/data/customers/?cursor=x"),
        ("?cursor=x", "https://acme.custobar.com/api/data/customers/?cursor=x"),
    ],
)
def test_urls_of_the_own_origin_are_followed_as_they_are(
    make_config: Callable[..., ClientConfig], target: str, url: str
) -> None:
    """Rule: next_url is opaque; absolute or relative, its path and query are kept byte for byte."""
    assert make_config().resolve(target, HERE, what="next_url") == url


FOREIGN = [
    "https://evil.example/",
    "https://acme.custobar.com.evil.example/",
    "https://evil.example/acme.custobar.com",
    "https://acme.custobar.com:8443/",
    "http://acme.custobar.com/",
    "//evil.example/x",
    "https://acme.custobar.com@evil.example/",
    "https://acme.custobar.com\\@evil.example/",
    "https://evil.example\\@acme.custobar.com/",
    "https://user@acme.custobar.com/",
    "https://evil.example#@acme.custobar.com/",
    "https://evil.example?@acme.custobar.com/",
    "ftp://acme.custobar.com/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "mailto:a@acme.custobar.com",
    "https://\tevil.example/",
]


@pytest.mark.parametrize("what", ["next_url", "A redirect"])
@pytest.mark.parametrize("target", FOREIGN)
def test_urls_that_leave_the_origin_are_refused(make_config: Callable[..., ClientConfig], target: str, what: str) -> None:
    """Rule: scheme, host and port must be the connection's own; the message names both and the way out."""
    with pytest.raises(ProtocolError, match=r"not to https://acme\.custobar\.com: the token is not sent there") as caught:
        make_config().resolve(target, HERE, what=what)
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("host", "target", "what", "helps", "does_not"),
    [
        ("acme", "https://evil.example/", "next_url", 'add "evil.example" to', "host to it"),
        ("acme", "https://acme.custobar.com:8443/", "next_url", 'add "acme.custobar.com:8443" to', "host to it"),
        ("acme", "https://[::1]:8443/", "next_url", 'add "[::1]:8443" to', "host to it"),
        ("acme", "https://evil.example/", "A redirect", "connection's host to it", "trusted_hosts"),
        ("acme", "http://acme.custobar.com/", "next_url", "never sent without encryption", "trusted_hosts"),
        ("acme", "http://acme.custobar.com/", "A redirect", "never sent without encryption", "host to it"),
        ("acme", "http://app.custobar.com/", "next_url", "never sent without encryption", "trusted_hosts"),
        (
            "http://acme.custobar.com",
            "https://acme.custobar.com/",
            "next_url",
            "host to https://acme.custobar.com",
            "trusted_hosts",
        ),
        (
            "http://acme.custobar.com",
            "https://acme.custobar.com/",
            "A redirect",
            "host to https://acme.custobar.com",
            "host to it",
        ),
        ("acme", "https://user@acme.custobar.com/", "next_url", "a user's name", "trusted_hosts"),
        ("acme", "https://user@acme.custobar.com/", "A redirect", "a user's name", "host to it"),
        ("acme", "ftp://acme.custobar.com/", "next_url", "no address of the web", "trusted_hosts"),
        ("acme", "ftp://acme.custobar.com/", "A redirect", "no address of the web", "host to it"),
        ("acme", "file:///etc/passwd", "next_url", "no address of the web", "trusted_hosts"),
    ],
)
def test_only_advice_that_can_help_is_given(
    make_config: Callable[..., ClientConfig], *, host: str, target: str, what: str, helps: str, does_not: str
) -> None:
    """Rule: what is advised would let this very address through, or no setting could, and then none is named."""
    with pytest.raises(ProtocolError) as caught:
        make_config(host).resolve(target, HERE, what=what)
    assert helps in str(caught.value)
    assert does_not not in str(caught.value)


@pytest.mark.parametrize(
    "target", ["http://[::1", "https://acme.custobar.com:port/", "https://acme.custobar.com:99999/", "https://[evil]/"]
)
def test_an_unreadable_url_is_a_protocol_error(make_config: Callable[..., ClientConfig], target: str) -> None:
    """Rule: a server's broken URL ends in this package's own error that tells what it was, not in a bare ValueError."""
    with pytest.raises(ProtocolError, match="next_url"):
        make_config().resolve(target, HERE, what="next_url")


@pytest.mark.parametrize(
    ("trusted", "target", "allowed"),
    [
        ("app.custobar.com", "https://app.custobar.com/x", True),
        ("app.custobar.com", "https://APP.custobar.com:443/x", True),
        ("app.custobar.com", "https://app.custobar.com:8443/x", False),
        ("app.custobar.com:8443", "https://app.custobar.com:8443/x", True),
        ("app.custobar.com:8443", "https://app.custobar.com/x", False),
        ("app.custobar.com:443", "https://app.custobar.com/x", True),
        ("app.custobar.com", "http://app.custobar.com/x", False),
        ("app.custobar.com:80", "http://app.custobar.com/x", False),
        ("app.custobar.com", "https://evil.app.custobar.com/x", False),
        ("custobar.com", "https://app.custobar.com/x", False),
        ("app.custobar.com", "https://u@app.custobar.com/x", False),
        ("[::1]:8765", "https://[::1]:8765/x", True),
        ("[::1]:8765", "https://[0:0::1]:8765/x", True),
        ("[::1]:8765", "https://[::1]/x", False),
        ("::1", "https://[::1]/x", True),
        ("[2001:DB8::1]", "https://[2001:db8::1]/x", True),
        ("[::1]", "https://[::2]/x", False),
    ],
)
def test_trusted_hosts_are_exact_and_keep_the_scheme(
    make_config: Callable[..., ClientConfig], trusted: str, target: str, allowed: bool
) -> None:
    """Rule: a trusted host is that host on that port over the connection's own scheme, nothing wider."""
    config = make_config(trusted_hosts=trusted)
    if allowed:
        assert config.resolve(target, HERE, what="next_url") == target
    else:
        with pytest.raises(ProtocolError):
            config.resolve(target, HERE, what="next_url")


def test_trusted_hosts_are_for_next_pages_only(make_config: Callable[..., ClientConfig]) -> None:
    """Rule: a redirect to a trusted host is refused all the same."""
    config = make_config(trusted_hosts="app.custobar.com")
    with pytest.raises(ProtocolError, match="redirect"):
        config.resolve("https://app.custobar.com/x", HERE, what="A redirect")


def test_a_foreign_url_is_not_repeated_with_its_query(make_config: Callable[..., ClientConfig]) -> None:
    """Rule: messages name the foreign host but not its query, which may carry keys or data."""
    with pytest.raises(ProtocolError) as caught:
        make_config().resolve("https://u:pw@evil.example:81/p?key=abc123", HERE, what="next_url")
    assert "https://evil.example:81" in str(caught.value)
    assert "abc123" not in str(caught.value)
    assert "pw@" not in str(caught.value)
