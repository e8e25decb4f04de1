"""Which of the fetched records belong to the answer."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import ProtocolError
from airflow_provider_custobar.api.pages import CsvPage, JsonPage, decode_csv_page, decode_json_page
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.api.selection import Selection

ZONE = "Europe/Helsinki"


def selection(resource: str, **arguments: Any) -> Selection:
    if resource == "events":
        arguments["event_types"] = "BROWSE"
    return Selection(build_query(resource, timezone=ZONE, **arguments), ZONE)


def json_page(resource: str, *records: str) -> JsonPage:
    return decode_json_page(f'{{"{resource}":[{",".join(records)}]}}'.encode(), {}, resource)


def csv_page(text: str) -> CsvPage:
    names = text.splitlines()[0].split(",")
    selecting = next((name for name in ("date", "sale_date", "external_id") if name in names), None)
    return decode_csv_page(text.encode(), {}, "any", selecting)


def test_records_outside_the_window_are_left_out_and_kept_ones_keep_every_byte() -> None:
    """Rule: a record is kept by its own timestamp, in the tenant's day, start included and end not; bytes do not change."""
    kept = [
        '{"date":"2026-01-31T22:00:00Z","n":1.50}',
        '{"x":"\\u00e4",  "date":"2026-02-01T23:59:59.999999+02:00"}',
        '{"date":"2026-02-01T00:00:00"}',
        '{"date":"2026-02-01"}',
        '{"big":12345678901234567890123,"date":"2026-02-01T21:59:59Z"}',
    ]
    left_out = [
        '{"date":"2026-01-31T21:59:59.999999Z"}',
        '{"date":"2026-02-01T22:00:00Z"}',
        '{"date":"2026-02-02T00:00:00"}',
        '{"date":"2026-02-02"}',
        '{"date":"2026-02-02T00:00:00+02:00"}',
        '{"date":"2026-01-31T23:59:59"}',
    ]
    mixed = [text for pair in zip(left_out, [*kept, kept[0]], strict=True) for text in pair]
    page = selection("events", date="2026-02-01").apply(json_page("events", *mixed))
    assert isinstance(page, JsonPage)
    assert [record.decode() for record in page.records] == [*kept, kept[0]]
    assert (page.rows, page.fetched) == (6, 12)


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_csv_rows_outside_the_window_are_left_out(end: str) -> None:
    """Rule: as for JSON; kept rows keep their quotes and line ends, and are counted."""
    rows = [
        "BROWSE,2026-01-31T21:59:59Z,out",
        'BROWSE,"2026-02-01T00:00:00","two\nlines, ""quoted"""',
        "BROWSE,2026-02-01T23:59:59+02:00,in",
        "BROWSE,2026-02-02T00:00:00+02:00,out",
    ]
    page = selection("events", date="2026-02-01", api_format="csv").apply(csv_page(end.join(["type,date,path", *rows]) + end))
    assert isinstance(page, CsvPage)
    assert page.body.decode() == end.join(rows[1:3]) + end
    assert (page.rows, page.fetched) == (2, 4)
    assert page.header == ("type", "date", "path")


def test_as_many_line_ends_as_rows_need_not_be_theirs() -> None:
    """Rule: where a lone CR ends one row, and another has a line end in quotes, those that are kept are whole."""
    inside, outside = "2026-02-01T12:00:00Z", "2026-03-01T12:00:00Z"
    page = csv_page(f'type,date\r\nA,{outside}\rB,{inside}\r\n"C\nC",{outside}\r\nD,{inside}\r\n')
    kept = selection("events", date="2026-02-01", api_format="csv").apply(page)
    assert isinstance(kept, CsvPage)
    assert (kept.rows, kept.body.decode()) == (2, f"B,{inside}\r\nD,{inside}\r\n")


