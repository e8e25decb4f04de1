"""The bytes that a compressed file holds, and an error where its own end mark does not come."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any, BinaryIO, cast

from airflow_provider_custobar.api.errors import MissingExtraError
from airflow_provider_custobar.upload.formats.errors import UnreadableFileError
from airflow_provider_custobar.upload.options import UploadCompression

BUFFER_BYTES = 1 << 20
# A thousand bytes of zstd can hold some ten million, so they are handed over in small pieces.
_ZSTD_BYTES = 1 << 10


def decompressed(raw: BinaryIO, compression: UploadCompression) -> io.BufferedReader:
    """What ``raw`` holds. Several gzip members or zstd frames in a row are one file, as the tools of both read them.

    Reading it raises :class:`UnreadableFileError` where it is damaged, where something else follows, and where it stops before
    its end mark; one of 0 bytes has none. :class:`MissingExtraError`: zstd is wanted, and its package is not installed.
    """
    if compression is None:
        return _buffered(raw)
    packed = _buffered(raw)
    if not packed.peek(1):
        raise UnreadableFileError(f"it is empty, which no {compression} file is: even without content it has an end mark")
    return _buffered(cast("BinaryIO", _Gzip(packed) if compression == "gzip" else _Zstd(packed)))


def _buffered(data: BinaryIO) -> io.BufferedReader:
    return io.BufferedReader(cast("io.RawIOBase", data), BUFFER_BYTES)


class _Gzip(io.RawIOBase):
    """The standard library's reader, which checks the end of each member, with errors of ours."""

    def __init__(self, packed: io.BufferedReader) -> None:
        super().__init__()
        self._content = gzip.GzipFile(fileobj=packed, mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return self._content.readinto(buffer)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            # Behind it stand bytes of the file.
            raise UnreadableFileError(str(error).partition(" (b")[0]) from error


class _Zstd(io.RawIOBase):
    """Frame after frame, by the library's object for one of them: its reader of streams takes any end for the end."""

    def __init__(self, packed: io.BufferedReader) -> None:
        try:
            # Only here, so that everything else works without it.
            import zstandard  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtraError(
                "files compressed with zstd need the zstandard package: pip install 'airflow-provider-custobar[zstd]'"
            ) from error
        super().__init__()
        self._new_frame: Any = zstandard.ZstdDecompressor().decompressobj
        self._error = zstandard.ZstdError
        self._packed = packed
        self._frame: Any = None
        self._behind = b""
        self._content = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._content:
            piece = self._behind or self._packed.read(_ZSTD_BYTES)
            if not piece:
                if self._frame is not None:
                    raise UnreadableFileError("the compressed file ended before its end mark was reached")
                return 0
            self._content = memoryview(self._next(piece))
        size = min(len(buffer), len(self._content))
        buffer[:size] = self._content[:size]
        self._content = self._content[size:]
        return size

    def _next(self, piece: bytes) -> bytes:
        frame = self._frame = self._frame or self._new_frame()
        try:
            content: bytes = frame.decompress(piece)
        except self._error as error:
            raise UnreadableFileError(str(error)) from error
        self._behind = frame.unused_data if frame.eof else b""
        if frame.eof:
            self._frame = None
        return content
