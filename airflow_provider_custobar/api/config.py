"""A connection to one Custobar tenant, checked once and then frozen."""

from __future__ import annotations

import base64
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from airflow_provider_custobar.api.errors import InvalidArgumentError, ProtocolError
from airflow_provider_custobar.api.origin import DEFAULT_PORTS, Origin, in_url, ipv6, origin_of, place_of
from airflow_provider_custobar.api.service import CUSTOBAR, Service
from airflow_provider_custobar.api.windows import check_timezone

DEFAULT_REQUESTS_PER_MINUTE = 60.0
DEFAULT_TIMEOUT_SECONDS = 60.0
DEFAULT_MAX_ATTEMPTS = 8

_LAST_PORT = 65_535
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"^{_LABEL}(\.{_LABEL})*$")

# "app" is where tenants without a host of their own are (documentation of authentication).
_SHARED_HOSTS = frozenset({"app", "dev", "developers", "www"})


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """Where the API is, how to sign in, how fast to ask. Make it with :func:`config_from_connection`, which checks it.

    ``base_url`` is scheme, host and port without a path; ``authorization`` the whole header value, and ``secrets`` what of it
    no message may show. ``requests_per_minute`` is the most that one client starts, retries included. ``timezone``, an IANA
    name, says what a day is and what a time without an offset means; with ``trust_day_filter`` the API cuts days there, too.
    ``timeout`` is in seconds and bounds the connecting and each silence of the server; a request is tried ``max_attempts``
    times. ``test_path`` is what Test Connection asks for. To ``trusted_hosts`` (``host`` or ``host:port``) a next page may
    lead, and the token with it. ``verify`` is whether TLS certificates are checked, or the path of a bundle of authorities.
    """

    base_url: str
    authorization: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    requests_per_minute: float = DEFAULT_REQUESTS_PER_MINUTE
    timezone: str = "UTC"
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    test_path: str = CUSTOBAR.test_path
    trusted_hosts: tuple[str, ...] = ()
    verify: bool | str = True
    trust_day_filter: bool = False
    service: Service = field(default=CUSTOBAR, compare=False)

    @property
    def origin(self) -> Origin:
        return origin_of(self.base_url)

    @property
    def company(self) -> str | None:
        """The tenant's short name, with which its own fields begin, where the host tells it."""
        labels = self.origin[1].split(".")
        is_named = len(labels) == 3 and labels[1:] == ["custobar", "com"] and labels[0] not in _SHARED_HOSTS
        # A field's name has no hyphen, so what such a company's begin with is not known.
        return labels[0] if is_named and "-" not in labels[0] else None

    def url_for(self, path: str) -> str:
        return self.base_url + path

    def resolve(self, target: str, current: str, *, what: str) -> str:
        """The absolute URL that the server's ``target`` means, if the token may be sent there.

        The token belongs to the connection's own origin; ``trusted_hosts`` may add hosts for ``next_url``.

        :raises ProtocolError: the URL leaves the origin, or is none.
        """
        try:
            url = urljoin(current, target)
            parts = urlsplit(url)
            origin = origin_of(url)
        except ValueError as error:
            raise ProtocolError(f"{what} is not a URL ({error}): the answer is not to be trusted.") from None
        is_address = parts.scheme in DEFAULT_PORTS and bool(parts.hostname) and "@" not in parts.netloc
        if is_address and (origin == self.origin or (what == "next_url" and origin in map(origin_of, self.places()))):
            return url
        name = self.service.name
        if not is_address:
            kind = "It carries a user's name" if "@" in parts.netloc else "It is no address of the web"
            advice = f"{kind}: check that the connection's host is {name}'s, and that no proxy changes its answers."
        elif self.origin[0] == "https" != parts.scheme:
            advice = f"It is never sent without encryption: tell {name}, or who runs a proxy in front of it, to name https."
        elif parts.scheme != self.origin[0]:
            advice = f"Set the connection's host to {place_of(origin)}, if that is where {name} really answers."
        elif what == "next_url":
            host = place_of(origin).partition("://")[2]
            advice = f'If that host is {name}\'s, add "{host}" to the connection\'s extra "trusted_hosts".'
        else:
            advice = f"If that is the address that {name} really answers at, set the connection's host to it."
        raise ProtocolError(
            f"{what} points to {place_of(origin)}, not to {self.base_url}: the token is not sent there. {advice}"
        )

    def places(self) -> list[str]:
        """The scheme, host and port of everything that may be asked: the API itself, and the hosts that are trusted."""
        return [self.base_url, *(f"{self.origin[0]}://{host}" for host in self.trusted_hosts)]

    def redact(self, text: str) -> str:
        """``text`` without this connection's credentials."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def config_from_connection(
    *,
    host: str | None,
    schema: str | None = None,
    port: int | None = None,
    login: str | None = None,
    password: str | None = None,
    extra: Mapping[str, Any] | None = None,
    service: Service = CUSTOBAR,
) -> ClientConfig:
    """Build a :class:`ClientConfig` from the fields of an Airflow connection to ``service``.

    :raises InvalidArgumentError: names the field, its value and what is accepted; never shows the password.
    """
    extra = extra or {}
    authorization = _authorization(login, password, extra.get("auth_scheme"), service)
    return ClientConfig(
        base_url=base_url_of(host, schema, port, service),
        authorization=authorization,
        secrets=tuple(secret for secret in (authorization.partition(" ")[2], password) if secret),
        requests_per_minute=_number(extra, "requests_per_minute", DEFAULT_REQUESTS_PER_MINUTE),
        timezone=_timezone(extra.get("timezone")),
        timeout=_number(extra, "timeout", DEFAULT_TIMEOUT_SECONDS),
        max_attempts=_max_attempts(extra),
        test_path=_test_path(extra.get("test_path"), service),
        trusted_hosts=_trusted_hosts(extra.get("trusted_hosts")),
        verify=_verify(extra.get("verify")),
        trust_day_filter=_flag(extra, "trust_day_filter"),
        service=service,
    )


def base_url_of(host: str | None, schema: str | None, port: int | None, service: Service) -> str:
    """Scheme, host and port of what a connection's fields name.

    :raises InvalidArgumentError: names the field, its value and what is accepted.
    """
    named = f"{service.example}.{service.domain}"
    accepted = (
        f"give the {service.tenant}'s short name ({service.example}), a host name ({named}) or a base URL (https://{named})"
    )
    text = (host or "").strip()
    if not text:
        raise InvalidArgumentError("host", host, accepted)
    if "@" in text:
        raise InvalidArgumentError("host", None, "put credentials into login and password, not into the host", secret=True)
    if port is not None and not 1 <= port <= _LAST_PORT:
        raise InvalidArgumentError("port", port, f"give a number from 1 to {_LAST_PORT}")
    scheme = (schema or "https").strip().lower()
    if scheme not in DEFAULT_PORTS:
        raise InvalidArgumentError("schema", schema, "give https (the default) or http")
    if "://" not in text:
        text = f"{scheme}://{text}"
    # Airflow takes the brackets away when it reads a connection from a URI.
    start, slash, path = text.partition("://")[2].partition("/")
    if ipv6(start):
        text = f"{text.partition('://')[0]}://[{start}]{slash}{path}"
    try:
        parts = urlsplit(text)
        name, own_port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InvalidArgumentError("host", host, accepted) from error
    is_ipv6 = bool(ipv6(name)) and re.fullmatch(r"\[[^]]*\](:\d*)?", parts.netloc) is not None
    name = ipv6(name) or name
    if (
        parts.scheme not in DEFAULT_PORTS
        or not (is_ipv6 or _HOST.match(name))
        or parts.path.rstrip("/") not in ("", "/api")
        or parts.query
        or parts.fragment
    ):
        raise InvalidArgumentError("host", host, accepted)
    final_port = own_port or port
    # A bare word is a tenant's short name, unless a scheme or an unusual port shows that it is a host of a local network.
    is_bare = "." not in name and not is_ipv6 and name != "localhost" and "://" not in (host or "")
    if is_bare and final_port in (None, DEFAULT_PORTS[parts.scheme]):
        name = f"{name}.{service.domain}"
    return f"{parts.scheme}://{in_url(name)}" + (f":{final_port}" if final_port else "")


def _authorization(login: str | None, password: str | None, scheme: object, service: Service) -> str:
    if not password:
        raise InvalidArgumentError("password", None, service.password_advice, secret=True)
    if login:
        # RFC 7617; Custobar takes a user's own name and password for occasional use, Spiffy Stores a private app's.
        return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode("ascii")
    if not re.fullmatch(r"[!-~]+", password):
        raise InvalidArgumentError(
            "password", None, "an API token has no spaces, line ends or non-ASCII letters: copy it again", secret=True
        )
    wanted = str(scheme or service.auth_schemes[0])
    for known in service.auth_schemes:
        if wanted.lower() == known.lower():
            return f"{known} {password}"
    raise InvalidArgumentError(
        "extra auth_scheme",
        scheme,
        f"give {' or '.join(service.auth_schemes)}; HTTP Basic is chosen by filling in the login",
    )


def _number(extra: Mapping[str, Any], name: str, default: float) -> float:
    value = extra.get(name)
    if value is None or value == "":
        return default
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not (math.isfinite(number) and number > 0):
        raise InvalidArgumentError(f"extra {name}", value, "give a number above zero")
    return number


def _max_attempts(extra: Mapping[str, Any]) -> int:
    attempts = _number(extra, "max_attempts", DEFAULT_MAX_ATTEMPTS)
    if attempts != int(attempts):
        raise InvalidArgumentError("extra max_attempts", extra.get("max_attempts"), "give a whole number above zero")
    return int(attempts)


def _timezone(value: object) -> str:
    return check_timezone("extra timezone", value or "UTC")


def _test_path(value: object, service: Service) -> str:
    path = str(value or service.test_path)
    if not path.startswith("/") or path.startswith("//"):
        raise InvalidArgumentError(
            "extra test_path", value, "give a path that starts with one slash, such as /api/data/events/"
        )
    return path


def _trusted_hosts(value: object) -> tuple[str, ...]:
    hosts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value or []
    if not isinstance(hosts, (list, tuple)) or not all(isinstance(host, str) for host in hosts):
        raise InvalidArgumentError("extra trusted_hosts", value, "give a list of host or host:port")
    return tuple(_trusted_host(host.lower()) for host in hosts if host)


def _trusted_host(host: str) -> str:
    if ipv6(host):
        return in_url(ipv6(host))
    bracketed = re.fullmatch(r"\[([^]]*)\](?::(.*))?", host)
    name, port = (ipv6(bracketed[1]), bracketed[2]) if bracketed else host.split(":", 1) if ":" in host else (host, None)
    is_name = bool(name) if bracketed else bool(_HOST.match(name))
    is_port = port is None or (port.isdecimal() and 1 <= int(port) <= _LAST_PORT)
    if not (is_name and is_port):
        raise InvalidArgumentError("extra trusted_hosts", host, "give a list of host or host:port, without scheme or path")
    return in_url(name) + (f":{port}" if port else "")


def _flag(extra: Mapping[str, Any], name: str) -> bool:
    value = extra.get(name)
    # An environment variable in URI form gives texts.
    known = {None: False, "": False, True: True, False: False, "true": True, "false": False}
    key = value.lower() if isinstance(value, str) else value
    if not isinstance(key, (str, bool, type(None))) or key not in known:
        raise InvalidArgumentError(f"extra {name}", value, "give true or false")
    return known[key]


def _verify(value: object) -> bool | str:
    if value is None or value == "":
        return True
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        known = {"true": True, "false": False}.get(value.lower())
        if known is not None:
            return known
        if os.path.exists(value):  # noqa: PTH110 - Path's own raises where the text is too long for a path
            return value
    raise InvalidArgumentError("extra verify", value, "give true, false or the path of a CA bundle that exists")
