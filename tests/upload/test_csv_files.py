"""CSV as programs write it: delimiters, quotes, blank lines, line ends and encodings."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.upload.files import FileError, FileRows
from airflow_provider_custobar.upload.rows import TextRow, Unreadable
from tests.upload.file_help import file, read

AB = [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        # Quotes: what is in them tells nothing of the delimiter.
        ('"a, or: x, y";b\r\n1;2\r\n', [{"a, or: x, y": "1", "b": "2"}]),
        ('a;"b, c, d, e"\r\n1;2\r\n', [{"a": "1", "b, c, d, e": "2"}]),
        ('a;"b,\r\nc,\r\nd"\r\n1;2\r\n', [{"a": "1", "b,\r\nc,\r\nd": "2"}]),
        ('a\t"b;c;d"\n1\t2\n', [{"a": "1", "b;c;d": "2"}]),
        ('a,"b;;;;"\n1,2\n', [{"a": "1", "b;;;;": "2"}]),
        ('a,5" screen;s\n1,2\n', [{"a": "1", '5" screen;s': "2"}]),
        # Blank lines, in front and elsewhere.
        ("\r\na,b\r\n1,2\r\n", AB),
        ("\n\n \n\t\na,b\n1,2\n", AB),
        (",,\r\na,b\r\n1,2\r\n", AB),
        (';;\n"";""\na;b\n1;2\n', AB),
        ("\ufeff\r\na,b\r\n1,2\r\n", AB),
        ("a,b\r\n\r\n1,2\r\n,\r\n  \r\n,,,\r\n", AB),
        # A delimiter at the end of each line.
        ("a,b,\r\n1,2,\r\n", AB),
        ("a;b;;\r\n1;2;;\r\n", AB),
        ("a,b,\r\n1,2\r\n", AB),
        # Excel's own line.
        ("sep=;\r\na;b\r\n1;2\r\n", AB),
        ("SEP=|\na|b\n1|2\n", AB),
        ('"sep=;"\r\na;b\r\n1;2\r\n', AB),
        ("\ufeffsep=;\r\na,x;b\r\n1;2\r\n", [{"a,x": "1", "b": "2"}]),
        ("sep=\t\r\na\tb\r\n1\t2\r\n", AB),
        ("sep=\\t\r\na\tb\r\n1\t2\r\n", AB),
        ("sep=;;\r\na;b\r\n1;2\r\n", AB),
        ("\r\nsep=,\r\n\r\na,b\r\n1,2\r\n", AB),
        # Line ends, and characters that are none.
        ("a,b\r1,2\r", AB),
        ("a,b\n1,2", AB),
        ('a,b\r\n"1\r\n2\n3\r4",5\r\n', [{"a": "1\r\n2\n3\r4", "b": "5"}]),
        ("a,b\n1\u2028\u2029\x85\x0b\x0c\x1c2,3\n", [{"a": "1\u2028\u2029\x85\x0b\x0c\x1c2", "b": "3"}]),
        ("a,b\n1\x002,3\n", [{"a": "1\x002", "b": "3"}]),
        # Quotes within cells.
        ('a,b\n5" x,"say ""hi"", ok"\n', [{"a": '5" x', "b": 'say "hi", ok'}]),
        ('a,b\n" 1 ", 2\n', [{"a": " 1 ", "b": " 2"}]),
        (f"a,b\n{'x' * 300_000},2\n", [{"a": "x" * 300_000, "b": "2"}]),
        ("a\n1\n", [{"a": "1"}]),
        ("a,b\n", []),
        ("", []),
    ],
)
def test_csv_as_it_is_written(text: str, rows: list[Any]) -> None:
    """Rule: the rows are those that a person sees in a spreadsheet."""
    assert read("a.csv", text.encode()) == rows


@pytest.mark.parametrize("delimiter", ["|", ";", "\t", "\\t", ",", ":", "\x1f", "§"])
def test_the_delimiter_can_be_named(delimiter: str) -> None:
    """Rule: what is named is not looked for; a tab may be written as a word."""
    character = "\t" if delimiter == "\\t" else delimiter
    header = next(name for name in ("a,,,,;;;;x", "a\t\t\t\tx") if character not in name)
    text = f"{character}{character}\n{header}{character}b\n1{character}2\n"
    assert read("a.csv", text.encode(), delimiter=delimiter) == [{header: "1", "b": "2"}]
    assert read("a.csv", f"sep=!\n{text}".encode(), delimiter=delimiter) == [{header: "1", "b": "2"}]


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n", "\r", "\0", 1, b";", [";"], "tab"])
def test_a_delimiter_that_cannot_be_is_refused(delimiter: Any) -> None:
    """Rule: it is said with the argument's name, before a file is opened."""
    with pytest.raises(InvalidArgumentError, match="^delimiter="):
        FileRows([file("a.csv", b"")], delimiter=delimiter)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\r\n\r\n", "after 0 rows: it has no header"),
        (b" ", "no header"),
        (b",,,\r\n", "no header"),
        (b"\xef\xbb\xbf", "no header"),
        (b"sep=;\r\n", "no header"),
        (b"a,a\r\n1,2\r\n", "name each column"),
        (b"a, a\r\n1,2\r\n", "name each column"),
        (b",b\r\n1,2\r\n", "name each column"),
        (b"a,\r\n1,secret\r\n", "after 0 rows: its first line must name each column"),
        (b'a,b\r\n1,2\r\n3,"secret', "after 1 rows: unexpected end of data, in line 3"),
        (b'\r\na,b\r\n1,2\r\n"secret"x,2\r\n5,6\r\n', "after 1 rows: .*expected.*, in line 4"),
        (b"a,b\r\n1,2\r\n\xe4secret,2\r\n", "after [01] rows: .*codec can't decode.*encoding"),
        ("a,b\r\n1,2".encode("utf-16-le"), "NUL.*utf-16"),
    ],
)  # fmt: skip
def test_what_is_no_csv_is_told_by_file_and_place(data: bytes, said: str) -> None:
    """Rule: a file that cannot be read as a whole is an error that names it and the place, and shows nothing of it."""
    with pytest.raises(FileError, match=rf"^a\.csv cannot be read to its end, .*({said})") as caught:
        read("a.csv", data)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_alone_is_no_header(encoding: str) -> None:
    """Rule: a file in which there are bytes, but no header, is an error, whatever its encoding makes of them."""
    with pytest.raises(FileError, match="no header"):
        read("a.csv", "".encode(encoding), encoding=encoding)


