"""From an answer's bytes to a page of records: checked, but not changed."""

from __future__ import annotations

import codecs
import csv
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.message import Message
from functools import cache
from typing import Any

import msgspec

from airflow_provider_custobar.api.csv_text import split_rows, whole_rows
from airflow_provider_custobar.api.errors import MalformedResponseError, field_names
from airflow_provider_custobar.api.position import Position

log = logging.getLogger(__name__)

NEXT_URL_HEADER = "x-custobar-next-url"

_CHECKED_BYTES = 1 << 20
CHECK_HOST = "check that the connection's host is Custobar's API and that no proxy answers in its place"


@dataclass(frozen=True, slots=True)
class JsonPage:
    """Records as the API wrote them: ``data`` is one JSON object a line, every line with its end.

    ``fetched`` is how many the API sent, ``size`` the answer's bytes, ``next_url`` opaque, ``chain`` the label of the
    :class:`~airflow_provider_custobar.api.query.Chain` that the page belongs to. ``unplaced`` counts the records that have no
    readable timestamp where a window asks for one. ``after`` is where to go on after this page; None after the last of all.
    """

    data: bytes = field(repr=False)
    rows: int
    fetched: int
    size: int
    next_url: str | None = None
    chain: str = ""
    unplaced: int = 0
    after: Position | None = None

    @property
    def records(self) -> list[bytes]:
        """Each record's own bytes, without its line end."""
        return self.data.split(b"\n")[:-1]

    @property
    def view(self) -> memoryview:
        """The lines, not copied."""
        return memoryview(self.data)

    def with_records(self, records: Sequence[bytes]) -> JsonPage:
        """This page with other records, none of which has a line end in it."""
        return replace(self, data=_lines_of(records), rows=len(records))

    def dicts(self) -> Iterator[dict[str, Any]]:
        return map(_decode_record, self.records)


@dataclass(frozen=True, slots=True)
class CsvPage:
    """Rows as the API wrote them: ``header_line`` and ``body`` are UTF-8 text, every row with its line end.

    ``header`` holds the column names and is empty where the API sent nothing at all. Such a page is large, so what came is
    kept as it came: the body is ``data`` without its first ``skip`` bytes. ``cells`` are those of the column by which records
    are selected, where they could be had at once, until that is done.
    """

    header: tuple[str, ...]
    header_line: bytes
    data: bytes = field(repr=False)
    rows: int
    fetched: int
    size: int
    next_url: str | None = None
    chain: str = ""
    unplaced: int = 0
    after: Position | None = None
    skip: int = 0
    cells: Sequence[str] | None = field(default=None, repr=False)

    @property
    def body(self) -> bytes:
        """The rows, copied out of ``data`` if there is more in it."""
        return self.data[self.skip :]

    @property
    def view(self) -> memoryview:
        """The rows, not copied."""
        return memoryview(self.data)[self.skip :]

    def dicts(self) -> Iterator[dict[str, str]]:
        """Rows by column name. Every value is a text, since CSV has no types; a missing one is empty."""
        for _, cells in split_rows(self.body):
            yield dict(zip(self.header, cells, strict=True))


Page = JsonPage | CsvPage

# Group 1 is what is in order: an escaped backslash, or a pair of escaped surrogates.
_SURROGATES = re.compile(rb"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}")

# A line that does not begin as one; searched for at the line ends, of which there are few.
_NO_OBJECT = re.compile(rb"\n(?!\{)")

_decode_record: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder(dict[str, Any]).decode