def test_the_added_timestamp_does_not_show() -> None:
    """Rule: a timestamp asked for only to place records is taken out again; the other values keep every byte."""
    page = selection("events", date="2026-02-01", fields=["type", "path"]).apply(
        json_page(
            "events",
            '{"type": "BROWSE", "date": "2026-02-01T10:00:00Z", "path": "\\u00e4\\/x", "n": 12345678901234567890.50}',
            '{"date":"2026-02-03"}',
        )
    )
    assert isinstance(page, JsonPage)
    (record,) = page.records
    assert json.loads(record).keys() == {"type", "path", "n"}
    assert b'"\\u00e4\\/x"' in record
    assert b"12345678901234567890.50" in record


@pytest.mark.parametrize(
    ("header", "rows", "expected_header", "expected"),
    [
        ("external_id,total,sale_date", ["1,5,2026-02-01", "2,6,2026-02-03"], "external_id,total", [["1", "5"]]),
        ("sale_date,external_id,total", ['2026-02-01,1,"a,""b""\r\nc"'], "external_id,total", [["1", 'a,"b"\r\nc']]),
        ("external_id,sale_date,total", ["1,2026-02-01,"], "external_id,total", [["1", ""]]),
    ],
)
def test_the_added_column_does_not_show(header: str, rows: list[str], expected_header: str, expected: list[list[str]]) -> None:
    """Rule: the same for CSV, wherever the column stands; header and rows stay of one width."""
    page = selection("sales", date="2026-02-01", fields=["total"], api_format="csv").apply(
        csv_page("\r\n".join([header, *rows, ""]))
    )
    assert isinstance(page, CsvPage)
    assert page.header_line.decode() == f"{expected_header}\r\n"
    assert page.header == tuple(expected_header.split(","))
    assert [list(row.values()) for row in page.dicts()] == expected
    assert page.rows == len(expected)


def test_the_added_column_does_not_show_on_pages_without_rows() -> None:
    """Rule: a page with a header only, the first of an export perhaps, has the same columns as the pages with rows."""
    chosen = selection("sales", date="2026-02-01", fields=["total"], api_format="csv")
    empty = chosen.apply(csv_page("external_id,total,sale_date\r\n"))
    full = chosen.apply(csv_page("external_id,total,sale_date\r\n1,5,2026-02-01\r\n"))
    assert isinstance(empty, CsvPage)
    assert isinstance(full, CsvPage)
    assert empty.header == full.header == ("external_id", "total")
    assert empty.header_line == full.header_line == b"external_id,total\r\n"


@pytest.mark.parametrize("quoted", ["/z", '"/z"'])
def test_an_empty_value_of_the_only_field_is_a_row(quoted: str) -> None:
    """Rule: where one column is left, a row whose cell is empty is no blank line, but a row that every reader counts."""
    rows = [
        "path,date",
        "/x,2026-02-01T10:00:00Z",
        ",2026-02-01T11:00:00Z",
        "/y,2026-02-03T10:00:00Z",
        f"{quoted},2026-02-01T12:00:00Z",
    ]
    chosen = selection("events", date="2026-02-01", fields=["path"], api_format="csv")
    page = chosen.apply(csv_page("\r\n".join([*rows, ""])))
    assert isinstance(page, CsvPage)
    assert page.body == b'/x\r\n""\r\n/z\r\n'
    assert page.rows == len(list(page.dicts())) == 3


def test_a_timestamp_that_the_user_asked_for_stays() -> None:
    """Rule: only a column that was added is dropped."""
    page = selection("sales", date="2026-02-01", fields=["sale_date"]).apply(json_page("sales", '{"sale_date":"2026-02-01"}'))
    assert isinstance(page, JsonPage)
    assert page.records == [b'{"sale_date":"2026-02-01"}']


