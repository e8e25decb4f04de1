"""Rows out of files of any size, one after the other; what cannot be read as a row comes as :class:`Unreadable`.

Knows no store: a file is whatever can be opened, as often as wanted, with the same bytes each time.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

import msgspec

from airflow_provider_custobar.api.errors import CustobarError, InvalidArgumentError
from airflow_provider_custobar.upload.json_array import read_array
from airflow_provider_custobar.upload.options import UploadCompression, UploadFormat, check_file_arguments
from airflow_provider_custobar.upload.rows import TextRow, Unreadable

_FORMAT_ENDINGS: dict[str, UploadFormat] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
}  # fmt: skip
_COMPRESSION_ENDINGS: dict[str, UploadCompression] = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_CONTENT_CODINGS: dict[str, UploadCompression] = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
# What says nothing of the bytes; aws-chunked is how they were sent, which some stores keep.
_NO_CODINGS = ("", "identity", "aws-chunked")
_MAGIC: dict[UploadCompression, bytes] = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
# Those that Custobar's own CSV import detects.
_DELIMITERS = (",", ";", "\t")
_PARQUET_ROWS = 1_000
_BUFFER_BYTES = 1 << 20


class FileError(CustobarError):
    """A file as a whole cannot be read: damaged, cut short, or not of its format."""


@dataclass(frozen=True, kw_only=True)
class File:
    """One file. ``open`` gives its bytes as stored, from the first one on; ``name`` is what messages call it.

    ``content_encoding`` is what a store says that was done to them, in HTTP's words.
    """

    name: str
    open: Callable[[], BinaryIO]
    content_encoding: str | None = None


class FileRows:
    """The rows of ``files``, in their order; can be iterated as often as wanted.

    :raises InvalidArgumentError: format or compression is none that there is, or cannot be told from a name.
    """

    def __init__(
        self,
        files: Sequence[File],
        *,
        file_format: UploadFormat = "infer",
        compression: UploadCompression = "infer",
        encoding: str = "utf-8",
    ) -> None:
        check_file_arguments(file_format, compression)
        try:
            "".encode(encoding)
        except LookupError:
            raise InvalidArgumentError("encoding", encoding, "give the name of a text encoding, such as utf-8") from None
        self._readers = [
            (file, _READERS[_format_of(file.name, file_format)], _compression_of(file.name, compression)) for file in files
        ]
        # A byte order mark is no part of the first name.
        self._encoding = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding

    def __iter__(self) -> Iterator[object]:
        for file, read, compression in self._readers:
            try:
                with file.open() as raw, _decoded(raw, codecs_of(file.content_encoding), compression) as data:
                    yield from read(data, self._encoding)
            except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeError, csv.Error, _UnreadableFileError) as error:
                raise FileError(f"{file.name} cannot be read to its end: {error}") from error


class _UnreadableFileError(Exception):
    """What is wrong with a file as a whole, without its name."""


def _format_of(name: str, file_format: UploadFormat) -> UploadFormat:
    if file_format != "infer":
        return file_format
    endings = [ending.lower() for ending in PurePosixPath(name).suffixes[-2:]]
    if endings and endings[-1] in _COMPRESSION_ENDINGS:
        endings.pop()
    found = _FORMAT_ENDINGS.get(endings[-1]) if endings else None
    if found is None:
        raise InvalidArgumentError(
            "file_format", "infer", f"{name} does not end in {', '.join(_FORMAT_ENDINGS)}; name the format"
        )
    return found


def _compression_of(name: str, compression: UploadCompression) -> UploadCompression:
    return _COMPRESSION_ENDINGS.get(PurePosixPath(name).suffix.lower()) if compression == "infer" else compression


def codecs_of(content_encoding: str | None) -> list[UploadCompression]:
    """What was done to an object, in that order."""
    codings = [coding.strip().lower() for coding in (content_encoding or "").split(",")]
    unknown = next((coding for coding in codings if coding not in _CONTENT_CODINGS and coding not in _NO_CODINGS), None)
    if unknown is not None:
        raise _UnreadableFileError(f"its Content-Encoding is {unknown!r}, and {', '.join(_CONTENT_CODINGS)} can be undone")
    return [_CONTENT_CODINGS[coding] for coding in codings if coding in _CONTENT_CODINGS]


def _decoded(raw: BinaryIO, encodings: Sequence[UploadCompression], compression: UploadCompression) -> BinaryIO:
    for codec in reversed(encodings):
        raw = _unpacked(raw, codec)
    if compression in encodings:
        # An object's label mostly repeats its name's ending: its bytes tell whether it was compressed once more.
        buffered = _buffered(raw)
        if not buffered.peek(len(_MAGIC[compression])).startswith(_MAGIC[compression]):
            return buffered
        raw = buffered
    return _unpacked(raw, compression)


def _unpacked(raw: BinaryIO, compression: UploadCompression) -> BinaryIO:
    if compression == "gzip":
        return cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="rb"))
    if compression == "zstd":
        try:
            # Only here, so that everything else works without it.
            import zstandard  # noqa: PLC0415
        except ImportError as error:
            raise FileError(
                "files compressed with zstd need the zstandard package: pip install 'airflow-provider-custobar[zstd]'"
            ) from error
        return cast("BinaryIO", _ZstdReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)))
    return raw


class _ZstdReader(io.RawIOBase):
    """The library's reader with an error of ours."""

    def __init__(self, reader: Any) -> None:
        super().__init__()
        self._reader = reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        import zstandard  # noqa: PLC0415 - as in _unpacked

        try:
            return int(self._reader.readinto(buffer))
        except zstandard.ZstdError as error:
            raise _UnreadableFileError(str(error)) from error


