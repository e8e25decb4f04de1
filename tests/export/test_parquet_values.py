"""Values in Parquet files: of their column's type, as the API meant them, or refused by name."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import CustobarError, ProtocolError
from airflow_provider_custobar.api.resources import RESOURCES
from airflow_provider_custobar.columns.arrow_columns import ColumnTypeError
from airflow_provider_custobar.export.encoders import make_encoder
from airflow_provider_custobar.export.parquet import ParquetFile
from tests.export.parquet_files import csv_of, records, rows_of
from tests.export.support import csv_page, json_page


def test_values_of_each_type() -> None:
    """Money stays whole, a day is a day, a timestamp an instant, a lone text a list of one, objects the JSON as it came."""
    (product,) = rows_of(
        "products",
        json_page(
            '{"external_id":"1","price":1990,"rating":4.5,"weight":2,"visible":true,"date":"2026-02-01T08:00:00+02:00",'
            '"category":"shoes","category_id":["1","2"],"tags":[],"stock":[{"shop_id":"1", "quantity":2.50}],"title":"ä 🎉"}'
        ),
    )
    assert {name: value for name, value in product.items() if value is not None} == {
        "external_id": "1",
        "price": 1990,
        "rating": 4.5,
        "weight": 2.0,
        "visible": True,
        "date": datetime(2026, 2, 1, 6, tzinfo=UTC),
        "category": ["shoes"],
        "category_id": ["1", "2"],
        "tags": [],
        "stock": '[{"shop_id":"1", "quantity":2.50}]',
        "title": "ä 🎉",
    }
    (customer,) = rows_of("customers", records({"birth_date": "1990-12-31", "can_email": False, "last_login": None}))
    assert (customer["birth_date"], customer["can_email"], customer["last_login"]) == (date(1990, 12, 31), False, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [('"x"', "x"), ('""', ""), ('"null"', "null"), ("null", None), ("1.10", "1.10"), ("true", "true"), ("[1, 2]", "[1, 2]"),
     ("12345678901234567890123", "12345678901234567890123"), ('{"a":1}', '{"a":1}')],
)  # fmt: skip
@pytest.mark.parametrize("field", ["ACME__x", "label"])
def test_a_column_of_texts_holds_anything(field: str, value: str, expected: str | None) -> None:
    """A named unknown field and a documented text hold a text's characters, and the JSON of anything else."""
    assert rows_of("events", json_page(f'{{"{field}":{value}}}'), fields=[field]) == [{field: expected}]


@pytest.mark.parametrize(
    ("resource", "field", "value"),
    [
        ("sales", "total", '"Virtanen"'),
        ("sales", "total", '"1990"'),
        ("sales", "total", "19.90"),
        ("sales", "total", "true"),
        ("sales", "total", "9223372036854775808"),
        ("sales", "quantity", '"Virtanen"'),
        ("sales", "quantity", "1e999"),
        ("sales", "quantity", "9007199254740993"),
        ("sales", "quantity", "-12345678901234567890.0"),
        ("sales", "sale_date", '"Virtanen"'),
        ("sales", "sale_date", '""'),
        ("sales", "sale_date", "1767225600"),
        ("sales", "sale_date", '"2026-02-30T00:00:00Z"'),
        ("sales", "sale_date", '"2026-02-01T10:00:00.1234567Z"'),
        ("sales", "sale_date", '"2026-02-01 10:00:00,0000001"'),
        ("sales", "sale_date", '"20260201T100000.0000001"'),
        ("sales", "tags", '{"Virtanen":1}'),
        ("sales", "tags", "1"),
        ("customers", "birth_date", '"31.12.1990"'),
        ("customers", "can_email", '"yes"'),
        ("customers", "can_email", "1"),
    ],
)
def test_a_value_that_does_not_fit_is_named_but_not_shown(resource: str, field: str, value: str) -> None:
    """Never a silent null: the error tells the record's position in the file, the field and the type, and not the value."""
    pages = [records({}, {}), json_page("{}", f'{{"{field}":{value}}}')]
    for fields in ((), (field,)):
        with pytest.raises(ColumnTypeError, match=rf"Record 4 of {resource} .* in {field}, a column of type ") as caught:
            rows_of(resource, *pages, fields=fields)
        assert isinstance(caught.value, CustobarError)
        assert "Virtanen" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_numbers_with_needless_zeros_are_whole() -> None:
    """A server that writes money as 1990.0 means 1990; the largest whole numbers keep each digit."""
    values = ["1990.0", "9223372036854775807", "-9223372036854775808", "9007199254740993"]
    rows = rows_of("sales", json_page(*(f'{{"total":{value}}}' for value in values)), fields=["total"])
    assert [row["total"] for row in rows] == [1990, 2**63 - 1, -(2**63), 2**53 + 1]


