"""CSV text cut into rows without changing a byte of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

# A cell is as long as the API makes it; the csv module's own limit of 128 KiB would refuse a long description.
csv.field_size_limit(2**31 - 1)


def split_rows(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each row as it stands in ``text``, line end included, and its cells. Line ends inside quotes belong to the row.

    :raises csv.Error: a quoted cell is never closed, or is followed by stray text.
    """
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    for cells in csv.reader(lines(), strict=True):
        raw = "".join(taken)
        taken.clear()
        if cells:
            yield raw, cells


def count_rows(text: str) -> int:
    """How many rows ``text`` has: its line ends, less those inside quotes. ``text`` ends with a line end or is empty.

    :raises csv.Error: a quoted cell is never closed.
    """
    if '"' not in text:
        return text.count("\n")
    # Outside quotes are the even pieces; a doubled quote leaves an empty one and changes nothing.
    pieces = text.split('"')
    if len(pieces) % 2 == 0:
        raise csv.Error("unexpected end of data inside a quoted cell")
    return sum(piece.count("\n") for piece in pieces[::2])


def write_row(cells: Sequence[str]) -> str:
    """One row with CRLF and quotes only where they are needed (RFC 4180)."""
    out = io.StringIO(newline="")
    csv.writer(out).writerow(cells)
    return out.getvalue()
