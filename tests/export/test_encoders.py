"""Encoders: from pages to whole files, with records as the API wrote them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any, get_args

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.pages import decode_json_page
from airflow_provider_custobar.api.resources import RESOURCES
from airflow_provider_custobar.export.encoders import (
    CONTENT_TYPES,
    CsvFromRecords,
    CsvRows,
    Encoder,
    FileFormat,
    JsonArray,
    JsonLines,
    make_encoder,
    page_format_for,
)
from airflow_provider_custobar.upload.lists import text_or_texts_in, texts_in
from tests.export.support import csv_page, json_page

# Nothing that a decoder may turn into something else and back: long numbers, escapes, order of keys, spaces.
EXACT = (
    '{"b":1.10,"a":12345678901234567890.0123456789,"e":1E+400}',
    '{ "text" : "\\u00e4 \\/ \\" \\n ä 🎉" , "nothing":null }',
    '{"list":[1, 2],"empty":{},"-0":-0.0}',
)
SPLITS = [
    [[]],
    [[], []],
    [EXACT],
    [EXACT[:1], EXACT[1:]],
    [[], EXACT[:1], [], [], EXACT[1:], []],
    [[record] for record in EXACT],
]


def file_of(encoder: Encoder[Any], pages: Iterable[Any]) -> bytes:
    return b"".join([*map(encoder.encode, pages), encoder.finish()])


def cells_of(text: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode(), newline=""), strict=True))


def cell(value: str) -> str:
    """The cell made of one JSON value as it stands in a record."""
    return cells_of(file_of(CsvFromRecords(["a", "b"]), [json_page(f'{{"a":{value},"b":"end"}}')]))[1][0]


@pytest.mark.parametrize("pages", SPLITS)
def test_json_lines_hold_the_records_own_bytes(pages: list[list[str]]) -> None:
    """JSON Lines: each record as the API wrote it and a line end, whatever the pages."""
    expected = "".join(f"{record}\n" for page in pages for record in page)
    assert file_of(JsonLines(), [json_page(*page) for page in pages]).decode() == expected


@pytest.mark.parametrize("pages", SPLITS)
def test_a_json_array_is_valid_and_holds_the_records_own_bytes(pages: list[list[str]]) -> None:
    """JSON: one array for none, one and many records, with empty pages anywhere; each record as the API wrote it."""
    text = file_of(JsonArray(), [json_page(*page) for page in pages]).decode()
    records = [record for page in pages for record in page]
    assert json.loads(text) == [json.loads(record) for record in records]
    assert all(record in text for record in records)


def test_a_json_array_without_pages_is_empty() -> None:
    """JSON of no page at all is an empty array, not an empty file."""
    assert json.loads(file_of(JsonArray(), [])) == []


def test_a_json_array_of_one_record() -> None:
    """An array of one record has no stray comma."""
    assert json.loads(file_of(JsonArray(), [json_page('{"a":1}')])) == [{"a": 1}]


def test_csv_has_one_header() -> None:
    """CSV: the first header, then the rows of all pages as the API wrote them."""
    pages = [csv_page("id,city", '1,"a ""b"""', "2,"), csv_page("id,city"), csv_page("id,city", '3,"x\r\ny"')]
    assert file_of(CsvRows(), pages) == b'id,city\r\n1,"a ""b"""\r\n2,\r\n3,"x\r\ny"\r\n'


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([], b""),
        ([csv_page("")], b""),
        ([csv_page("id")], b"id\r\n"),
        ([csv_page(""), csv_page("id", "1")], b"id\r\n1\r\n"),
        ([csv_page("id"), csv_page(""), csv_page("id", "1")], b"id\r\n1\r\n"),
    ],
)
def test_csv_without_rows_keeps_the_header(pages: list[Any], expected: bytes) -> None:
    """CSV of no rows is the header alone, if the API sent one; pages of nothing at all change nothing."""
    assert file_of(CsvRows(), pages) == expected


@pytest.mark.parametrize("pages", [[], [json_page()], [json_page(), json_page()]])
def test_csv_from_no_records_is_the_header(pages: list[Any]) -> None:
    """CSV made of JSON has its header, once, even without a single page."""
    assert file_of(CsvFromRecords(["id", "a b"]), pages) == b"id,a b\r\n"


def test_csv_from_records_over_pages_has_one_header() -> None:
    """CSV made of JSON: one header, columns as named, fields that nobody named left out."""
    pages = [json_page(), json_page('{"id":"1","x":"-"}', '{"city":"Oulu","id":"2"}'), json_page(), json_page('{"id":"3"}')]
    text = file_of(CsvFromRecords(["id", "city"]), pages)
    assert cells_of(text) == [["id", "city"], ["1", ""], ["2", "Oulu"], ["3", ""]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("null", ""),
        ('""', ""),
        ('"text"', "text"),
        ('"null"', "null"),
        ('"[1]"', "[1]"),
        ('"with, comma"', "with, comma"),
        ('"a \\"quote\\""', 'a "quote"'),
        ('"two\\nlines"', "two\nlines"),
        ('"two\\r\\nlines"', "two\r\nlines"),
        ('"a lone \\r"', "a lone \r"),
        ('" spaces "', " spaces "),
        ('"\\u00e4 \\ud83c\\udf89 日本 \\u2028"', "ä 🎉 日本 \u2028"),
        ('"=1+1"', "=1+1"),
        ("true", "true"),
        ("false", "false"),
        ("0", "0"),
        ("-0.0", "-0.0"),
        ("1.10", "1.10"),
        ("1e5", "1e5"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("0.1234567890123456789", "0.1234567890123456789"),
        ('["news","offers"]', "news,offers"),
        ('[ "news" , "offers" ]', "news,offers"),
        ('["one"]', "one"),
        ("[]", ""),
        ('["Jazz, Vinyl","vip"]', '"Jazz, Vinyl",vip'),
        ('["5\\" disc"]', '"5"" disc"'),
        ('["[sic","b"]', '"[sic",b'),
        ('["a",""]', '["a",""]'),
        ('[" a"]', '[" a"]'),
        ("[1,2]", "[1,2]"),
        ('["a",null]', '["a",null]'),
        ('[{"shop_id":"1","quantity":2.50}]', '[{"shop_id":"1","quantity":2.50}]'),
        ('{"a":{"b":1.10}}', '{"a":{"b":1.10}}'),
        ("{}", "{}"),
    ],
)
def test_cells_of_json_values(value: str, expected: str) -> None:
    """A text is its characters, a list of texts is joined by commas (in quotes where it has its own), the rest stays JSON."""
    assert cell(value) == expected