@pytest.mark.parametrize("value", ['"soon"', "null", "17", '""', '["2026-02-01"]', '{"email":"teppo@example.com"}', None])
def test_a_record_that_cannot_be_placed_raises(value: str | None) -> None:
    """Rule: a missing or unreadable timestamp is an error, never a guess; the message holds no more of the record."""
    record = '{"email":"teppo@example.com"}' if value is None else f'{{"email":"teppo@example.com","date":{value}}}'
    with pytest.raises(ProtocolError, match="events") as caught:
        selection("events", date="2026-02-01").apply(json_page("events", record))
    assert "date" in str(caught.value)
    assert "teppo" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "type,path\r\nBROWSE,x\r\n",
        "type,date\r\nBROWSE,\r\n",
        "type,date\r\nBROWSE,teppo@example.com\r\n",
        "type,date,path\r\nBROWSE,2026-02-01\r\nBROWSE,2026-02-01,x\r\n",
    ],
)
def test_a_csv_row_that_cannot_be_placed_raises(text: str) -> None:
    """Rule: the same for CSV; a shifted row's cells, which may be personal data, are not in the message."""
    with pytest.raises(ProtocolError, match="events") as caught:
        selection("events", date="2026-02-01", api_format="csv").apply(csv_page(text))
    assert "teppo" not in str(caught.value)


def test_a_record_pushed_onto_the_next_page_is_kept_once() -> None:
    """Rule: an identifier seen on this page or the one before is left out and counted; records without one all stay."""
    chosen = selection("customers")
    pages = [
        json_page("customers", '{"external_id":"1"}', '{"external_id":"2"}', "{}"),
        json_page("customers", '{"external_id":"2","late":true}', '{"external_id":"3"}', "{}"),
        json_page("customers"),
        json_page("customers", '{"external_id":"3"}', '{"external_id":"4"}', '{"external_id":"4"}', '{"external_id":null}'),
    ]
    kept = [record.decode() for page in map(chosen.apply, pages) for record in page.records]  # type: ignore[union-attr]
    expected = ['{"external_id":"1"}', '{"external_id":"2"}', "{}", '{"external_id":"3"}', "{}"]
    assert kept == [*expected, '{"external_id":"4"}', '{"external_id":null}']
    assert chosen.repeated == 3


def test_repeated_csv_rows_are_kept_once() -> None:
    """Rule: the same for CSV; rows without an identifier, and pages without the column, stay whole."""
    chosen = selection("products", api_format="csv")
    first = chosen.apply(csv_page("external_id,sku\r\n1,a\r\n2,b\r\n,x\r\n"))
    second = chosen.apply(csv_page('external_id,sku\r\n2,b\r\n"3",c\r\n,x\r\n'))
    assert isinstance(first, CsvPage)
    assert isinstance(second, CsvPage)
    assert first.body == b"1,a\r\n2,b\r\n,x\r\n"
    assert second.body == b'"3",c\r\n,x\r\n'
    assert (first.rows, second.rows, chosen.repeated) == (3, 2, 1)
    assert selection("products", api_format="csv").apply(csv_page("sku\r\na\r\na\r\n")).rows == 2


@pytest.mark.parametrize("value", ["[1]", '{"a":1}'])
def test_an_identifier_of_an_odd_type_does_not_crash(value: str) -> None:
    """Rule: a record is passed on as it came even where its identifier is a list or an object."""
    page = selection("customers").apply(json_page("customers", f'{{"external_id":{value}}}'))
    assert page.rows == 1


def test_events_alike_to_the_letter_all_stay() -> None:
    """Rule: events and sales have no identifier of their own, so equal ones are two records and none is left out."""
    chosen = selection("events", date="2026-02-01")
    event = '{"type":"BROWSE","date":"2026-02-01T10:00:00Z"}'
    assert chosen.apply(json_page("events", event, event)).rows == 2
    assert chosen.apply(json_page("events", event)).rows == 1
    row = '{"external_id":"1-1","sale_date":"2026-02-01"}'
    assert selection("sales").apply(json_page("sales", row, row)).rows == 2
    assert chosen.repeated == 0


def test_versions_of_a_product_all_stay() -> None:
    """Rule: products that share an identifier but differ are different records; the same one twice is left out once."""
    chosen = selection("products")
    versions = ['{"external_id":"1","language":"fi"}', '{"external_id":"1","language":"sv"}']
    page = chosen.apply(json_page("products", *versions, versions[0]))
    assert [record.decode() for record in page.records] == versions  # type: ignore[union-attr]
    assert chosen.repeated == 1