@pytest.mark.parametrize("text", ["a,b\n1,2\n3,4\0\0\0", "a,b\n1,2\n3,4\n\0\0\0", "a,b\n1,2\n3,\0\0\0"])
def test_a_part_that_was_never_written_is_no_value(text: str) -> None:
    """Rule: after a crash, some file systems show zeros in place of what had not reached the disk: rows are missing there."""
    rows = read("a.csv", text.encode())
    assert rows[0] == AB[0]
    assert isinstance(rows[-1], Unreadable)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("a,b\n1,2\na,b\n3,4\n", [1]),
        ("\ufeffa,b\n1,2\n\ufeffa,b\n3,4\n\ufeffa,b\n", [1, 3]),
        ('\ufeff"a",b\n1,2\n\ufeff"a",b\n', [1]),
        ('"a, c",b,\n1,2,\n"a, c", b ,\n', [1]),
        ("a,b\na,b\n1,2\n", [0]),
        ("sep=;\na;b\n1;2\nsep=;\na;b\n3;4\n", [1, 2]),
        ("a\n1\na\n2\n", [1]),
    ],
)
def test_a_header_further_down_is_no_row(text: str, places: list[int]) -> None:
    """Rule: of files that were joined, each header but the first is told as a bad row and is nobody's value."""
    told = {place: row.reason for place, row in enumerate(read("a.csv", text.encode())) if isinstance(row, Unreadable)}
    assert told == dict.fromkeys(places, "it is the header once more, as where files were joined")


def test_a_header_of_other_columns_further_down_is_an_error() -> None:
    """Rule: what follows a header with the same names in another order would come under wrong ones."""
    with pytest.raises(FileError, match=r"^a\.csv cannot be read to its end, after 1 rows: .*second header"):
        read("a.csv", b"a,b\n1,2\nb,a\n2,1\n")


