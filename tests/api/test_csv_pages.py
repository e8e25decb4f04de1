"""CSV pages: rows as they stand, counted rightly, refused where they are cut or no CSV."""

from __future__ import annotations

import csv
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import Fate, MalformedResponseError
from airflow_provider_custobar.api.pages import CsvPage, decode_csv_page

CSV = {"content-type": "text/csv; charset=utf-8"}


def decode(body: bytes | str, headers: dict[str, str] | None = None) -> CsvPage:
    return decode_csv_page(body.encode() if isinstance(body, str) else body, headers or CSV, "customers")


def written(rows: list[list[str]], line_end: str = "\r\n", quoting: int = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=line_end, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_rows_keep_every_byte(end: str) -> None:
    """Rule: quotes, line ends inside and after rows, and spaces stay as the API wrote them."""
    body = f'1,"a ""b"", c"{end}2," x\ny\r\nz "{end}3,{end}'
    page = decode(f"external_id,name{end}{body}")
    assert page.header == ("external_id", "name")
    assert page.header_line == f"external_id,name{end}".encode()
    assert page.body == body.encode()
    assert (page.rows, page.fetched) == (3, 3)
    assert list(page.dicts()) == [
        {"external_id": "1", "name": 'a "b", c'},
        {"external_id": "2", "name": " x\ny\r\nz "},
        {"external_id": "3", "name": ""},
    ]


# Without lone surrogates, which no UTF-8 text holds, and NUL, which no export holds.
cells = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=12)


@given(
    st.integers(1, 5).flatmap(lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=8)),
    st.sampled_from(["\r\n", "\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_any_rows_come_back_as_the_csv_module_wrote_them(rows: list[list[str]], end: str, quoting: int) -> None:
    """Rule: any cells survive the way into a page and out of it, byte for byte, and are counted one by one."""
    header = [f"column {number}" for number in range(len(rows[0]))]
    # A CR outside quotes is a line end to every reader; a writer with LF ends leaves it bare, so that case quotes all.
    text = written([header, *rows], end, csv.QUOTE_ALL if end == "\n" else quoting)
    page = decode(text)
    assert page.header_line + page.body == text.encode()
    assert page.header == tuple(header)
    assert page.rows == page.fetched == len(rows)
    assert [list(row.values()) for row in page.dicts()] == rows


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("text/csv", "utf-8"),
        ("", "utf-8"),
        ("text/csv; charset=utf-8", "utf-8"),
        ('text/csv; charset="UTF-8"', "utf-8"),
        ("text/csv", "utf-8-sig"),
        ("text/csv; charset=utf-16", "utf-16"),
        ("text/csv;charset=utf-16le", "utf-16-le"),
        ("text/csv; header=present; charset=ISO-8859-1", "iso-8859-1"),
        ("text/csv; charset=windows-1252", "cp1252"),
    ],
)
def test_the_charset_is_the_one_that_content_type_names(content_type: str, encoding: str) -> None:
    """Rule: the answer is decoded as its Content-Type says, UTF-8 otherwise, a BOM is dropped, and UTF-8 comes out."""
    page = decode("external_id,name\r\n1,Äiti\r\n".encode(encoding), {"content-type": content_type})
    assert page.header == ("external_id", "name")
    assert page.header_line == b"external_id,name\r\n"
    assert page.body == "1,Äiti\r\n".encode()


def test_a_missing_last_line_end_is_added() -> None:
    """Rule: the last row may lack its line end; it gets one, so that the next page's rows can follow."""
    page = decode('external_id,name\r\n1,a\r\n2,"b"')
    assert page.body.startswith(b'1,a\r\n2,"b"')
    assert page.body.endswith(b"\n")
    assert (page.rows, list(page.dicts())[-1]) == (2, {"external_id": "2", "name": "b"})


@pytest.mark.parametrize("text", ["id,name\r1,a\r2,b\r", "id,name\r\n1,a\r\n2,b\r", "id,name\r"])
def test_a_line_end_of_a_bare_cr_becomes_no_blank_line(text: str) -> None:
    """Rule: a header and a last row that end with a CR get its LF, and no second line end, which would be a blank line."""
    page = decode(text)
    file = page.header_line + page.body
    assert b"\r\r" not in file
    assert file.endswith(b"\r\n")


@pytest.mark.parametrize("text", ["external_id,name\r\n", "external_id,name\n", "external_id,name"])
def test_a_header_alone_is_an_empty_page(text: str) -> None:
    """Rule: a header without rows is a page of no rows that still names its columns."""
    page = decode(text)
    assert (page.header, page.body, page.rows, list(page.dicts())) == (("external_id", "name"), b"", 0, [])
    assert page.header_line.endswith(b"\n")


def test_an_empty_body_is_a_page_of_nothing() -> None:
    """Rule: no bytes at all are no rows and no header, and the header line stays empty."""
    page = decode(b"")
    assert (page.header, page.header_line, page.body, page.rows) == ((), b"", b"", 0)


@pytest.mark.parametrize(
    "text",
    [
        'external_id,name\r\n1,"a',
        'external_id,name\r\n1,"a\r\n2,b\r\n',
        'external_id,name\r\n1,"a ""',
        'external_id,"na',
        "external_id,name\r\n1,a\r\n2",
        "external_id,name,city\r\n1,a,x\r\n2,b",
        "external_id,name\r\n1,a\r\n2,b,c",
    ],
)
def test_a_cut_page_is_refused(text: str) -> None:
    """Rule: text that ends inside quotes or with a row of the wrong width was cut, and is asked for again."""
    with pytest.raises(MalformedResponseError, match="customers") as caught:
        decode(text)
    assert caught.value.fate is Fate.TRANSIENT


