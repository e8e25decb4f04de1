"""The body of an answer: what compression is asked for, and the reading of it to its own end mark.

Neither urllib3 nor httpx looks for the end mark of a compressed stream, so one that stops early would pass for the whole.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping

#: What is asked for, and all that is read.
ACCEPT_ENCODING = "gzip, deflate"

_WITHOUT_CONTENT = (204, 205)
# How zlib calls the containers of a deflate stream (RFC 1950, 1951, 1952).
_ZLIB, _RAW, _GZIP = zlib.MAX_WBITS, -zlib.MAX_WBITS, zlib.MAX_WBITS | 16
# So much at once, in and out: a piece that inflates a thousandfold would be in memory beside the body.
_INPUT_BYTES = 64 * 1024
_OUTPUT_BYTES = 1 << 20
# What some servers write behind the end; it is no member, whole or cut.
_PADDING = b"\0 \t\r\n"
# As many as urllib3 takes; nobody means more.
_MOST_CODINGS = 5


class BodyError(ValueError):
    """A body that is not whole, or not what its Content-Encoding says."""


class Body:
    """Takes the bytes of one answer piece by piece, and gives its decoded body.

    The body is in memory once. ``headers`` are the answer's, names in lower case, and ``status`` its own.

    :raises BodyError: a coding that was not asked for; in :meth:`write` and :meth:`whole`, bytes that are not what the header
        says, and a stream without its end.
    """

    def __init__(self, headers: Mapping[str, str], status: int = 200) -> None:
        self._framed = _is_framed(headers)
        header = "" if status in _WITHOUT_CONTENT else headers.get("content-encoding", "")
        # Applied in the order of the header, so undone from its end.
        self._codings = [_Inflating(name) for name in reversed(_codings(header))]
        # Unlike a list of pieces joined at the end, this never holds a page twice.
        self._decoded = io.BytesIO()

    def write(self, piece: bytes) -> None:
        self._pass(piece, 0)

    def whole(self) -> bytes:
        for coding in self._codings:
            coding.check_end()
        return self._decoded.getvalue()

    @property
    def is_ended(self) -> bool:
        """Whether anything but the closing of the connection tells the end of a body that is whole."""
        return self._framed or bool(self._codings)

    def _pass(self, piece: bytes, place: int) -> None:
        if place == len(self._codings):
            if self._decoded.tell():
                self._decoded.write(piece)
            else:
                # The first piece, which mostly is the only one, is not copied.
                self._decoded = io.BytesIO(piece)
                self._decoded.seek(len(piece))
            return
        for decoded in self._codings[place].decode(piece):
            self._pass(decoded, place + 1)


class _Inflating:
    """One coding undone: gzip of one or more members, or deflate with or without zlib's header."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._start = b""
        self._stream = zlib.decompressobj(_GZIP) if name == "gzip" else None

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            for begin in range(0, len(data), _INPUT_BYTES):
                yield from self._inflate(data[begin : begin + _INPUT_BYTES])
        except zlib.error as error:
            raise BodyError(f"the {self._name} body is damaged: {error}") from None

    def check_end(self) -> None:
        if self._stream is None or not self._stream.eof:
            raise BodyError(f"the {self._name} body stops before its end mark")

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            # Servers send both, and two bytes tell which; no compressor begins a bare stream as zlib's header does.
            data, self._start = self._start + data, b""
            if len(data) < 2:
                self._start = data
                return
            self._stream = zlib.decompressobj(_ZLIB if _has_zlib_header(data) else _RAW)
        is_full = False
        while data or is_full:
            if self._stream.eof:
                data = data.lstrip(_PADDING)
                if not data:
                    return
                if self._name != "gzip":
                    raise BodyError(f"there is more behind the end mark of the {self._name} body")
                self._stream = zlib.decompressobj(_GZIP)
            decoded = self._stream.decompress(data, _OUTPUT_BYTES)
            data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            # A full piece may have left some of it inside.
            is_full = len(decoded) == _OUTPUT_BYTES and not self._stream.eof
            if decoded:
                yield decoded


def _codings(header: str) -> list[str]:
    names = [name.strip().lower() for name in header.split(",")]
    names = ["gzip" if name == "x-gzip" else name for name in names if name not in ("", "identity") and not _is_charset(name)]
    for name in names:
        if name not in ("gzip", "deflate"):
            raise BodyError(f"the body has the Content-Encoding {name[:40]!r}, which was not asked for")
    if len(names) > _MOST_CODINGS:
        raise BodyError(f"the body was compressed {len(names)} times over")
    return names


def _is_charset(name: str) -> bool:
    """Some servers write the charset here (S3 keeps whatever it was told), and mean no compression."""
    try:
        "".encode(name)
    except (LookupError, UnicodeError, ValueError):
        return False
    return True


def _has_zlib_header(data: bytes) -> bool:
    """RFC 1950: method 8, a window of 32 KiB at most, no preset dictionary, and a check sum over both bytes."""
    return data[0] & 15 == 8 and data[0] >> 4 <= 7 and not data[1] & 32 and (data[0] << 8 | data[1]) % 31 == 0


def _is_framed(headers: Mapping[str, str]) -> bool:
    """Whether a length or chunks tell where the bytes of the message end. The libraries raise where that is not kept."""
    lengths = {length.strip() for length in headers.get("content-length", "").split(",")}
    has_length = len(lengths) == 1 and lengths.pop().isdecimal()
    return has_length or headers.get("transfer-encoding", "").strip().lower() == "chunked"
