"""Answers as the sync client's library reads them, with three things put right that http.client takes too lightly.

An interim answer (1xx, such as 103 Early Hints) is not the answer: http.client knows only 100 as one, and leaves what follows
on the connection, where it would pass for the answer to the next request. A line that the end of the connection cut short is
no line: half a header, or half the size of a chunk ("00" of "00f0"), would be taken as it stands. And a body that goes on
behind its Content-Length was not measured in bytes: servers that count characters cut as many bytes off as there are umlauts.
"""

from __future__ import annotations

import http.client
import io
import ssl
from typing import Any

import requests

_MOST_INTERIM = 100


class _Socket(io.RawIOBase):
    """A connection that can be told to be at its end."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        return 0 if self.is_over else self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Lines(io.BufferedReader):
    """Bytes of a connection, of which only whole lines are lines. Once closed, ``rest`` is what came and was not read."""

    rest = b""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._socket = _Socket(raw)
        super().__init__(self._socket)

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(-1 if size is None else size)
        if not line.endswith(b"\n") and len(line) != size:
            # What http.client raises where the status line does not come at all.
            raise http.client.RemoteDisconnected("the connection ended before the answer did")
        return line

    def close(self) -> None:
        if not self.closed:
            self._socket.is_over = True
            self.rest = self.peek()
        super().close()


class FinalResponse(http.client.HTTPResponse):
    """The answer that ends the exchange, after any interim ones."""

    fp: Any
    headers: Any
    msg: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp = _Lines(self.fp.detach())

    def read(self, amt: int | None = None) -> bytes:
        fp = self.fp
        data = super().read(amt)
        is_at_end = fp is not None and self.fp is None and not self.chunked and "content-length" in self.headers
        # An answer to nobody, such as the 408 before an idle connection is closed, is no part of this one.
        if is_at_end and fp.rest.strip() and not fp.rest.lstrip().startswith(b"HTTP/"):
            raise http.client.HTTPException("there is more of the body than its Content-Length says")
        return data

    def begin(self) -> None:
        for _ in range(_MOST_INTERIM):
            super().begin()
            if self.status == http.client.SWITCHING_PROTOCOLS:
                raise http.client.HTTPException("the server changed the protocol without being asked to")
            if self.status >= 200:
                return
            # Without these, the next one is not read.
            self.headers = self.msg = None
        raise http.client.HTTPException(f"more than {_MOST_INTERIM} interim answers")


class FinalResponseAdapter(requests.adapters.HTTPAdapter):
    """Lets every connection, through a proxy or not, read answers as :class:`FinalResponse` and check certificates by ``tls``.

    What it overrides are the places that requests documents for it.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__()

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._tls}

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        if pool.ConnectionCls.response_class is not FinalResponse:
            pool.ConnectionCls = type("Connection", (pool.ConnectionCls,), {"response_class": FinalResponse})
        return pool

    def proxy_manager_for(self, proxy: Any, **settings: Any) -> Any:
        if not proxy.startswith("socks"):
            settings["proxy_ssl_context"] = self._tls
        return super().proxy_manager_for(proxy, **settings)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the connection as it is: its context knows the authorities."""
