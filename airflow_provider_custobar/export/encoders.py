"""Pages turned into the bytes of a file, one small class for each pair of page format and file format."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from airflow_provider_custobar.api.csv_text import write_rows
from airflow_provider_custobar.api.errors import InvalidArgumentError, MissingExtraError
from airflow_provider_custobar.api.pages import CsvPage, JsonPage
from airflow_provider_custobar.api.resources import NESTED_TYPES, ApiFormat, FieldType, Resource
from airflow_provider_custobar.export.compression import Codec

FileFormat = Literal["csv", "json", "jsonl", "parquet"]
PageT_contra = TypeVar("PageT_contra", contravariant=True)

CONTENT_TYPES: dict[FileFormat, str] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
#: Formats whose files are compressed within and never wrapped.
COMPRESSED_WITHIN: frozenset[FileFormat] = frozenset({"parquet"})


class Encoder(Protocol, Generic[PageT_contra]):
    """Bytes of one file: ``encode`` for each page in order, then ``finish`` once. Together they are a whole file."""

    @property
    def can_go_on(self) -> bool:
        """Whether a new encoder can take a file over between two pages."""

    def go_on(self) -> None:
        """Take over a file that has rows already. Comes first."""

    def encode(self, page: PageT_contra) -> bytes | memoryview: ...

    def finish(self) -> bytes: ...


class JsonLines:
    """One record a line, each record's own bytes."""

    can_go_on = True

    def go_on(self) -> None:
        """A file of lines has no beginning of its own."""

    def encode(self, page: JsonPage) -> bytes:
        return page.data

    def finish(self) -> bytes:
        return b""


class JsonArray:
    """One JSON array, one record a line, each record's own bytes."""

    can_go_on = True

    def __init__(self) -> None:
        self._separator = b"[\n"

    def go_on(self) -> None:
        self._separator = b",\n"

    def encode(self, page: JsonPage) -> bytes:
        if not page.rows:
            return b""
        separator, self._separator = self._separator, b",\n"
        # A line end is that of a record and nothing else.
        return b"".join((separator, page.data[:-1].replace(b"\n", b",\n")))

    def finish(self) -> bytes:
        return b"[]\n" if self._separator == b"[\n" else b"\n]\n"


class CsvRows:
    """The API's own CSV rows under one header."""

    can_go_on = True

    def __init__(self) -> None:
        self._header_written = False

    def go_on(self) -> None:
        self._header_written = True

    def encode(self, page: CsvPage) -> bytes | memoryview:
        if self._header_written or not page.header:
            return page.view
        self._header_written = True
        return b"".join((page.header_line, page.view))

    def finish(self) -> bytes:
        return b""


class CsvFromRecords:
    """CSV with fixed columns, made of JSON records. Lists of texts are joined by commas, as Custobar's CSV import has it, and a
    text with commas or quotes stands in quotes, as uploads read it. Other nested values stay JSON, and so do lists that could
    not be told from others: with an empty text, with white space around one, and in columns of ``one_or_many``, where a text
    may stand in a list's place. A missing value is an empty cell, and so is a joined list of nothing.
    """

    can_go_on = True

    def __init__(self, columns: Sequence[str], one_or_many: Collection[str] = ()) -> None:
        self._columns = tuple(columns)
        self._keeps_lists = [name in one_or_many for name in columns]
        self._pending_header = write_rows([self._columns])

    def go_on(self) -> None:
        self._pending_header = ""

    def encode(self, page: JsonPage) -> bytes:
        header, self._pending_header = self._pending_header, ""
        columns = list(zip(self._columns, self._keeps_lists, strict=True))
        rows = ([_cell(record.get(name), keeps) for name, keeps in columns] for record in map(_decode, page.records))
        return (header + write_rows(rows)).encode()

    def finish(self) -> bytes:
        header, self._pending_header = self._pending_header, ""
        return header.encode()