MOMENTS = [
    "2026-01-31T22:00:00", "2026-01-31T21:59:59", "2026-02-01T21:59:59", "2026-02-01T22:00:00", "2026-02-01T10:00:00",
    "2026-02-01T24:00:00", "2026-02-30T10:00:00", "2026-02-01T10:60:00", "2026-02-01T19:59:60", "2026-02-01T2a:00:00",
]  # fmt: skip
#: How a whole page's moments may be written: alike, or each in a way of its own.
ENDS = ["Z", "z", "", "+02:00", "-11:30", "+99:00", ".5Z", ".000000Z", ".999999+02:00", ".0000000Z"]


class OneByOne(Selection):
    """As if nothing could be told of all records of a page at once."""

    def _choices(self, values: Any, records: Any) -> None:
        return None

    def _csv_at_once(self, page: CsvPage, index: int) -> None:
        return None


def outcome_of(chosen: Selection, pages: list[Any]) -> list[object]:
    """What is left of each page, up to an error; and what is remembered."""
    found: list[object] = []
    try:
        for page in pages:
            kept = chosen.apply(page)
            found.append((list(kept.dicts()), kept.rows, kept.unplaced))
    except ProtocolError as error:
        found.append(str(error))
    return [*found, chosen.record, chosen.repeated, chosen.tail()]


@given(
    moments=st.lists(st.tuples(st.sampled_from(MOMENTS), st.sampled_from(["a", 'a,"b"', "two\nlines", "ä"])), max_size=6),
    ends=st.lists(st.sampled_from(ENDS), min_size=1, max_size=2),
    bad=st.sampled_from(["fail", "keep", "drop"]),
    fields=st.sampled_from([None, ["type", "path"], ["type", "date", "path"]]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_a_window_chosen_at_once_is_that_chosen_one_by_one(
    moments: list[tuple[str, str]], ends: list[str], bad: str, fields: list[str] | None, line_end: str
) -> None:
    """Rule: however a page's moments are written, comparing them as texts finds the same records, and the same error."""
    written = [(moment + end, path) for (moment, path), end in zip(moments, ends * len(moments), strict=False)]
    records = [{"type": "BROWSE", "path": path, "date": date} for date, path in written]
    texts = [json.dumps(record) for record in records]
    rows = [["type", "path", "date"], *(list(record.values()) for record in records)]
    if fields and "date" in fields:
        rows = [[row[0], row[2], row[1]] for row in rows]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=line_end).writerows(rows)
    for api_format, page in (("json", json_page("events", *texts)), ("csv", csv_page(out.getvalue()))):
        arguments = {"event_types": "BROWSE", "api_format": api_format, "on_bad_timestamp": bad, "fields": fields}
        query = build_query("events", date="2026-02-01", timezone=ZONE, **arguments)
        pages = [replace(page, chain="BROWSE")] * 2
        at_once, one_by_one = (outcome_of(kind(query, ZONE, chain="BROWSE"), pages) for kind in (Selection, OneByOne))
        assert at_once == one_by_one


@given(
    pages=st.lists(st.lists(st.sampled_from(["1", "2", "3", "4", "x,y", ""]), max_size=4), min_size=1, max_size=4),
    resource=st.sampled_from(["customers", "products"]),
    text=st.sampled_from(["plain", 'q"u,ote', "two\nlines"]),
)
def test_identifiers_looked_at_at_once_are_those_looked_at_one_by_one(pages: list[list[str]], resource: str, text: str) -> None:
    """Rule: a record that comes twice is left out once, whether a page is looked at as a whole or not."""
    for api_format in ("json", "csv"):
        found: list[Any] = []
        for page in pages:
            records = [{"external_id": each, "title": text} for each in page]
            if api_format == "json":
                found.append(json_page(resource, *map(json.dumps, records)))
            else:
                out = io.StringIO(newline="")
                csv.writer(out).writerows([["external_id", "title"], *(list(record.values()) for record in records)])
                found.append(csv_page(out.getvalue()))
        query = build_query(resource, api_format=api_format)
        assert outcome_of(Selection(query, ZONE), found) == outcome_of(OneByOne(query, ZONE), found)