def test_where_a_row_stands_can_be_told() -> None:
    """Rule: of a row that is none it can be told in which file it is, and at which place there."""
    rows = FileRows([file("1.csv", b"a\n1\n"), file("2.csv", b"a\n"), file("3.csv", b"a\n1\n1,2\n3\n")])
    assert [type(row) for row in rows] == [TextRow, TextRow, Unreadable, TextRow]
    assert [rows.place_of(position) for position in (0, 1, 2)] == [
        "row 1 of 1.csv",
        "row 1 of 3.csv",
        "row 2 of 3.csv",
    ]


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "cp1252", "utf-7"]
TEXTS = {
    "a.csv": "city,n\r\n\u0a0aMünchen\u0a0d,1\r\n",
    "a.jsonl": '{"city": "\u0a0aMünchen\u0a0d", "n": "1"}\n',
    "a.json": '[{"city": "\u0a0aMünchen\u0a0d", "n": "1"}]',
}


@pytest.mark.parametrize("marks", [0, 1])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", TEXTS)
def test_every_encoding_works_in_every_text_format(name: str, encoding: str, marks: int) -> None:
    """Rule: wide ones too, whose characters hold the bytes of line ends, with a byte order mark and without."""
    text = TEXTS[name]
    if encoding == "cp1252":
        text, marks = text.replace("\u0a0a", "").replace("\u0a0d", ""), 0
    if encoding in ("utf-16", "utf-32", "utf-8-sig"):
        marks = 0
    data = ("\ufeff" * marks + text).encode(encoding)
    city = "München" if encoding == "cp1252" else "\u0a0aMünchen\u0a0d"
    assert read(name, data, encoding=encoding) == [{"city": city, "n": "1"}]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("encoding", ["utf 8", "U8", "cp65001", "UTF_8", "UTF8", "utf-8-sig", "Utf-8"])
def test_every_spelling_of_an_encoding_is_the_same(encoding: str, name: str) -> None:
    """Rule: what Python knows by many names behaves as one, byte order mark included."""
    assert read(name, ("\ufeff" + TEXTS[name]).encode(), encoding=encoding) == [{"city": "\u0a0aMünchen\u0a0d", "n": "1"}]


@pytest.mark.parametrize(
    "encoding",
    [None, 8, "", b"utf-8", "utf-99", "base64", "rot13", "hex", "zlib", "bz2", "quopri", "uu", "idna", "punycode", "undefined",
     "unicode_escape", "raw_unicode_escape", "utf-8\0", "../utf-8", ["utf-8"]],
)  # fmt: skip
def test_what_is_no_encoding_of_files_is_refused(encoding: Any) -> None:
    """Rule: it is said with the argument's name, before a file is opened."""
    with pytest.raises(InvalidArgumentError, match="^encoding="):
        FileRows([file("a.csv", b"")], encoding=encoding)


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    # NULs at a row's end are what a crash leaves, and no text.
    st.lists(st.tuples(CELLS, CELLS, CELLS.filter(lambda cell: cell.strip() and not cell.endswith("\0"))), max_size=6),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\r\n", "\n", "\r"]),
    st.sampled_from(["utf-8", "utf-16", "utf-32-be"]),
    st.sampled_from(["", "\ufeff", "\n\n", ",,\n", "sep=|\n"]),
)
def test_rows_are_those_of_pythons_own_reader(
    rows: list[tuple[str, str, str]], delimiter: str, line_end: str, encoding: str, before: str
) -> None:
    """Rule: cell for cell what Python's own reader makes of the same text."""
    out = io.StringIO(newline="")
    # Python quotes only those line ends that it writes.
    quoting = csv.QUOTE_MINIMAL if line_end == "\r\n" else csv.QUOTE_ALL
    csv.writer(out, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerows([("a", "b", "c, d; e"), *rows])
    header, *expected = csv.reader(io.StringIO(out.getvalue(), newline=""), delimiter=delimiter, strict=True)
    before = before if before != "\ufeff" or encoding != "utf-16" else ""
    found = read("a.csv", (before + out.getvalue()).encode(encoding), encoding=encoding, delimiter=delimiter)
    assert found == [dict(zip(header, cells, strict=True)) for cells in expected]
