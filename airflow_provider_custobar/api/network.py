"""The way to the servers of one connection, worked out once for both clients: which proxies, which certificates.

The environment is read as requests reads it: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` in upper or
lower case, ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE``, and no other variable. NO_PROXY may also name IPv6 addresses and
networks.
"""

from __future__ import annotations

import base64
import importlib.util
import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import requests
import urllib3

from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import CertificateError, InvalidArgumentError, TransportError
from airflow_provider_custobar.api.origin import Origin, ipv6, origin_of

_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SCHEMES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True, slots=True)
class Proxy:
    """``url`` may hold credentials; :func:`str` names the proxy without them, and where it comes from."""

    url: str = field(repr=False)
    variable: str

    def __str__(self) -> str:
        return f"the proxy {_without_user(urlsplit(self.url))} of {self.variable}"


@dataclass(frozen=True)
class Network:
    """``proxies`` holds the places that are reached through one, by scheme, host and port."""

    config: ClientConfig
    proxies: Mapping[Origin, Proxy]

    def proxy_for(self, url: str) -> Proxy | None:
        return self.proxies.get(origin_of(url))

    def error(self, url: str, cause: str, *, may_have_arrived: bool) -> TransportError:
        """Why no complete answer came from ``url``, and what to do about it; ``cause`` is what a library says."""
        cause = self._redact(self.config.redact(cause))
        place, proxy = self.config.base_url, self.proxy_for(url)
        way = f" through {proxy}" if proxy else ""
        if "CERTIFICATE_VERIFY_FAILED" in cause:
            message = f"The certificate of {place}{way} is not trusted ({cause}): {self._certificate_advice(cause)}."
            return CertificateError(message, may_have_arrived=False)
        named = f"{proxy.variable}, the connection's host" if proxy else "the connection's host"
        patience = ', its extra "timeout"' if "timed out" in cause.lower() or "Timeout" in cause else ""
        message = f"No complete answer from {place}{way} ({cause}): check {named}{patience}, and the network."
        return TransportError(message, may_have_arrived=may_have_arrived)

    def _certificate_advice(self, cause: str) -> str:
        name, path = _ca_bundle(self.config)
        if "expired" in cause or "not yet valid" in cause:
            return "check the clock of this machine, else tell whoever runs that server"
        if "mismatch" in cause:
            return "check the connection's host"
        if name:
            return f"check the connection's host, and whether {name}={path} holds the authority that signed it"
        return (
            "check the connection's host; a CA bundle of your own goes into the connection's extra \"verify\", or into"
            " REQUESTS_CA_BUNDLE"
        )

    def _redact(self, text: str) -> str:
        for proxy in self.proxies.values():
            for secret in _secrets(urlsplit(proxy.url)):
                text = text.replace(secret, "***")
        return text


def network_of(config: ClientConfig) -> Network:
    """How the environment, as it is now, has the servers of a connection reached.

    :raises InvalidArgumentError: names the variable of a proxy that cannot be used.
    """
    routes = {origin_of(place): _proxy(place) for place in config.places()}
    return Network(config, {origin: proxy for origin, proxy in routes.items() if proxy})


def tls_context(config: ClientConfig) -> ssl.SSLContext:
    """What checks the servers' certificates. Reading the authorities' certificates takes tens of milliseconds.

    :raises InvalidArgumentError: names the extra, or the variable, of a CA bundle that cannot be read.
    """
    if config.verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    name, path = _ca_bundle(config)
    is_folder = os.path.isdir(path)  # noqa: PTH112 - Path's own raises where the text is too long for a path
    try:
        if is_folder or _uses_tls(config):
            return ssl.create_default_context(capath=path if is_folder else None, cafile=None if is_folder else path)
        # Nobody waits for certificates that are not used, but a wrong path is told all the same.
        if b"-----BEGIN" not in Path(path).read_bytes():
            raise ValueError("no certificate in it")
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(name or "certifi", path, f"it is no readable CA bundle in PEM form ({error})") from None
    # Trusts nobody.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _uses_tls(config: ClientConfig) -> bool:
    return config.origin[0] == "https" or any(proxy.url.startswith("https") for proxy in network_of(config).proxies.values())


