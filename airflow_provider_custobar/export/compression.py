"""Files made smaller on their way out."""

from __future__ import annotations

import zlib
from pathlib import PurePosixPath
from typing import Literal, Protocol

from airflow_provider_custobar.api.errors import InvalidArgumentError

Compression = Literal["gzip", "infer"] | None
COMPRESSIONS: tuple[Compression, ...] = ("gzip", "infer", None)

# Level 1 costs two fifths of the default level's CPU for a tenth more bytes; an export waits for the CPU, not the store.
_GZIP_LEVEL = 1
# A gzip header and trailer around deflate; zlib writes no time stamp, so that the same rows give the same bytes.
_GZIP_WINDOW = 31

_BY_ENDING: dict[str, Literal["gzip"]] = {".gz": "gzip", ".gzip": "gzip"}

_UNKNOWN_ENDINGS = frozenset({".zst", ".zstd", ".bz2", ".xz", ".lz4", ".br", ".snappy", ".zip"})


class Compressor(Protocol):
    """``compress`` for each piece in order, then ``flush`` once."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class NoCompression:
    """Bytes as they are."""

    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def resolve_compression(compression: Compression, name: str) -> Literal["gzip"] | None:
    """What ``infer`` means for an object of this name.

    :raises InvalidArgumentError: the ending promises a compression that there is none of here.
    """
    if compression != "infer":
        return compression
    ending = PurePosixPath(name).suffix.lower()
    if ending in _UNKNOWN_ENDINGS:
        raise InvalidArgumentError(
            "compression", compression, f"names ending in {ending} promise what is not offered; use .gz, or compression=None"
        )
    return _BY_ENDING.get(ending)


def content_type_of(compression: Literal["gzip"] | None) -> str | None:
    """The media type of a compressed file. It is not told as Content-Encoding: some clients would unpack it on the way."""
    return "application/gzip" if compression else None


def make_compressor(compression: Literal["gzip"] | None) -> Compressor:
    if compression == "gzip":
        return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return NoCompression()