LISTS = st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=6) | st.text('[]," a', max_size=6), max_size=5)


@given(LISTS)
def test_a_list_in_a_cell_is_read_back_by_uploads(texts: list[str | None]) -> None:
    """Rule: uploads read the list that exports wrote, whatever its texts; where a text may stand in its place, too."""
    assert texts_in(cell(json.dumps(texts))) == texts
    encoder = make_encoder("csv", "json", ["category"], resource=RESOURCES["products"])
    assert text_or_texts_in(cells_of(file_of(encoder, [json_page(json.dumps({"category": texts}))]))[1][0]) == texts


def test_spaces_around_values_do_not_show() -> None:
    """A server that writes ``"a": 1`` gives the same cells as one that writes ``"a":1``."""
    page = decode_json_page(b'{"events": [ { "a" :  null , "b": "x" , "c": [ "y", "z" ] } ] }', {}, "events")
    assert cells_of(file_of(CsvFromRecords(["a", "b", "c"]), [page]))[1] == ["", "x", "y,z"]


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))))
def test_any_text_comes_back(rows: list[tuple[str, str]]) -> None:
    """Whatever is in a text, a CSV reader gets it back: one row a record."""
    page = json_page(*(json.dumps({"a": first, "b": second}) for first, second in rows))
    assert cells_of(file_of(CsvFromRecords(["a", "b"]), [page])) == [["a", "b"], *map(list, rows)]


def test_columns_are_quoted_where_needed() -> None:
    """The header is CSV like any other row."""
    assert cells_of(file_of(CsvFromRecords(['a,"b"', "c"]), []))[0] == ['a,"b"', "c"]


def test_other_readers_agree(tmp_path: Any) -> None:
    """DuckDB reads the three formats to the same rows."""
    records = ['{"id":"1","city":"Oulu, \\"x\\"\\ny"}', '{"id":"2","city":null}', '{"id":"3","city":"ä"}']
    pages = [json_page(*records[:1]), json_page(), json_page(*records[1:])]
    for name, encoder in (("json", JsonArray()), ("jsonl", JsonLines()), ("csv", CsvFromRecords(["id", "city"]))):
        (tmp_path / f"a.{name}").write_bytes(file_of(encoder, pages))
    path = str(tmp_path)
    expected = [("1", 'Oulu, "x"\ny'), ("2", None), ("3", "ä")]
    for source in (
        f"read_json('{path}/a.json', format='array', columns={{id: 'VARCHAR', city: 'VARCHAR'}})",
        f"read_json('{path}/a.jsonl', format='newline_delimited', columns={{id: 'VARCHAR', city: 'VARCHAR'}})",
        f"read_csv('{path}/a.csv', header=true, all_varchar=true, new_line='\\r\\n')",
    ):
        assert duckdb.sql(f"SELECT id, city FROM {source} ORDER BY id").fetchall() == expected


@pytest.mark.parametrize(
    ("file_format", "api_format", "expected"),
    [
        ("csv", "auto", "csv"),
        ("json", "auto", "json"),
        ("jsonl", "auto", "json"),
        ("csv", "json", "json"),
        ("csv", "csv", "csv"),
        ("json", "json", "json"),
        ("jsonl", "json", "json"),
    ],
)
def test_the_format_of_pages(file_format: Any, api_format: Any, expected: str) -> None:
    """``auto`` asks for CSV pages where CSV is wanted, else for JSON; an explicit choice stands."""
    assert page_format_for(file_format, api_format) == expected


@pytest.mark.parametrize("file_format", ["json", "jsonl"])
def test_no_json_of_csv_pages(file_format: Any) -> None:
    """JSON of CSV pages is refused, since their cells have no types; the argument is named."""
    with pytest.raises(InvalidArgumentError, match="api_format='csv' is not accepted") as caught:
        page_format_for(file_format, "csv")
    assert caught.value.argument == "api_format"


def test_csv_of_json_pages_needs_columns() -> None:
    """CSV made of JSON without named fields is refused: records have no fixed ones."""
    with pytest.raises(InvalidArgumentError, match="name the columns"):
        make_encoder("csv", "json", ())


@pytest.mark.parametrize(
    ("file_format", "api_format", "expected"),
    [("jsonl", "json", JsonLines), ("json", "json", JsonArray), ("csv", "csv", CsvRows), ("csv", "json", CsvFromRecords)],
)
def test_each_file_has_an_encoder_of_its_own(file_format: Any, api_format: Any, expected: type) -> None:
    """An encoder is made anew for each file, since it remembers whether the header is written."""
    first, second = (make_encoder(file_format, api_format, ["id"]) for _ in range(2))
    assert type(first) is expected
    assert first is not second


def test_each_format_has_a_media_type() -> None:
    """No format without a media type."""
    assert set(CONTENT_TYPES) == set(get_args(FileFormat))
