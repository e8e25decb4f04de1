"""Pages turned into the bytes of one file after another, cut where a file is full."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from airflow_provider_custobar.api.csv_text import split_rows
from airflow_provider_custobar.api.errors import ProtocolError
from airflow_provider_custobar.api.pages import CsvPage, JsonPage, Page
from airflow_provider_custobar.export.compression import Codec, compress
from airflow_provider_custobar.export.encoders import Encoder
from airflow_provider_custobar.stores.protocol import LostError
from airflow_provider_custobar.stream.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When to begin another file: before a row that would be one too many, or would make its rows too many bytes.

    Bytes are those that the API sent for the rows, before any compression, with one more for the end of a JSON record's line.
    A row that is larger than ``max_bytes`` has a file to itself.
    """

    max_rows: int | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class ExportProgress(Progress):
    """How far an export is: so much of what the API gave is in its files.

    ``files`` are whole. Of the one after them ``offset`` bytes are written, with ``file_rows`` rows that are ``file_bytes`` as
    :class:`Limits` counts them; without a row there is no such file yet. Of the page that comes next, ``skip`` rows are in the
    files already, and ``skipped`` is their digest. ``columns`` are those of the API's CSV pages.
    """

    files: int = 0
    offset: int = 0
    file_rows: int = 0
    file_bytes: int = 0
    skip: int = 0
    skipped: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes for the file that is open, and where it ends with them, its number of rows.

    ``progress`` is set where an export can be taken up after these bytes; what is its writer's to know is missing there.
    """

    data: bytes | memoryview
    ended_rows: int | None = None
    progress: ExportProgress | None = None


class Cutter:
    """Encodes pages into chunks. Nothing comes out before the first row, so that an export without any makes no file."""

    def __init__(
        self,
        make_encoder: Callable[[], Encoder[Any]],
        codec: Codec,
        limits: Limits = Limits(),
        start: ExportProgress = ExportProgress(),
    ) -> None:
        self._make_encoder = make_encoder
        self._codec = codec
        self._limits = limits
        self._progress = start
        self._rows = start.file_rows
        self._size = start.file_bytes
        self._held = b""
        self._encoder: Encoder[Any] = make_encoder()
        if self._rows:
            self._encoder.go_on()

    @property
    def progress(self) -> ExportProgress:
        """After the last page that was added."""
        return self._progress

    def add(self, page: Page) -> list[Chunk]:
        """The chunks that ``page`` makes.

        :raises LostError: the page does not begin with the rows that are in the files already.
        :raises ProtocolError: there are more or fewer rows in the page than it counts.
        """
        chunks: list[Chunk] = []
        start = self._skip_known(page)
        ends = [] if self._takes_whole(page, start) else _row_ends(page)
        while start < page.rows:
            stop = self._next_cut(ends, start) if ends else page.rows
            if stop > start:
                data = self._encode(_slice(page, start, stop, ends))
                self._rows += stop - start
                self._size += (ends[stop - 1] - (ends[start - 1] if start else 0)) if ends else _size_of(page)
                if data:
                    chunks.append(Chunk(data))
            if stop < page.rows:
                chunks.append(self._end_file(self._progress_within(page, stop, ends)))
            elif self._is_full():
                chunks.append(self._end_file())
            start = stop
        if not page.rows:
            # A header may come with an empty page.
            self._held = b"".join((self._held, self._encoder.encode(page)))
        return [*chunks, self._page_end(page)]

    def end(self, *, even_empty: bool) -> list[Chunk]:
        """The last chunks: the end of the file that is open. Without any rows at all there is a file only if ``even_empty``."""
        return [self._end_file()] if self._rows or even_empty else []

    def _skip_known(self, page: Page) -> int:
        skip = self._progress.skip
        if not skip:
            return 0
        if skip > page.rows or _digest(page, skip, _row_ends(page)) != self._progress.skipped:
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

    def _end_file(self, progress: ExportProgress | None = None) -> Chunk:
        last = self._held + self._encoder.finish()
        # Even a file without a byte in it is a compressed file.
        data = compress(last, self._codec) if last or not self._rows else b""
        rows, self._rows, self._size, self._held = self._rows, 0, 0, b""
        self._encoder = self._make_encoder()
        return Chunk(data, rows, progress)

    def _progress_within(self, page: Page, rows: int, ends: Sequence[int]) -> ExportProgress:
        digest = _digest(page, rows, ends)
        return replace(self._progress, columns=self._columns(page), file_rows=0, file_bytes=0, skip=rows, skipped=digest)

    def _page_end(self, page: Page) -> Chunk:
        self._progress = replace(
            self._progress.plus(page),
            columns=self._columns(page),
            file_rows=self._rows,
            file_bytes=self._size,
            skip=0,
            skipped="",
        )
        return Chunk(b"", None, self._progress if (self._encoder.can_go_on or not self._rows) and not self._held else None)

    def _columns(self, page: Page) -> tuple[str, ...]:
        return self._progress.columns or (page.header if isinstance(page, CsvPage) else ())


def _size_of(page: Page) -> int:
    return len(page.view)


def _row_ends(page: Page) -> list[int]:
    """Where each row ends, in bytes as :class:`Limits` counts them."""
    if isinstance(page, JsonPage):
        ends = list(accumulate(len(record) + 1 for record in page.records))
    else:
        ends = list(accumulate(len(raw.encode()) for raw, _ in split_rows(page.body)))
    if len(ends) != page.rows:
        raise ProtocolError(f"A page has {len(ends):,} rows where {page.rows:,} were counted.")
    return ends


def _slice(page: Page, start: int, stop: int, ends: Sequence[int]) -> Page:
    if (start, stop) == (0, page.rows):
        return page
    data = bytes(page.view[ends[start - 1] if start else 0 : ends[stop - 1]])
    if isinstance(page, JsonPage):
        return replace(page, data=data, rows=stop - start)
    return replace(page, data=data, skip=0, rows=stop - start)


def _digest(page: Page, rows: int, ends: Sequence[int]) -> str:
    return hashlib.blake2b(page.view[: ends[rows - 1] if rows else 0], digest_size=16).hexdigest()
