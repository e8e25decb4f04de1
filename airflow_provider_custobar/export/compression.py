"""Files made smaller on their way out."""

from __future__ import annotations

import zlib
from pathlib import PurePosixPath
from types import ModuleType
from typing import Literal

from airflow_provider_custobar.api.errors import InvalidArgumentError, MissingExtraError

Codec = Literal["gzip", "zstd"] | None
Compression = Literal["gzip", "zstd", "infer"] | None
COMPRESSIONS: tuple[Compression, ...] = ("gzip", "zstd", "infer", None)

# Level 1 costs two fifths of the default level's CPU for a tenth more bytes; an export waits for the CPU, not the store.
_GZIP_LEVEL = 1
_ZSTD_LEVEL = 1
# A gzip header and trailer around deflate; zlib writes no time stamp, so that the same rows give the same bytes.
_GZIP_WINDOW = 31

_BY_ENDING: dict[str, Codec] = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_CONTENT_TYPES: dict[Codec, str | None] = {"gzip": "application/gzip", "zstd": "application/zstd", None: None}

_UNKNOWN_ENDINGS = frozenset({".bz2", ".xz", ".lz4", ".br", ".snappy", ".zip"})


def resolve_compression(compression: Compression, name: str) -> Codec:
    """What ``infer`` means for an object of this name.

    :raises InvalidArgumentError: the ending promises a compression that there is none of here.
    :raises MissingExtraError: zstd is wanted, and its package is not installed.
    """
    codec = _inferred(name) if compression == "infer" else compression
    if codec == "zstd":
        _zstandard()
    return codec


def resolve_inner_compression(compression: Compression, name: str) -> Codec:
    """What ``infer`` means for a file that compresses its own columns, as Parquet does, and is never wrapped: zstd.

    :raises InvalidArgumentError: the ending promises a wrapped file.
    """
    if compression != "infer":
        return compression
    ending = PurePosixPath(name).suffix.lower()
    if ending in _UNKNOWN_ENDINGS or ending in _BY_ENDING:
        raise InvalidArgumentError(
            "compression",
            compression,
            f"names ending in {ending} promise a wrapped file, but Parquet is compressed within; end the name in .parquet",
        )
    return "zstd"


def content_type_of(compression: Codec) -> str | None:
    """The media type of a compressed file. It is not told as Content-Encoding: some clients would unpack it on the way."""
    return _CONTENT_TYPES[compression]


def compress(data: bytes | memoryview, codec: Codec) -> bytes | memoryview:
    """``data`` as one gzip member or zstd frame. Put one after another these are one file, and each can be made anew alone."""
    if codec == "gzip":
        compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        return compressor.compress(data) + compressor.flush()
    if codec == "zstd":
        compressed: bytes = _zstandard().ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compress(data)
        return compressed
    return data


def _inferred(name: str) -> Codec:
    ending = PurePosixPath(name).suffix.lower()
    if ending in _UNKNOWN_ENDINGS:
        raise InvalidArgumentError(
            "compression",
            "infer",
            f"names ending in {ending} promise what is not offered; use .gz or .zst, or compression=None",
        )
    return _BY_ENDING.get(ending)


def _zstandard() -> ModuleType:
    try:
        # Only here, so that everything else works without it.
        import zstandard  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "compression='zstd' needs the zstandard package: pip install 'airflow-provider-custobar[zstd]'"
        ) from error
    return zstandard
