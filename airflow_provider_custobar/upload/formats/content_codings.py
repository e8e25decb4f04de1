"""Objects that their store says are compressed."""

from __future__ import annotations

import io
from typing import BinaryIO

from airflow_provider_custobar.upload.formats.decompression import decompressed
from airflow_provider_custobar.upload.formats.errors import UnreadableFileError
from airflow_provider_custobar.upload.options import UploadCompression

_CODINGS: dict[str, UploadCompression] = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
# These say nothing of the bytes; aws-chunked is how they were sent, which some stores keep.
_NO_CODINGS = ("", "identity", "aws-chunked")
_MAGIC: dict[UploadCompression, bytes] = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


def decoded(raw: BinaryIO, content_encoding: str | None, compression: UploadCompression) -> io.BufferedReader:
    """The file in an object: its ``Content-Encoding`` undone, the last coding first, and then the file's own compression.

    :raises UnreadableFileError: a coding is none of those that can be undone; and as
        :func:`~airflow_provider_custobar.upload.formats.decompression.decompressed`.
    """
    codings = _codings(content_encoding)
    data = raw
    for coding in reversed(codings):
        if coding not in _CODINGS:
            raise UnreadableFileError(f"its Content-Encoding is {coding!r}, and only {', '.join(_CODINGS)} can be undone")
        data = decompressed(data, _CODINGS[coding])
    if compression in map(_CODINGS.get, codings):
        # An object's label mostly repeats its name's ending: its bytes tell whether it was compressed once more.
        content = decompressed(data, None)
        if not content.peek(len(_MAGIC[compression])).startswith(_MAGIC[compression]):
            return content
        data = content
    return decompressed(data, compression)


def has_end_mark(content_encoding: str | None, compression: UploadCompression) -> bool:
    """Whether an object's bytes themselves prove their end, so that none of them is missing where they can be read."""
    return compression is not None or bool(_codings(content_encoding))


def _codings(content_encoding: str | None) -> list[str]:
    codings = [coding.strip().lower() for coding in (content_encoding or "").split(",")]
    return [coding for coding in codings if coding not in _NO_CODINGS]
