"""Pages turned into the bytes of one file after another, cut where a file is full."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from airflow_provider_custobar.api.csv_text import split_rows
from airflow_provider_custobar.api.pages import JsonPage, Page
from airflow_provider_custobar.export.compression import Codec, compress
from airflow_provider_custobar.export.encoders import Encoder
from airflow_provider_custobar.export.targets import LostError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When to begin another file: before a row that would be one too many, or would make its rows too many bytes.

    Bytes are those that the API sent for the rows, before any compression, with one more for the end of a JSON record's line.
    A row that is larger than ``max_bytes`` has a file to itself.
    """

    max_rows: int | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Point:
    """How far the encoding has come: ``rows`` and ``size`` (see :class:`Limits`) of the file that is open, if one is.

    ``skip`` rows of the next page are in the files already, and ``skipped`` is their digest.
    """

    is_open: bool = False
    rows: int = 0
    size: int = 0
    skip: int = 0
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes for the file that is open, and where it ends with them, its number of rows.

    ``point`` is set where an export can be taken up after these bytes: at the end of the page with ``is_page_end``, else in it.
    """

    data: bytes | memoryview
    ended_rows: int | None = None
    point: Point | None = None
    is_page_end: bool = False


class Cutter:
    """Encodes pages into pieces. Nothing comes out before the first row, so that an export without any makes no file."""

    def __init__(
        self, make_encoder: Callable[[], Encoder[Any]], codec: Codec, limits: Limits = Limits(), start: Point | None = None
    ) -> None:
        self._make_encoder = make_encoder
        self._codec = codec
        self._limits = limits
        start = start or Point()
        self._rows = start.rows
        self._size = start.size
        self._skip = start.skip
        self._skipped = start.skipped
        self._held = b""
        self._is_open = start.is_open
        self._encoder: Encoder[Any] = make_encoder()
        if start.is_open:
            self._encoder.go_on()

    def add(self, page: Page) -> list[Piece]:
        """The pieces that ``page`` makes.

        :raises LostError: the page does not begin with the rows that are in the files already.
        """
        pieces: list[Piece] = []
        start = self._skip_known(page)
        ends = [] if self._takes_whole(page, start) else _row_ends(page)
        while start < page.rows:
            stop = self._next_cut(ends, start) if ends else page.rows
            if stop > start:
                data = self._encode(_slice(page, start, stop, ends))
                self._rows += stop - start
                self._size += (ends[stop - 1] - (ends[start - 1] if start else 0)) if ends else _size_of(page)
                self._is_open = True
                if data:
                    pieces.append(Piece(data))
            if stop < page.rows:
                pieces.append(self._end_file(self._point_within(page, stop, ends)))
            elif self._is_full():
                pieces.append(self._end_file())
            start = stop
        if not page.rows:
            # A header may come with an empty page.
            self._held = b"".join((self._held, self._encoder.encode(page)))
        return [*pieces, self._page_end()]

    def end(self, *, even_empty: bool) -> list[Piece]:
        """The last pieces: the end of the file that is open. Without any rows at all there is a file only if ``even_empty``."""
        return [self._end_file()] if self._is_open or even_empty else []

    def _skip_known(self, page: Page) -> int:
        if not self._skip:
            return 0
        skip, self._skip = self._skip, 0
        if skip > page.rows or _digest(page, skip, _row_ends(page)) != self._skipped:
            raise LostError("The API gives other rows for a page than it gave before")
        return skip

    def _takes_whole(self, page: Page, start: int) -> bool:
        if start:
            return False
        max_rows, max_bytes = self._limits.max_rows, self._limits.max_bytes
        return (max_rows is None or self._rows + page.rows <= max_rows) and (
            max_bytes is None or self._size + _size_of(page) <= max_bytes
        )

    def _next_cut(self, ends: Sequence[int], start: int) -> int:
        """The row before which the open file ends; ``start`` itself if it has no room for another."""
        max_rows, max_bytes = self._limits.max_rows, self._limits.max_bytes
        stop = len(ends) if max_rows is None else min(len(ends), start + max_rows - self._rows)
        if max_bytes is not None:
            before = ends[start - 1] if start else 0
            stop = min(stop, bisect_right(ends, before + max_bytes - self._size, start))
        return max(stop, start + (not self._rows))

    def _is_full(self) -> bool:
        return self._rows == self._limits.max_rows or self._size == self._limits.max_bytes

    def _encode(self, page: Page) -> bytes | memoryview:
        data = self._encoder.encode(page)
        if self._held:
            data, self._held = b"".join((self._held, data)), b""
        return compress(data, self._codec) if data else data

    def _end_file(self, point: Point | None = None) -> Piece:
        last = self._held + self._encoder.finish()
        # Even a file without a byte in it is a compressed file.
        data = compress(last, self._codec) if last or not self._is_open else b""
        rows, self._rows, self._size, self._held, self._is_open = self._rows, 0, 0, b"", False
        self._encoder = self._make_encoder()
        return Piece(data, rows, point)

    def _point_within(self, page: Page, rows: int, ends: Sequence[int]) -> Point | None:
        # Other files can be taken up at the end of the page.
        return None if self._encoder.can_go_on else Point(skip=rows, skipped=_digest(page, rows, ends))

    def _page_end(self) -> Piece:
        can_go_on = self._encoder.can_go_on or not self._is_open
        point = Point(is_open=self._is_open, rows=self._rows, size=self._size) if can_go_on else None
        return Piece(b"", None, point, is_page_end=True)


def _size_of(page: Page) -> int:
    return len(page.view)


def _row_ends(page: Page) -> list[int]:
    """Where each row ends, in bytes as :class:`Limits` counts them."""
    if isinstance(page, JsonPage):
        return list(accumulate(len(record) + 1 for record in page.records))
    return list(accumulate(len(raw.encode()) for raw, _ in split_rows(page.body)))


def _slice(page: Page, start: int, stop: int, ends: Sequence[int]) -> Page:
    if (start, stop) == (0, page.rows):
        return page
    data = bytes(page.view[ends[start - 1] if start else 0 : ends[stop - 1]])
    if isinstance(page, JsonPage):
        return replace(page, data=data, rows=stop - start)
    return replace(page, data=data, skip=0, rows=stop - start)


def _digest(page: Page, rows: int, ends: Sequence[int]) -> str:
    return hashlib.blake2b(page.view[: ends[rows - 1] if rows else 0], digest_size=16).hexdigest()