def test_numbers_are_what_every_reader_makes_of_them() -> None:
    """Rule: fractions and powers of ten are the nearest double; a whole number written out is there to its last digit."""
    texts = ["4.1", "0.30000000000000004", "12345678901234567.5", "1e23", "9007199254740992", "-9007199254740994.0", "2", "-0"]
    expected = [float(text) for text in texts]
    from_json = rows_of("sales", json_page(*(f'{{"quantity":{text}}}' for text in texts)), fields=["quantity"])
    page = csv_page("external_id,quantity", *(f"1,{text}" for text in texts))
    from_csv = rows_of("sales", page, fields=["external_id", "quantity"])
    assert [row["quantity"] for row in from_json] == [row["quantity"] for row in from_csv] == expected


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-02-01T06:00:00Z", "2026-02-01T06:00:00"),
        ("2026-02-01t06:00:00.5z", "2026-02-01T06:00:00.500000"),
        ("2026-02-01T06:00:00.123456+02:00", "2026-02-01T04:00:00.123456"),
        ("2026-02-01T06:00:00.123456000Z", "2026-02-01T06:00:00.123456"),
        ("2026-02-01T06:00:00", "2026-02-01T04:00:00"),
        ("2026-02-01 06:00", "2026-02-01T04:00:00"),
        ("2026-02-01", "2026-01-31T22:00:00"),
        ("2026-03-29T03:30:00", "2026-03-29T01:30:00"),  # skipped by the clock
        ("2026-10-25T03:30:00", "2026-10-25T00:30:00"),  # there twice
        ("1700-01-01T00:00:00Z", "1700-01-01T00:00:00"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59"),
    ],
)
def test_timestamps_are_instants(text: str, utc: str) -> None:
    """An offset counts; without one it is the tenant's time; alone or among others, from JSON or from CSV."""
    expected = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    others = ["2026-02-01T06:00:00Z", "2026-02-01T06:00:00", None]
    for dates in ([text], [text, *others[:1]], [text, *others]):
        page = records(*({"date": value} for value in dates))
        assert rows_of("events", page, zone="Europe/Helsinki")[0]["date"] == expected
        rows = csv_page("date,type", *(f"{value or ''},x" for value in dates))
        assert rows_of("events", rows, fields=["date", "type"], zone="Europe/Helsinki")[0]["date"] == expected


def test_of_a_repeated_key_the_last_one_counts() -> None:
    """As with most JSON readers; beside usual records and unusual ones alike."""
    twice = '{"total":1,"new":1,"total":2,"new":3}'
    for page in (json_page(twice), json_page(twice, '{"sale_shop_id":7}')):
        row = rows_of("sales", page)[0]
        assert (row["total"], row["_extra"]) == (2, '{"new":3}')


def test_cells_of_csv() -> None:
    """An empty cell is null, quoted or not; NA, null and spaces stay texts; line ends and quotes inside cells are kept."""
    rows = [["NA", "1"], ["null", ""], ["", "-3"], [" ", "007"], ['a "b",\r\nc', "1.0"], ["nan", "2"], ["ä\n\n🎉", "3"]]
    page = csv_of(["label", "sentiment_value"], rows)
    table = rows_of("events", page, fields=["label", "sentiment_value"], api_format="csv")
    assert [row["label"] for row in table] == ["NA", "null", None, " ", 'a "b",\r\nc', "nan", "ä\n\n🎉"]
    assert [row["sentiment_value"] for row in table] == [1, None, -3, 7, 1, 2, 3]
    quoted = rows_of("events", csv_page("label,path", '"",x', ",x"), fields=["label", "path"])
    assert [row["label"] for row in quoted] == [None, None]


def test_booleans_of_csv_in_any_case() -> None:
    """True, TRUE and true are one thing; an empty cell is null."""
    page = csv_page("external_id,can_email", "1,True", "2,FALSE", "3,true", "4,")
    rows = rows_of("customers", page, fields=["external_id", "can_email"])
    assert [row["can_email"] for row in rows] == [True, False, True, None]