PAGE = 'external_id,name,city\r\n1,"a,\r\nb",x\r\n2,"say ""hi""",yy\r\n'


@pytest.mark.parametrize("length", range(len("external_id,name,city\r\n"), len(PAGE)))
def test_a_beginning_of_a_page_is_refused_or_holds_whole_rows_up_to_the_last_cell(length: int) -> None:
    """Rule: a cut page never gives a row with other cells than the whole page has, but for the very last cell."""
    whole = list(decode(PAGE).dicts())
    try:
        page = decode(PAGE[:length])
    except MalformedResponseError:
        return
    rows = list(page.dicts())
    assert len(rows) == page.rows
    assert rows[:-1] == whole[: max(len(rows) - 1, 0)]
    if rows:
        last, expected = rows[-1], whole[len(rows) - 1]
        assert {key: value for key, value in last.items() if key != "city"} == {
            key: value for key, value in expected.items() if key != "city"
        }


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"customers":[]}', "application/json"),
        (b'{"customers":[]}', "application/json; charset=utf-8"),
        (b'{"customers":[{"external_id":"1"}]}', "text/csv"),
        (b'{"customers":[],"next_url":"https://x/"}', ""),
        (b'\xef\xbb\xbf {"error":{"reason":"Try again later."}}', "text/plain"),
        (b'{"error":{"reason":"Busy."}}', "application/problem+json"),
        (b'[{"external_id":"1"}]', "text/plain"),
        (b"<html></html>", "text/csv"),
        (b"\n<!doctype html>", ""),
        (b"id,name\r\n", "text/html"),
        (b"id,n\xff\r\n", "text/csv"),
        (b"id,name\r\n1,\xc3\x28\r\n", "text/csv; charset=utf-8"),
        (b"id,name\r\n", "text/csv; charset=klingon"),
        (b"id,name\r\n", "text/csv; charset=hex"),
        (b"i\x00d", "text/csv; charset=utf-16"),
    ],
)
def test_what_is_no_csv_is_refused(body: bytes, content_type: str) -> None:
    """Rule: JSON, HTML or undecodable bytes in place of CSV are refused; they never pass for a page without rows."""
    with pytest.raises(MalformedResponseError, match="customers"):
        decode(body, {"content-type": content_type})


@pytest.mark.parametrize(
    "text",
    [
        "id,name\r\n\r\n1,a\r\n",
        "id,name\r\n1,a\r\n\r\n",
        "id,name\n1,a\n\n\n2,b\n",
        "\r\nid,name\r\n1,a\r\n",
        "id,name\r1,a\r2,b\r",
        'id,name\r\n1,5" pipe\r\n2,6" pipe\r\n',
        'id,name\r\n1,a"b"c\r\n',
        'id,name\r\n1,5" pipe\r\n',
    ],
)
def test_rows_are_counted_as_a_csv_reader_sees_them(text: str) -> None:
    """Rule: blank lines are no rows, a lone CR ends one, a quote inside a bare cell opens nothing; or the page is refused."""
    expected = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    try:
        page = decode(text)
    except MalformedResponseError:
        return
    assert list(page.header) == expected[0]
    assert [list(row.values()) for row in page.dicts()] == expected[1:]
    assert page.rows == len(expected) - 1


@pytest.mark.parametrize("row", ['1,"a" b', '1,"a"b"', '1,"a""'])
def test_a_page_that_is_accepted_can_be_read(row: str) -> None:
    """Rule: stray text after a closing quote is found when the page arrives, not by whoever reads its rows later."""
    try:
        page = decode(f"id,name\r\n{row}\r\n")
    except MalformedResponseError:
        return
    assert len(list(page.dicts())) == page.rows


def test_the_next_page_is_named_by_the_header() -> None:
    """Rule: for CSV the response header is the only place that names the next page; an empty one means none."""
    assert decode("id\r\n", CSV | {"x-custobar-next-url": "https://x/?c=%2B"}).next_url == "https://x/?c=%2B"
    assert decode("id\r\n", CSV | {"x-custobar-next-url": ""}).next_url is None
    assert decode("id\r\n").next_url is None


def test_a_cell_may_be_longer_than_the_csv_modules_own_limit() -> None:
    """Rule: a description of several hundred kilobytes is a cell like any other."""
    text = "x" * 400_000
    assert list(decode(f'id,text\r\n1,"{text}"\r\n').dicts()) == [{"id": "1", "text": text}]


def test_a_cell_of_many_lines_takes_no_longer_than_another() -> None:
    """Rule: a text of a megabyte with quotes and line ends in it is looked at a few times, not once for every line."""
    text = '"\\\n\t%' * 300_000
    body = io.StringIO(newline="")
    csv.writer(body).writerows([["city"], ["Turku"], [text], ["Oulu"]])
    # Of the processor, which other work on the machine leaves alone; line by line it would be minutes.
    worked = time.process_time()
    page = decode_csv_page(body.getvalue().encode(), {"content-type": "text/csv"}, "customers")
    assert time.process_time() - worked < 5
    assert [row["city"] for row in page.dicts()] == ["Turku", text, "Oulu"]
