"""Identifiers that come more than once, found in memory that does not grow with the rows."""

from __future__ import annotations

import hashlib

#: 8 MiB of bits: of a million identifiers, some thousand are looked at twice for nothing.
_BITS = 1 << 26


class Duplicates:
    """Counts the rows whose identifier an earlier row had.

    All rows are checked before the first is sent: there, a bit for each identifier tells which may come again; here, these few
    are counted exactly.
    """

    def __init__(self) -> None:
        self._bits = bytearray(_BITS // 8)
        self._suspects: set[bytes] = set()
        self._seen: set[bytes] = set()
        self.count = 0

    def note(self, identity: str) -> None:
        """Once for every row, before the first :meth:`add`."""
        digest = _digest(identity)
        place = int.from_bytes(digest[:8]) % _BITS
        byte, bit = place >> 3, 1 << (place & 7)
        if self._bits[byte] & bit:
            self._suspects.add(digest)
        else:
            self._bits[byte] |= bit

    def add(self, identity: str) -> None:
        """Once for every row, in the same order."""
        digest = _digest(identity)
        if digest in self._suspects:
            if digest in self._seen:
                self.count += 1
            self._seen.add(digest)


def _digest(identity: str) -> bytes:
    return hashlib.blake2b(identity.encode(errors="surrogatepass"), digest_size=12).digest()