def _buffered(data: BinaryIO) -> io.BufferedReader:
    return io.BufferedReader(cast("io.RawIOBase", data), _BUFFER_BYTES)


def _read_csv(data: BinaryIO, encoding: str) -> Iterator[object]:
    with io.TextIOWrapper(_buffered(data), encoding=encoding, newline="") as text:
        first = text.readline()
        reader = csv.reader(_Lines(first, text), delimiter=max(_DELIMITERS, key=first.count), strict=True)
        names = [name.strip() for name in next(reader, [])]
        if not names:
            return
        if len(set(names)) < len(names) or "" in names:
            raise _UnreadableFileError("its first line must name each column, and no two alike")
        width = len(names)
        for cells in reader:
            if len(cells) == width:
                yield TextRow(zip(names, cells, strict=True))
            elif cells:
                yield Unreadable(f"it has {len(cells)} cells where the header has {width}", cells)


class _Lines:
    """Lines with one put back in front."""

    def __init__(self, first: str, others: io.TextIOWrapper) -> None:
        self._first: str | None = first
        self._others = others

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._first is not None:
            first, self._first = self._first, None
            if first:
                return first
        return next(self._others)


def _read_lines(data: BinaryIO, encoding: str) -> Iterator[object]:
    decode = msgspec.json.Decoder().decode
    with _buffered(data) as lines:
        for number, raw in enumerate(lines):
            line = raw if encoding == "utf-8-sig" else raw.decode(encoding).encode()
            line = (line.removeprefix(b"\xef\xbb\xbf") if not number else line).strip()
            if line:
                try:
                    yield decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    yield Unreadable("it is not a line of JSON", line.decode(errors="replace"))


def _read_json(data: BinaryIO, encoding: str) -> Iterator[object]:
    with io.TextIOWrapper(_buffered(data), encoding=encoding) as text:
        try:
            yield from read_array(text)
        except UnicodeError:
            raise
        except ValueError as error:
            raise _UnreadableFileError(str(error)) from error


def _read_parquet(data: BinaryIO, encoding: str) -> Iterator[object]:
    try:
        # Only here, so that everything else works without pyarrow and does not wait for its import.
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise FileError("Parquet files need the pyarrow package: pip install 'airflow-provider-custobar[parquet]'") from error
    try:
        for batch in pa.parquet.ParquetFile(data).iter_batches(batch_size=_PARQUET_ROWS, use_threads=False):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise _UnreadableFileError(str(error)) from error


_READERS: dict[UploadFormat, Callable[[BinaryIO, str], Iterator[object]]] = {
    "csv": _read_csv,
    "jsonl": _read_lines,
    "json": _read_json,
    "parquet": _read_parquet,
}
