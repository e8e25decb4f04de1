"""Rows out of CSV: cells with a delimiter between them, under the names that its first filled line gives."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator

from airflow_provider_custobar.upload.formats.errors import UnreadableFileError
from airflow_provider_custobar.upload.rows import TextRow, Unreadable

# Those that Custobar's own CSV import detects.
_DELIMITERS = ",;\t"
_LONGEST_CELL = 16 << 20
_LONGEST_HEADER = 1 << 16
_BLANK = re.compile(rf'(?:[\s{_DELIMITERS}]|"")*')
# Excel's way to tell the delimiter; programs that write such a file again fill the line up to the width of the others.
_SEP_LINE = re.compile(rf'"?sep=(\\t|[^\w"\r\n])"?[\s{_DELIMITERS}]*', re.IGNORECASE)
# A quote begins a quoted cell only where a cell begins.
_OPENED = re.compile(rf'(?:^|(?<=[{_DELIMITERS}]))"')
_QUOTED = re.compile(rf'{_OPENED.pattern}(?:[^"]|"")*"')

_BOM = "\N{BYTE ORDER MARK}"
_AROUND_NAME = f'{_BOM}" \t'
_NAMES_WANTED = "its first line must name each column, and no two alike"


def read_csv(
    data: io.BufferedReader, encoding: str, delimiter: str | None, on_open_end: Callable[[], None] = lambda: None
) -> Iterator[object]:
    """A row with cells too many or too few comes as :class:`Unreadable`, and so does the header of a file that was joined to
    another; a line without any filled cell is none.

    :param delimiter: None to have it found in the header.
    :param on_open_end: Called once where the last line has no line end and others have: it may be cut within its last cell.
    :raises UnreadableFileError: no header, a column without a name, two alike, a quote that is not closed, or another header
        further down with the same names in another order.
    """
    # A limit of the whole process, by default less than a product's description. A quote that is not closed reads up to it.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    is_empty = not data.peek(1)
    with io.TextIOWrapper(data, encoding=encoding, newline="") as text:
        before, first, told = _first_filled_line(text, delimiter)
        if not first:
            if not is_empty:
                raise UnreadableFileError("it has no header: each of its lines is blank")
            return
        header, found = _header(first, text)
        last = _Last()
        lines = last.of(itertools.chain(header, text))
        reader = csv.reader(lines, delimiter=delimiter or told or found, strict=True)
        try:
            yield from _rows(reader)
        except csv.Error as error:
            raise UnreadableFileError(f"{error}, in line {before + reader.line_num:,}") from error
        if before + reader.line_num > 1 and not last.line.endswith(("\r", "\n")):
            on_open_end()


class _Last:
    """The last of the lines that went by."""

    line = ""

    def of(self, lines: Iterable[str]) -> Iterator[str]:
        for self.line in lines:
            yield self.line


def _first_filled_line(text: io.TextIOWrapper, delimiter: str | None) -> tuple[int, str, str | None]:
    """How many lines come before it, the line, empty where there is none, and the delimiter that Excel's own line tells."""
    before = 0
    told = None
    for raw in text:
        line = raw if before else raw.removeprefix(_BOM)
        if not _BLANK.fullmatch(line.replace(delimiter, "") if delimiter else line):
            sep = None if told else _SEP_LINE.fullmatch(line)
            if not sep:
                return before, line, told
            told = sep[1].replace("\\t", "\t")
        before += 1
    return before, "", told


def _header(first: str, text: io.TextIOWrapper) -> tuple[list[str], str]:
    """The lines of the header, which may go on in quotes, and the delimiter that stands most often outside of them."""
    lines, header = [first], first
    while _OPENED.search(unquoted := _QUOTED.sub("", header)) and len(header) < _LONGEST_HEADER and (more := next(text, "")):
        lines.append(more)
        header += more
    return lines, max(_DELIMITERS, key=unquoted.count)


def _rows(reader: Iterator[list[str]]) -> Iterator[object]:
    header = [name.strip() for name in next(reader)]
    width = len(header)
    # Some programs end each line with a delimiter.
    names = header[: width - next((place for place, name in enumerate(reversed(header)) if name), width)]
    if "\0" in "".join(names):
        raise UnreadableFileError("its first line holds NUL characters: give its encoding, such as utf-16-le")
    if not names or len(set(names)) < len(names) or "" in names:
        raise UnreadableFileError(_NAMES_WANTED)
    filled = (cells for cells in reader if any(cells))
    first = next(filled, [])
    if len(first) == len(names):
        # The header alone may do so.
        width = len(names)
    first_names = {"sep=", *(name.lower() for name in names)}
    for cells in itertools.chain([first], filled) if first else ():
        if len(cells) == width:
            if len(names) < width and any(cells[len(names) :]):
                raise UnreadableFileError(_NAMES_WANTED)
            may_be_names = cells[0].strip(_AROUND_NAME).lower() in first_names
            if may_be_names and (again := _names_again(cells, names)) is not None:
                if again != names:
                    raise UnreadableFileError("it holds a second header, with its columns in another order")
                yield Unreadable("it is the header once more, as where files were joined", cells)
            elif cells[-1].endswith("\0"):
                yield Unreadable("it ends in NUL characters, as a file does of which a part was never written", cells)
            else:
                yield TextRow(zip(names, cells, strict=False))
        elif "".join(cells).strip():
            yield Unreadable(f"it has {len(cells)} cells where the header has {width}", cells)


def _names_again(cells: list[str], names: list[str]) -> list[str] | None:
    """The names in a row that is a header of the same columns, in whichever order, or Excel's own line before it; else None."""
    first = cells[0].removeprefix(_BOM)
    if first.lower() == "sep=" and not any(cells[1:]):
        return names
    if first is not cells[0] and len(first) > 1 and first[0] == first[-1] == '"':
        # Behind a byte order mark, the quotes around a name count as a part of it.
        first = first[1:-1]
    found = [name.strip() for name in (first, *cells[1 : len(names)])]
    return found if sorted(found) == sorted(names) else None