@pytest.mark.parametrize(
    ("resource", "field", "cell"),
    [
        *(("sales", "total", cell) for cell in ("0x10", "19.90", "9223372036854775808", " 1", "+1", "1_0")),
        *(("sales", "quantity", cell) for cell in ("nan", "inf", "1e999", "1_0", "0x10", "1\n", "9007199254740993")),
        ("customers", "can_email", "yes"),
        ("customers", "birth_date", "1990"),
        ("sales", "sale_date", "soon"),
        ("sales", "sale_date", "2026-02-01T10:00:00.123456789+02:00"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(resource: str, field: str, cell: str) -> None:
    """CSV as strict as JSON: nothing that only looks like a number, and no silent null."""
    page = csv_page(f"external_id,{field}", "1,", f'2,"{cell}"')
    with pytest.raises(ColumnTypeError, match=rf"Record 2 of {resource} .* in {field}, a column of type "):
        rows_of(resource, page, fields=["external_id", field])


@pytest.mark.parametrize("row", ["Virtanen", "1,Virtanen,3"])
def test_a_row_of_another_width_is_refused(row: str) -> None:
    """A row with a cell too many or too few is an error that does not show the row."""
    with pytest.raises(ProtocolError, match="cells where the header has 2") as caught:
        rows_of("events", csv_page("label,type", "a,b", row), fields=["label", "type"])
    assert "Virtanen" not in str(caught.value)


def test_rows_that_are_counted_and_not_there_are_an_error() -> None:
    """Rule: a batch has as many rows as its page counts. An empty cell in quotes is a row, a blank line none."""
    rows = rows_of("events", csv_page("path", "/x", '""', "/z"), fields=["path"], api_format="csv")
    assert [row["path"] for row in rows] == ["/x", None, "/z"]
    with pytest.raises(ProtocolError, match="has 2 rows where 3 were counted"):
        rows_of("events", csv_page("path", "/x", "", "/z"), fields=["path"], api_format="csv")


TEXT = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ['"', ",", "\r", "\n", "\r\n", "\x00", "NA", "\ufeff", '"x']
)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1))
def test_any_text_comes_back(rows: list[tuple[str, str]]) -> None:
    """Whatever is in a text, readers get it back, from JSON and from CSV (where an empty one is null)."""
    named = [{"label": first, "path": second} for first, second in rows]
    assert rows_of("events", records(*named), fields=["label", "path"]) == named
    from_csv = rows_of("events", csv_of(["label", "path"], [list(row) for row in rows]), fields=["label", "path"])
    assert from_csv == [{name: value or None for name, value in row.items()} for row in named]


_TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(["", "null", "2026-02-01", "2026-02-01T08:00:00Z", "5", "🎉", "a\nb"]))
_ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXTS,
    st.lists(st.one_of(st.none(), _TEXTS), max_size=3),
)
_USUAL = {
    "external_id": _TEXTS,
    "email": _TEXTS,
    "date_joined": st.sampled_from(["2026-02-01T08:00:00Z", "2026-02-01T08:00:00+02:00", "2026-02-01T08:00:00.123456", None]),
    "birth_date": st.sampled_from(["1990-12-31", "1990-02-29", None]),
    "can_email": st.one_of(st.none(), st.booleans()),
    "tags": st.one_of(st.none(), st.lists(_TEXTS, max_size=3)),
    "last_login": st.just(None),
}
_RECORDS = st.lists(st.fixed_dictionaries({}, optional=_USUAL | {"ACME__x": _TEXTS}), min_size=1, max_size=5)


@given(
    pages=st.lists(_RECORDS, min_size=1, max_size=3),
    odd=st.one_of(st.none(), st.tuples(st.sampled_from([*_USUAL, "ACME__x"]), _ANYTHING)),
    zone=st.sampled_from(["UTC", "Europe/Helsinki"]),
    text=st.booleans(),
)
def test_both_ways_of_reading_agree(pages: list[list[dict[str, Any]]], odd: Any, zone: str, text: bool) -> None:
    """What Arrow reads by itself is what is read value by value: the same columns, or the same refusal."""
    if odd is not None:
        pages[-1][-1][odd[0]] = odd[1]
    given_pages = [json_page(*(json.dumps(each, ensure_ascii=text) for each in page)) for page in pages]
    outcomes = []
    for plain in (True, False):
        encoder = make_encoder("parquet", "json", (), resource=RESOURCES["customers"], timezone=zone)
        assert isinstance(encoder, ParquetFile)
        if not plain:
            encoder._pages._records._plain = None
        try:
            content = b"".join([*map(encoder.encode, given_pages), encoder.finish()])
            outcomes.append(pq.read_table(pa.BufferReader(content)).to_pylist())
        except CustobarError as error:
            outcomes.append(str(error))
    assert repr(outcomes[0]) == repr(outcomes[1])