def _ca_bundle(config: ClientConfig) -> tuple[str, str]:
    """The bundle's path, and the name of what asks for it; an empty one for requests' own bundle."""
    if isinstance(config.verify, str):
        return "extra verify", config.verify
    for variable in _CA_VARIABLES:
        if path := os.environ.get(variable):
            return variable, path
    return "", requests.utils.DEFAULT_CA_BUNDLE_PATH


def _proxy(url: str) -> Proxy | None:
    proxies = requests.utils.get_environ_proxies(url)
    value = requests.utils.select_proxy(url, proxies)
    if not value or _is_exempt_ipv6(url):
        return None
    variable = _variable(url, value)
    value = value.strip() if "://" in value else f"http://{value.strip()}"
    try:
        # requests is stricter in some points, and urlsplit in others.
        urllib3.util.parse_url(value)
        parts = urlsplit(value)
        host = parts.hostname or ""
        # As it is asked for in the DNS: neither an empty part nor one of more than 63 bytes.
        host.encode("idna")
        is_host = bool(ipv6(host) or re.fullmatch(r"[\w.-]+", host))
        is_url = is_host and parts.port != 0 and not re.search(r"\s", value)
    except (ValueError, urllib3.exceptions.LocationParseError):
        is_url = False
    if not is_url:
        # Nothing of it is shown: what is no URL may hold a password anywhere.
        raise InvalidArgumentError(
            variable,
            None,
            "give http://host:port, with user:password@ before the host if the proxy asks for them, and with special"
            " characters in these percent-encoded",
            secret=True,
        )
    scheme = parts.scheme.lower()
    if scheme not in _SCHEMES:
        raise InvalidArgumentError(variable, _without_user(parts), f"give a proxy of the kind {', '.join(_SCHEMES)}")
    if scheme.startswith("socks") and not all(importlib.util.find_spec(name) for name in ("socks", "socksio")):
        raise InvalidArgumentError(
            variable, _without_user(parts), "a SOCKS proxy needs: pip install 'requests[socks]' 'httpx[socks]'"
        )
    return Proxy(parts._replace(scheme=scheme).geturl(), variable)


def _variable(url: str, value: str) -> str:
    """The name of the variable that ``value`` comes from, which may be written in any case."""
    wanted = [f"{scheme}_proxy" for scheme in (urlsplit(url).scheme, "all")]
    # As urllib does it, lower case first.
    names = sorted((name for name in os.environ if name.lower() in wanted and os.environ[name] == value), key=str.isupper)
    return min(names, key=lambda name: wanted.index(name.lower()), default="the system's proxy settings")


def _is_exempt_ipv6(url: str) -> bool:
    """Whether NO_PROXY names this IPv6 address or its network, with or without brackets and port."""
    _, host, port = origin_of(url)
    if ":" not in host:
        return False
    for entry in (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").replace(" ", "").split(","):
        name, _, own_port = entry.rpartition("]:") if "]:" in entry else (entry, "", "")
        try:
            network = ipaddress.ip_network(name.replace("[", "").replace("]", ""), strict=False)
        except ValueError:
            continue
        if ipaddress.ip_address(host) in network and own_port in ("", str(port)):
            return True
    return False


def _without_user(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _secrets(parts: SplitResult) -> list[str]:
    """The user's name and password, in every spelling that a library may come to show."""
    user, password = parts.username or "", parts.password or ""
    pairs = [f"{user}:{password}", f"{unquote(user)}:{unquote(password)}"]
    encoded = [base64.b64encode(pair.encode()).decode("ascii") for pair in pairs]
    alone = [password, unquote(password)] if password else [user, unquote(user)]
    return [*pairs, *encoded, *alone] if user or password else []
