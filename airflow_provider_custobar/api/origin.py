"""Where a URL leads: scheme, host and port, however they are spelt."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]


def origin_of(url: str) -> Origin:
    """Scheme, host and port of ``url``. An IPv6 host has no brackets here.

    :raises ValueError: it is no URL.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme, ipv6(host) or host, parts.port or DEFAULT_PORTS.get(parts.scheme, 0)


def place_of(origin: Origin) -> str:
    """The shortest URL of ``origin``."""
    scheme, host, port = origin
    return f"{scheme}://{in_url(host)}" + (f":{port}" if port not in (0, DEFAULT_PORTS.get(scheme)) else "")


def ipv6(text: str) -> str:
    """The IPv6 address ``text`` in its canonical spelling; empty where it is none."""
    try:
        return ipaddress.IPv6Address(text).compressed
    except ValueError:
        return ""


def in_url(host: str) -> str:
    """``host`` as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
