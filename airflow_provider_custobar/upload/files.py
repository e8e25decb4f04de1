"""Rows out of files of any size, one after the other; what cannot be read as a row comes as :class:`Unreadable`.

Knows no store: a file is whatever can be opened.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import BinaryIO

from airflow_provider_custobar.api.errors import CustobarError, InvalidArgumentError
from airflow_provider_custobar.api.log_lines import in_lines
from airflow_provider_custobar.upload.formats.content_codings import decoded, has_end_mark
from airflow_provider_custobar.upload.formats.csv_rows import read_csv
from airflow_provider_custobar.upload.formats.errors import UnreadableFileError
from airflow_provider_custobar.upload.formats.json_array import read_json
from airflow_provider_custobar.upload.formats.json_lines import read_json_lines
from airflow_provider_custobar.upload.formats.parquet_rows import read_parquet
from airflow_provider_custobar.upload.options import (
    UploadCompression,
    UploadFormat,
    canonical_encoding,
    check_file_arguments,
    delimiter_character,
)

log = logging.getLogger(__name__)

_FORMAT_ENDINGS: dict[str, UploadFormat] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
}  # fmt: skip
_COMPRESSION_ENDINGS: dict[str, UploadCompression] = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}


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
    """The rows of ``files``, in their order.

    :param encoding: That of CSV and JSON, in any spelling that Python knows.
    :param delimiter: The character between the cells of CSV; None to have it found in each header.
    :raises InvalidArgumentError: an argument is none that there is, or the format cannot be told from a name.
    """

    def __init__(
        self,
        files: Sequence[File],
        *,
        file_format: UploadFormat = "infer",
        compression: UploadCompression = "infer",
        encoding: str = "utf-8",
        delimiter: str | None = None,
    ) -> None:
        check_file_arguments(file_format, compression)
        self._encoding = canonical_encoding(encoding)
        self._delimiter = delimiter_character(delimiter)
        self._files = [(file, _format_of(file.name, file_format), _compression_of(file.name, compression)) for file in files]
        # Of each file that was begun: how many rows came before it.
        self._before: list[tuple[int, str]] = []

    def place_of(self, position: int) -> str:
        """Where the row stands that the last reading gave at ``position``: in its file, counted from 1."""
        before, name = next(begun for begun in reversed(self._before) if begun[0] <= position)
        return f"row {position - before + 1:,} of {name}"

    def __iter__(self) -> Iterator[object]:
        position = 0
        self._before = []
        for file, file_format, compression in self._files:
            before = position
            self._before.append((before, file.name))
            try:
                with file.open() as raw, decoded(raw, file.content_encoding, compression) as data:
                    for row in self._read(data, file_format, partial(_tell_of_open_end, file, compression)):
                        yield row
                        position += 1
            except (UnreadableFileError, UnicodeError) as error:
                advice = "; give the encoding that it is in" if isinstance(error, UnicodeError) else ""
                raise FileError(
                    f"{file.name} cannot be read to its end, after {position - before:,} rows: {error}{advice}"
                ) from error

    def _read(self, data: io.BufferedReader, file_format: UploadFormat, on_open_end: Callable[[], None]) -> Iterator[object]:
        match file_format:
            case "csv":
                return read_csv(data, self._encoding, self._delimiter, on_open_end)
            case "jsonl":
                return read_json_lines(data, self._encoding)
            case "json":
                return read_json(data, self._encoding)
        return read_parquet(data)


def _tell_of_open_end(file: File, compression: UploadCompression) -> None:
    if not has_end_mark(file.content_encoding, compression):
        text = f"{file.name} may be cut short: its last line has no line end, and others have; see its last row"
        log.warning("%s", in_lines(text))


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