def decode_json_page(body: bytes, headers: Mapping[str, str], resource: str) -> JsonPage:
    """Read a JSON page, leaving numbers, escapes and the order of keys in its records as they are.

    :raises MalformedResponseError: not JSON, cut short, not UTF-8, or no list of objects under the resource's name.
    """
    _refuse_html(body, headers, resource)
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        # msgspec passes raw records on without looking at their text, so bytes that are no UTF-8 are found here.
        if not body.isascii():
            body.decode()
        envelope = _decode_envelope(body, resource)
    except UnicodeDecodeError as error:
        raise MalformedResponseError(
            f"The page of {resource} is not UTF-8 text (byte {error.start:,} of {len(body):,}): {CHECK_HOST}."
        ) from None
    except msgspec.ValidationError as error:
        raise MalformedResponseError(
            f"The page of {resource} does not have the documented shape ({error}): {CHECK_HOST}."
        ) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedResponseError(
            f"The page of {resource} is not whole JSON ({error}; {len(body):,} bytes): the answer was cut short, or"
            f" something else answered; {CHECK_HOST}."
        ) from None
    if envelope.records is msgspec.UNSET:
        keys = field_names(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
        raise MalformedResponseError(f'The page of {resource} has no "{resource}" (its keys: {keys}): {CHECK_HOST}.')
    if envelope.error:
        raise MalformedResponseError(
            f"The page of {resource} names an error beside its records, so they may be a part: ask Custobar if it stays so."
        )
    # Line ends inside texts are escaped, so one that stands bare is layout; most pages have none.
    has_layout = b"\n" in body or b"\r" in body
    data = _lines_of([_on_one_line(bytes(raw)) for raw in envelope.records] if has_layout else envelope.records)
    if data and (not data.startswith(b"{") or _NO_OBJECT.search(data, 0, len(data) - 1)):
        raise MalformedResponseError(f"The page of {resource} holds something else than JSON objects: {CHECK_HOST}.")
    return JsonPage(
        data=data,
        rows=len(envelope.records),
        fetched=len(envelope.records),
        size=len(body),
        next_url=envelope.next_url or headers.get(NEXT_URL_HEADER) or None,
    )


def decode_csv_page(body: bytes, headers: Mapping[str, str], resource: str, column: str | None = None) -> CsvPage:
    """Read a CSV page's header and count its rows, leaving them as they are. ``column`` is the one whose ``cells`` are wanted.

    Custobar documents no more than "comma separated"; each page is taken to be a complete file with a header.

    :raises MalformedResponseError: not CSV, not text, or cut in the middle of a row.
    """
    _refuse_html(body, headers, resource)
    content_type = _content_type(headers)
    charset = content_type.get_content_charset("utf-8")
    try:
        data = _as_utf8(body, charset).removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
        if data[:64].lstrip()[:1] in (b"{", b"["):
            raise MalformedResponseError(f"The CSV page of {resource} came as JSON: {CHECK_HOST}.")
        header_line, header = next(split_rows(data), ("", []))
        skip = len(header_line.encode())
        is_ended = data.endswith((b"\n", b"\r"))
        index = header.index(column) if column in header else None
        data, skip, rows, cells = whole_rows(_ended(data), skip, index, len(header))
        if rows and not is_ended:
            _refuse_cut_row(data[skip:], header)
    except (UnicodeDecodeError, LookupError) as error:
        raise MalformedResponseError(f"The CSV page of {resource} is not {charset} text: {CHECK_HOST}.") from error
    except csv.Error as error:
        raise MalformedResponseError(
            f"The CSV page of {resource} is not whole ({error}; {len(body):,} bytes): the answer was cut short."
        ) from None
    return CsvPage(
        header=tuple(header),
        header_line=_ended(header_line.encode()),
        data=data,
        skip=skip,
        rows=rows,
        fetched=rows,
        size=len(body),
        next_url=headers.get(NEXT_URL_HEADER) or None,
        cells=cells,
    )


def _decode_envelope(body: bytes, resource: str) -> Any:
    decoder = _envelope_decoder(resource)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        mended, count = _replace_lone_surrogates(body)
        if not count:
            raise
        envelope = decoder.decode(mended)
        log.warning("%s: %s halves of characters, which no UTF-8 file can hold, were replaced by U+FFFD", resource, count)
        return envelope


def _replace_lone_surrogates(body: bytes) -> tuple[bytes, int]:
    """Half an emoji in one record would otherwise make its page unreadable for good."""
    count = 0

    def mend(match: re.Match[bytes]) -> bytes:
        nonlocal count
        if match[1]:
            return match[0]
        count += 1
        return b"\\ufffd"

    return _SURROGATES.sub(mend, body), count


@cache
def _envelope_decoder(resource: str) -> msgspec.json.Decoder[Any]:
    envelope = msgspec.defstruct(
        "Envelope",
        [
            ("records", list[msgspec.Raw] | msgspec.UnsetType, msgspec.field(name=resource, default=msgspec.UNSET)),
            ("next_url", str | None, None),
            ("error", Any, None),
        ],
    )
    return msgspec.json.Decoder(envelope)


def _on_one_line(record: bytes) -> bytes:
    return msgspec.json.format(record, indent=-1) if b"\n" in record or b"\r" in record else record


def _lines_of(records: Sequence[bytes | msgspec.Raw]) -> bytes:
    return b"\n".join([*records, b""])


def _as_utf8(body: bytes, charset: str) -> bytes:
    if codecs.lookup(charset).name != "utf-8":
        return body.decode(charset).encode()
    if not body.isascii():
        decoder = codecs.getincrementaldecoder("utf-8")()
        # Only checked, a piece at a time: the text of a page would take up to four times its bytes.
        for start in range(0, len(body), _CHECKED_BYTES):
            decoder.decode(body[start : start + _CHECKED_BYTES])
        decoder.decode(b"", final=True)
    return body


def _ended(data: bytes) -> bytes:
    if not data or data.endswith(b"\n"):
        return data
    # With two of them, a blank line would follow.
    return data + (b"\n" if data.endswith(b"\r") else b"\r\n")


def _refuse_cut_row(data: bytes, header: list[str]) -> None:
    # Nothing documents a line end after the last row; without one, only a row of full width can be trusted to be whole.
    last: list[str] = []
    for _, last in split_rows(data):  # noqa: B007 - only the last one is wanted
        pass
    if len(last) != len(header):
        raise csv.Error(f"the last row has {len(last)} of {len(header)} cells")


def _content_type(headers: Mapping[str, str]) -> Message:
    message = Message()
    message["content-type"] = headers.get("content-type", "")
    return message


def _refuse_html(body: bytes, headers: Mapping[str, str], resource: str) -> None:
    if _content_type(headers).get_content_type() == "text/html" or body.lstrip()[:1] == b"<":
        raise MalformedResponseError(f"An HTML page came in place of {resource}: {CHECK_HOST}.")
