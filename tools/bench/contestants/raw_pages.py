"""The bytes of all pages, one page after the other, in one session: nothing is looked at but the header with the next URL."""

from __future__ import annotations

from typing import Any

import requests

from tools.bench.order import Order
from tools.bench.page_server import NEXT_URL_HEADER

_CHUNK_BYTES = 1 << 20


class RawPages:
    """A file of the pages' bytes, of which ``read(n)`` is short at its end only: boto3 takes a short one for the end."""

    def __init__(self, order: Order) -> None:
        self._session = requests.Session()
        self._session.headers.update(order.headers)
        self._next_url: str | None = order.first_url
        self._body: Any = None

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer, but for the end."""
        filled = 0
        while filled < len(buffer):
            if self._body is None and not self._ask():
                break
            count = self._body.readinto(buffer[filled:])
            if count:
                filled += count
            else:
                self._body.release_conn()
                self._body = None
        return filled

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK_BYTES), b""))
        buffer = memoryview(bytearray(size))
        return bytes(buffer[: self.readinto(buffer)])

    def _ask(self) -> bool:
        if self._next_url is None:
            return False
        response = self._session.get(self._next_url, stream=True, timeout=60)
        response.raise_for_status()
        self._next_url = response.headers.get(NEXT_URL_HEADER)
        self._body = response.raw
        return True
