"""CSV text cut into rows without changing a byte of them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

# A cell is as long as the API makes it; the csv module's own limit of 128 KiB would refuse a long description.
csv.field_size_limit(2**31 - 1)

_PIECE_BYTES = 1 << 20
_BEFORE_CELL = (b",", b"\n")
_AFTER_CELL = (b",", b"\r", b"\n")
# Twice as fast as counting or finding texts of two bytes.
_BLANK_LINE = re.compile(rb"\n\r?\n")
_BARE_RETURN = re.compile(rb"\r(?!\n)")


def split_rows(data: bytes) -> Iterator[tuple[str, list[str]]]:
    """Each row as it stands in ``data``, line end included, and its cells. Line ends inside quotes belong to the row.

    ``data`` is UTF-8. Blank lines are no rows.

    :raises csv.Error: a quoted cell is never closed, or is followed by stray text.
    """
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline=""):
            taken.append(line)
            yield line

    for cells in csv.reader(lines(), strict=True):
        raw = "".join(taken)
        taken.clear()
        if cells:
            yield raw, cells


def whole_rows(data: bytes, start: int) -> tuple[bytes, int, int]:
    """Text whose rows from a place on are those of ``data`` from ``start`` on, without blank lines; that place, and how many.

    ``data`` ends with a line end or is empty.

    :raises csv.Error: as :func:`split_rows`.
    """
    rows = _count_if_regular(data, start)
    if rows is not None:
        return data, start, rows
    kept = [raw.encode() for raw, _ in split_rows(data[start:])]
    return b"".join(kept), 0, len(kept)


def _count_if_regular(data: bytes, start: int) -> int | None:
    """The number of rows, four times as fast as parsing; None where only parsing can tell.

    Regular are rows without blank lines and bare carriage returns, in which quotes stand only around whole cells. They are
    looked at a piece at a time, because the pieces between quotes take many times the room of the text, and because other
    threads, which send what came before, stand still as long as one call takes.
    """
    rows = 0
    while start < len(data):
        end = _end_of_row(data, start + _PIECE_BYTES)
        piece = data[start:end]
        more = 1
        # An even number of parts means an odd number of quotes: the line end is inside a cell.
        while len(parts := piece.split(b'"')) % 2 == 0:
            if end == len(data):
                return None
            # Further and further, because such a cell may have any number of lines.
            end = _end_of_row(data, end + more)
            more *= 2
            piece = data[start:end]
        if piece.startswith((b"\n", b"\r")) or _BLANK_LINE.search(piece) or _BARE_RETURN.search(piece):
            return None
        counted = _count_outside(parts[::2])
        if counted is None:
            return None
        rows += counted
        start = end
    return rows


def _end_of_row(data: bytes, at_least: int) -> int:
    return data.find(b"\n", at_least - 1) + 1 or len(data)


def _count_outside(outside: list[bytes]) -> int | None:
    """The line ends in what stands outside quotes; a doubled quote leaves an empty part of it."""
    inner_are_regular = all(not part or (part[:1] in _AFTER_CELL and part[-1:] in _BEFORE_CELL) for part in outside[1:-1])
    first_is_regular = len(outside) == 1 or not outside[0] or outside[0][-1:] in _BEFORE_CELL
    last_is_regular = len(outside) == 1 or outside[-1][:1] in _AFTER_CELL
    if not (inner_are_regular and first_is_regular and last_is_regular):
        return None
    return sum(part.count(b"\n") for part in outside)


def write_row(cells: Sequence[str]) -> str:
    """One row with CRLF and quotes only where they are needed (RFC 4180)."""
    out = io.StringIO(newline="")
    csv.writer(out).writerow(cells)
    return out.getvalue()
