"""A connection: every way to write it, and what is refused."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Callable
from ipaddress import IPv6Address

import pytest

from airflow_provider_custobar.api.config import ClientConfig, config_from_connection
from airflow_provider_custobar.api.errors import InvalidArgumentError

TOKEN = "APIQQQQWWWWEEEERRRRTTTTYYYYUUUUIIIIOOOO1"


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"host": "acme"}, "https://acme.custobar.com"),
        ({"host": " acme "}, "https://acme.custobar.com"),
        ({"host": "Acme-2"}, "https://acme-2.custobar.com"),
        ({"host": "acme", "schema": "http"}, "http://acme.custobar.com"),
        ({"host": "acme", "schema": " HTTPS "}, "https://acme.custobar.com"),
        ({"host": "acme", "schema": "", "port": None}, "https://acme.custobar.com"),
        ({"host": "acme", "port": 443}, "https://acme.custobar.com:443"),
        ({"host": "sandbox", "port": 8765}, "https://sandbox:8765"),
        ({"host": "acme.custobar.com"}, "https://acme.custobar.com"),
        ({"host": "ACME.Custobar.COM"}, "https://acme.custobar.com"),
        ({"host": "app.custobar.com/"}, "https://app.custobar.com"),
        ({"host": "acme.custobar.com/api/"}, "https://acme.custobar.com"),
        ({"host": "crm.example.com:8443"}, "https://crm.example.com:8443"),
        ({"host": "https://acme.custobar.com"}, "https://acme.custobar.com"),
        ({"host": "https://acme.custobar.com/api"}, "https://acme.custobar.com"),
        ({"host": "HTTPS://acme.custobar.com/"}, "https://acme.custobar.com"),
        ({"host": "http://127.0.0.1:8765"}, "http://127.0.0.1:8765"),
        ({"host": "127.0.0.1", "schema": "http", "port": 8765}, "http://127.0.0.1:8765"),
        ({"host": "http://sandbox:8765"}, "http://sandbox:8765"),
        ({"host": "http://localhost", "port": 8765}, "http://localhost:8765"),
        ({"host": "localhost", "schema": "http", "port": 8765}, "http://localhost:8765"),
        ({"host": "http://[::1]:8765"}, "http://[::1]:8765"),
        ({"host": "[::1]", "schema": "http", "port": 8765}, "http://[::1]:8765"),
        ({"host": "::1", "schema": "http", "port": 8765}, "http://[::1]:8765"),
        ({"host": "::1"}, "https://[::1]"),
        ({"host": "http://::1", "port": 8765}, "http://[::1]:8765"),
        ({"host": "2001:DB8:0::1", "port": 8443}, "https://[2001:db8::1]:8443"),
        ({"host": "https://[2001:db8::0001]:8443/api/"}, "https://[2001:db8::1]:8443"),
        # Pythons write it in different ways.
        ({"host": "::ffff:10.0.0.1"}, f"https://[{IPv6Address('::ffff:10.0.0.1')}]"),
    ],
)
def test_each_way_to_name_the_host(fields: dict[str, object], base_url: str) -> None:
    """Rule: a short name, a host name and a base URL, with schema and port, all name one origin."""
    config = config_from_connection(password=TOKEN, **fields)  # type: ignore[arg-type]
    assert config.base_url == base_url
    assert config.url_for("/api/data/events/") == f"{base_url}/api/data/events/"


def test_defaults() -> None:
    """Rule: a host and a token are enough; the rest has the documented defaults."""
    config = config_from_connection(host="acme", password=TOKEN)
    assert config.authorization == f"Token {TOKEN}"
    assert config.requests_per_minute == 60
    assert config.timezone == "UTC"
    assert config.trusted_hosts == ()
    assert config.verify is True
    assert 0 < config.timeout < 3600
    assert config.max_attempts > 1
    assert config.test_path == "/api/data/customers/?limit=1&fields=external_id"


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, f"Token {TOKEN}"),
        ({"auth_scheme": None}, f"Token {TOKEN}"),
        ({"auth_scheme": ""}, f"Token {TOKEN}"),
        ({"auth_scheme": "Token"}, f"Token {TOKEN}"),
        ({"auth_scheme": "token"}, f"Token {TOKEN}"),
        ({"auth_scheme": "Bearer"}, f"Bearer {TOKEN}"),
        ({"auth_scheme": "BEARER"}, f"Bearer {TOKEN}"),
    ],
)
def test_the_token_is_sent_with_the_scheme_that_was_chosen(extra: dict[str, object], expected: str) -> None:
    """Rule: Token is the default, Bearer can be chosen, and the word goes out capitalised."""
    assert config_from_connection(host="acme", password=TOKEN, extra=extra).authorization == expected


def test_a_login_means_basic_authentication() -> None:
    """Rule: with a login the password is that user's, and HTTP Basic in UTF-8 is chosen."""
    config = config_from_connection(host="acme", login="teppo", password="sala sänä: 1")
    scheme, _, encoded = config.authorization.partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded).decode() == "teppo:sala sänä: 1"