def page_format_for(
    file_format: FileFormat,
    api_format: Literal["auto", "json", "csv"],
    resource: Resource | None = None,
    columns: Sequence[str] = (),
) -> ApiFormat:
    """Which pages to ask the API for. For Parquet it depends on ``columns``; without ``resource`` they are not known yet.

    :raises InvalidArgumentError: CSV cells do not tell what the file has to hold.
    """
    if file_format == "parquet":
        return _page_format_for_parquet(api_format, resource, columns)
    if api_format == "auto":
        return "csv" if file_format == "csv" else "json"
    if api_format == "csv" and file_format != "csv":
        raise InvalidArgumentError(
            "api_format", api_format, f"CSV cells have no types to make {file_format} of; give auto or json"
        )
    return api_format


def _page_format_for_parquet(
    api_format: Literal["auto", "json", "csv"], resource: Resource | None, columns: Sequence[str]
) -> ApiFormat:
    if resource is None or api_format == "json":
        return "csv" if api_format == "csv" else "json"
    types = resource.read_fields
    nested = [name for name in columns or types if types.get(name) in NESTED_TYPES]
    if api_format == "auto":
        return "csv" if columns and not nested and all(name in types for name in columns) else "json"
    if nested:
        raise InvalidArgumentError(
            "api_format",
            api_format,
            f"how CSV cells of {', '.join(nested)} hold lists is not documented; name fields without, or give auto or json",
        )
    return "csv"


def make_encoder(
    file_format: FileFormat,
    api_format: ApiFormat,
    columns: Sequence[str],
    *,
    resource: Resource | None = None,
    timezone: str = "UTC",
    codec: Codec = None,
) -> Encoder[Any]:
    """The encoder for one file. ``columns`` are needed to make CSV of JSON pages.

    Parquet needs the ``resource``, whose fields type its columns; CSV of JSON pages learns from it where a text may stand for
    a list. ``timezone`` is that of timestamps without an offset, and ``codec`` the compression within the file, both
    for Parquet.

    :raises MissingExtraError: Parquet is wanted, and its package is not installed.
    """
    if file_format == "parquet" and resource is not None:
        try:
            # Only here, so that everything else works without pyarrow and does not wait for its import.
            from airflow_provider_custobar.export.parquet import ParquetFile  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtraError(
                "file_format='parquet' needs the pyarrow package: pip install 'airflow-provider-custobar[parquet]'"
            ) from error
        return ParquetFile(resource, columns, timezone=timezone, codec=codec)
    if file_format == "parquet":
        raise InvalidArgumentError("resource", None, "Parquet takes the types of its columns from it")
    if file_format == "jsonl":
        return JsonLines()
    if file_format == "json":
        return JsonArray()
    if api_format == "csv":
        return CsvRows()
    if not columns:
        raise InvalidArgumentError(
            "fields", None, "name the columns: JSON records, which api_format='json' asks for, have no fixed ones"
        )
    types = resource.read_fields if resource else {}
    return CsvFromRecords(columns, [name for name in columns if types.get(name) is FieldType.STRING_OR_STRINGS])


_NEEDS_QUOTES = re.compile(r'[,"]|\A\[')
# Numbers stay the text that the API wrote: a float would change digits of long ones.
_decode = functools.partial(msgspec.json.decode, type=dict[str, msgspec.Raw])


def _cell(raw: msgspec.Raw | None, keeps_lists: bool) -> str:
    if raw is None:
        return ""
    text = bytes(raw).decode()
    if text.startswith('"'):
        return str(msgspec.json.decode(raw))
    if text == "null":
        return ""
    if text.startswith("[") and not keeps_lists:
        items = msgspec.json.decode(raw)
        if all(isinstance(item, str) and item and item == item.strip() for item in items):
            return ",".join(map(_list_item, items))
    return text


def _list_item(text: str) -> str:
    # What begins with a bracket would be taken for a list as JSON has it.
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text
