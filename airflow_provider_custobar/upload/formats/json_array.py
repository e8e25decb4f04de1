"""Rows out of one JSON array of any length, a few at a time in memory."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from airflow_provider_custobar.upload.exact_json import UnfitJsonError, decode_at
from airflow_provider_custobar.upload.formats.errors import UnreadableFileError
from airflow_provider_custobar.upload.rows import Unreadable

_PIECE_CHARACTERS = 1 << 20
# "Infinity" and escapes such as \u00e4\u00e4 are shorter.
_LONGEST_WORD = 16
_SPACE = re.compile(r"[ \t\r\n]*")
_MARK = re.compile(r'[\[\]{},"]')
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_ARRAY = 'it is not a JSON array of rows (for one object a line, give file_format="jsonl")'


def read_json(data: io.BufferedReader, encoding: str) -> Iterator[object]:
    """:raises UnreadableFileError: as :func:`read_array` raises ``ValueError``."""
    with io.TextIOWrapper(data, encoding=encoding) as text:
        try:
            yield from read_array(text)
        except UnicodeError:
            raise
        except ValueError as error:
            raise UnreadableFileError(str(error)) from error


def read_array(text: TextIO) -> Iterator[Any]:
    """The elements of an array, which may be the only member of an object, as Custobar's own documents have it.

    An element that no value can be made of comes as :class:`Unreadable`.

    :raises ValueError: not such a document, or cut short. It is found where it is: what comes before has been given.
    """
    reader = _Reader(text)
    if reader.next_mark() == "\N{BYTE ORDER MARK}":
        reader.skip(1)
    is_member = reader.next_mark() == "{"
    if is_member:
        reader.skip(1)
        if reader.next_mark() != '"' or not isinstance(reader.value(), str) or reader.next_mark() != ":":
            raise ValueError(_NO_ARRAY)
        reader.skip(1)
    if reader.next_mark() != "[":
        raise ValueError(_NO_ARRAY)
    reader.skip(1)
    if reader.next_mark() == "]":
        reader.skip(1)
    else:
        while True:
            yield reader.value()
            mark = reader.next_mark()
            reader.skip(1)
            if mark == "]":
                break
            if mark != ",":
                raise ValueError(f"a comma or ] is missing after character {reader.position:,}")
    if is_member:
        if reader.next_mark() != "}":
            raise ValueError("something follows the array of rows")
        reader.skip(1)
    if reader.next_mark():
        raise ValueError("something follows the array of rows")


class _Reader:
    """Text that comes in pieces, of which the part that is read is dropped."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._buffer = ""
        self._start = 0
        self._dropped = 0
        self._is_whole = False

    @property
    def position(self) -> int:
        return self._dropped + self._start

    def skip(self, characters: int) -> None:
        self._start += characters

    def next_mark(self) -> str:
        """The next character that is no white space, which is skipped; empty at the end."""
        while True:
            match = _SPACE.match(self._buffer, self._start)
            self._start = match.end() if match else self._start
            if self._start < len(self._buffer) or not self._more():
                return self._buffer[self._start : self._start + 1]

    def value(self) -> Any:
        self.next_mark()
        while True:
            try:
                value, end = decode_at(self._buffer, self._start)
            except UnfitJsonError as error:
                return Unreadable(str(error), self._skip_value())
            except json.JSONDecodeError as error:
                # Wrong, or cut by the end of the piece, which shows near that end or in a text that goes on there.
                may_be_cut = "Unterminated" in error.msg or len(self._buffer) - error.pos < _LONGEST_WORD
                if not may_be_cut or not self._more():
                    place = self._dropped + error.pos
                    raise ValueError(f"it is not whole JSON ({error.msg} at character {place:,})") from None
                continue
            # A number that ends with the piece may go on.
            if end == len(self._buffer) and self._more():
                continue
            self._start = end
            return value

    def _skip_value(self) -> str:
        """The text of a value that cannot be decoded: its end is found by brackets and quotes alone."""
        depth, place = 0, self._start
        while True:
            mark = _MARK.search(self._buffer, place)
            if mark and mark[0] == '"':
                mark = _STRING.match(self._buffer, mark.start())
            if mark is None:
                place -= self._start
                if not self._more():
                    raise ValueError("it is not whole JSON (it ends in the middle of a row)")
                continue
            place = mark.end()
            if mark[0] in "[{":
                depth += 1
            elif mark[0] in "]},":
                if depth == 0:
                    place = mark.start()
                    break
                depth -= mark[0] != ","
                if depth == 0:
                    break
        skipped = self._buffer[self._start : place]
        self._start = place
        return skipped

    def _more(self) -> bool:
        """As much again as is kept, so that a long value is not looked at too often; False at the end."""
        if self._is_whole:
            return False
        kept = self._buffer[self._start :]
        piece = self._text.read(max(_PIECE_CHARACTERS, len(kept)))
        self._dropped += self._start
        self._buffer, self._start = kept + piece, 0
        self._is_whole = not piece
        return bool(piece)