def test_extras_are_read_from_the_texts_of_a_form_as_from_json() -> None:
    """Rule: numbers and switches may be texts, because Airflow's connection form makes texts of them; empty means default."""
    texts = {
        "requests_per_minute": "90.5",
        "timeout": "12",
        "max_attempts": "3",
        "verify": "False",
        "timezone": "Europe/Helsinki",
    }
    config = config_from_connection(host="acme", password=TOKEN, extra=texts)
    assert (config.requests_per_minute, config.timeout, config.max_attempts) == (90.5, 12.0, 3)
    assert isinstance(config.max_attempts, int)
    assert config.verify is False
    assert config.timezone == "Europe/Helsinki"
    assert config_from_connection(host="acme", password=TOKEN, extra=dict.fromkeys(texts, "")) == config_from_connection(
        host="acme", password=TOKEN
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ()),
        ("", ()),
        ([], ()),
        ("app.custobar.com", ("app.custobar.com",)),
        ("App.custobar.com, 10.0.0.1:8080", ("app.custobar.com", "10.0.0.1:8080")),
        (["a.example", "b.example:81"], ("a.example", "b.example:81")),
    ],
)
def test_trusted_hosts_are_a_list_or_a_text_with_commas(given: object, expected: tuple[str, ...]) -> None:
    """Rule: trusted_hosts is a list of host or host:port, also written as one text."""
    assert config_from_connection(host="acme", password=TOKEN, extra={"trusted_hosts": given}).trusted_hosts == expected


@pytest.mark.parametrize("given", [True, "true", "True", None])
def test_verify_is_on_unless_turned_off(given: object) -> None:
    """Rule: TLS is verified unless somebody turns it off in so many words; a path names a CA bundle."""
    assert config_from_connection(host="acme", password=TOKEN, extra={"verify": given}).verify is True
    assert config_from_connection(host="acme", password=TOKEN, extra={"verify": __file__}).verify == __file__


BAD: list[tuple[dict[str, object], str, str, str]] = [
    # fields, name in the message, value in the message, a word of what is accepted
    ({"host": None}, "host", "None", "short name"),
    ({"host": "  "}, "host", "' '", "short name"),
    ({"host": "ac me"}, "host", "ac me", "short name"),
    ({"host": "ftp://acme.custobar.com"}, "host", "ftp://acme", "short name"),
    ({"host": "https://"}, "host", "https://", "base URL"),
    ({"host": "https://acme.custobar.com/data"}, "host", "/data", "base URL"),
    ({"host": "https://acme.custobar.com/?x=1"}, "host", "x=1", "base URL"),
    ({"host": "https://acme.custobar.com/#top"}, "host", "#top", "base URL"),
    ({"host": "acme:port"}, "host", "acme:port", "host name"),
    ({"host": "acme..com"}, "host", "acme..com", "host name"),
    ({"host": "http://[::1"}, "host", "[::1", "base URL"),
    ({"host": "acme", "schema": "ftp"}, "schema", "ftp", "https"),
    ({"host": "acme", "port": 99999}, "port", "99999", "65535"),
    ({"host": "acme", "port": -1}, "port", "-1", "65535"),
    ({"host": "acme", "extra": {"auth_scheme": "Basic"}}, "auth_scheme", "Basic", "login"),
    ({"host": "acme", "extra": {"auth_scheme": "Bearer "}}, "auth_scheme", "Bearer ", "Bearer"),
    ({"host": "acme", "extra": {"requests_per_minute": 0}}, "requests_per_minute", "0", "above zero"),
    ({"host": "acme", "extra": {"requests_per_minute": "-5"}}, "requests_per_minute", "-5", "above zero"),
    ({"host": "acme", "extra": {"requests_per_minute": "fast"}}, "requests_per_minute", "fast", "number"),
    ({"host": "acme", "extra": {"requests_per_minute": True}}, "requests_per_minute", "True", "number"),
    ({"host": "acme", "extra": {"requests_per_minute": "nan"}}, "requests_per_minute", "nan", "number"),
    ({"host": "acme", "extra": {"requests_per_minute": [60]}}, "requests_per_minute", "[60]", "number"),
    ({"host": "acme", "extra": {"timeout": "inf"}}, "timeout", "inf", "number"),
    ({"host": "acme", "extra": {"timeout": 10**400}}, "timeout", "1000", "number"),
    ({"host": "acme", "extra": {"max_attempts": 2.5}}, "max_attempts", "2.5", "whole number"),
    ({"host": "acme", "extra": {"max_attempts": 0}}, "max_attempts", "0", "above zero"),
    ({"host": "acme", "extra": {"timezone": "Europe/Helsinky"}}, "timezone", "Europe/Helsinky", "'Europe/Helsinki'"),
    ({"host": "acme", "extra": {"timezone": "Europe"}}, "timezone", "Europe", "IANA"),
    ({"host": "acme", "extra": {"timezone": "../../etc/passwd"}}, "timezone", "etc/passwd", "IANA"),
    ({"host": "acme", "extra": {"timezone": 2}}, "timezone", "2", "IANA"),
    ({"host": "acme", "extra": {"test_path": "api/data/"}}, "test_path", "api/data/", "slash"),
    ({"host": "acme", "extra": {"test_path": "//evil.example/"}}, "test_path", "evil.example", "slash"),
    ({"host": "acme", "extra": {"test_path": "https://evil.example/"}}, "test_path", "evil.example", "slash"),
    ({"host": "acme", "extra": {"trusted_hosts": {"a": 1}}}, "trusted_hosts", "'a': 1", "host:port"),
    ({"host": "acme", "extra": {"trusted_hosts": [7]}}, "trusted_hosts", "7", "host:port"),
    ({"host": "acme", "extra": {"trusted_hosts": "https://a.example"}}, "trusted_hosts", "https://a.example", "scheme"),
    ({"host": "acme", "extra": {"trusted_hosts": ["a.example/x"]}}, "trusted_hosts", "a.example/x", "host"),
    ({"host": "acme", "extra": {"trusted_hosts": ["a.example:x"]}}, "trusted_hosts", "a.example:x", "host"),
    ({"host": "acme", "extra": {"trusted_hosts": ["*"]}}, "trusted_hosts", "*", "host"),
    ({"host": "acme", "extra": {"verify": 1}}, "verify", "1", "CA bundle"),
    ({"host": "acme", "extra": {"verify": "/no/such.pem"}}, "verify", "/no/such.pem", "CA bundle"),
    ({"host": "acme", "extra": {"verify": "yes"}}, "verify", "yes", "CA bundle"),
    ({"host": "acme", "extra": {"verify": "-----BEGIN CERTIFICATE-----" * 300}}, "verify", "BEGIN", "CA bundle"),
]


@pytest.mark.parametrize(("fields", "name", "value", "accepted"), BAD, ids=lambda part: str(part)[:60])
def test_a_bad_connection_names_field_value_and_what_is_accepted(
    fields: dict[str, object], name: str, value: str, accepted: str
) -> None:
    """Rule: wrong input fails at once, naming the field, what was given and what is accepted; never the password."""
    with pytest.raises(InvalidArgumentError) as caught:
        config_from_connection(password=TOKEN, **fields)  # type: ignore[arg-type]
    message = str(caught.value)
    assert name in message.partition("=")[0]
    assert value in message
    assert accepted in message
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "password", [None, "", "   ", "two words", "copied\n", " API123", "API123\r", "tökeni", "API\x00123"], ids=repr
)
def test_a_password_that_cannot_be_a_token_is_refused_without_showing_it(password: str | None) -> None:
    """Rule: a missing or mis-copied token is found before any request, and is not shown."""
    with pytest.raises(InvalidArgumentError, match="password") as caught:
        config_from_connection(host="acme", password=password)
    assert caught.value.value is None
    assert "token" in str(caught.value)
    if password and password.strip():
        assert password.strip() not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "https://teppo:hunter2@acme.custobar.com",
        "teppo:hunter2@acme.custobar.com",
        "https://hunter2@acme.custobar.com",
        "https://teppo:hunter2@acme.custobar.com/some/path",
        "https://teppo:hunter2@acme_oy.custobar.com",
        "https://teppo:hunter2@acme.custobar.com:port",
        "ftp://teppo:hunter2@acme.custobar.com",
    ],
)
def test_credentials_in_the_host_are_refused_and_never_shown(host: str) -> None:
    """Rule: a password is in no message, not even one that somebody wrote into the host."""
    with pytest.raises(InvalidArgumentError, match="host") as caught:
        config_from_connection(host=host, password=TOKEN)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in repr(caught.value)
    assert "hunter2" not in str(caught.value.value)


@pytest.mark.parametrize("login", [None, "teppo"])
def test_no_text_form_of_a_configuration_holds_the_credentials(login: str | None) -> None:
    """Rule: repr and str of a configuration show neither the token nor its Basic encoding."""
    config = config_from_connection(host="acme", login=login, password=TOKEN)
    encoded = config.authorization.partition(" ")[2]
    for text in (repr(config), str(config), f"{config}"):
        assert TOKEN not in text
        assert encoded not in text


@pytest.mark.parametrize("login", [None, "teppo"])
def test_redaction_covers_the_header_value_and_the_password(
    make_config: Callable[..., ClientConfig], login: str | None
) -> None:
    """Rule: whatever a server echoes, neither the header's value nor the bare password survives redaction."""
    config = make_config(password=TOKEN, login=login)
    redacted = config.redact(f"got {config.authorization} and {TOKEN}, refused")
    assert TOKEN not in redacted
    assert config.authorization.partition(" ")[2] not in redacted
    assert redacted.startswith("got ")
    assert redacted.endswith("refused")
