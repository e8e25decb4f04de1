"""Rows of a query's result: values as Custobar expects them, one execution however often they are read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.range import Range

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.upload.rows import GoodRow, Rejected, check_row
from airflow_provider_custobar.upload.sql_rows import Result, SqlRows
from airflow_provider_custobar.upload.times import Unfit
from tests.upload.support import build_plan

KEY = UUID("00000000-0000-4000-8000-00000000000a")
MIDNIGHT = datetime(1990, 1, 2)  # noqa: DTZ001 - as databases have it
NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)

# The file that rows are kept in is closed with the last reference to them, of which Python warns.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Query:
    """A query that counts how often it is executed and ended; each execution may give other rows."""

    def __init__(self, names: Sequence[str], *results: Iterable[Sequence[Any]]) -> None:
        self.names = names
        self.results = list(results)
        self.executed = 0
        self.ended = 0

    @contextmanager
    def __call__(self) -> Iterator[Result]:
        self.executed += 1
        try:
            yield self.names, self.results[min(self.executed, len(self.results)) - 1]
        finally:
            self.ended += 1


def converted(resource: str, name: str, value: Any, **options: Any) -> Any:
    (row,) = SqlRows(Query([name], [(value,)]), resource=resource, **options)
    return row[name]


CONVERSIONS: list[tuple[str, str, Any, Any]] = [
    # Texts: keys are often numbers in a database.
    ("customers", "external_id", 7, "7"),
    ("customers", "external_id", 2**70, str(2**70)),
    ("customers", "external_id", Decimal(9), "9"),
    ("customers", "external_id", Decimal("9.00"), "9"),
    ("customers", "external_id", Decimal("1E+3"), "1000"),
    ("customers", "external_id", Decimal("1.5"), "1.5"),
    ("customers", "external_id", KEY, str(KEY)),
    ("customers", "external_id", "007", "007"),
    ("customers", "external_id", True, True),
    ("customers", "external_id", 1.5, 1.5),
    ("customers", "phone_number", 358401234567, "358401234567"),
    ("customers", "city", b"Oulu", b"Oulu"),
    ("customers", "city", memoryview(b"Oulu"), b"Oulu"),
    ("customers", "city", ip_address("10.0.0.1"), "10.0.0.1"),
    # Booleans: 0 and 1, and nothing else.
    ("customers", "can_email", 1, True),
    ("customers", "can_email", 0, False),
    ("customers", "can_email", Decimal("1.0"), True),
    ("customers", "can_email", False, False),
    ("customers", "can_email", 2, 2),
    ("customers", "can_email", "true", "true"),
    ("customers", "can_email", Decimal("NaN"), Decimal("NaN")),
    # Whole numbers and money.
    ("events", "sentiment_value", Decimal("3.5"), Decimal("3.5")),
    ("events", "sentiment_value", Decimal("Infinity"), Decimal("Infinity")),
    ("products", "price", 1990, 1990),
    ("products", "price", Decimal("19.90"), Decimal("19.90")),
    ("products", "price", Decimal("19.00"), Decimal("19.00")),
    ("products", "price", Decimal("NaN"), Decimal("NaN")),
    ("products", "weight", Decimal("0.25"), Decimal("0.25")),
    # Days and moments.
    ("customers", "birth_date", MIDNIGHT, date(1990, 1, 2)),
    ("customers", "birth_date", date(1990, 1, 2), date(1990, 1, 2)),
    ("customers", "birth_date", MIDNIGHT.replace(hour=1), MIDNIGHT.replace(hour=1)),
    ("customers", "date_joined", MIDNIGHT, MIDNIGHT),
    ("customers", "date_joined", NOON, NOON),
    # Lists: arrays, or JSON in a text.
    ("customers", "tags", ["x", 2], ["x", "2"]),
    ("customers", "tags", ("x", KEY), ["x", str(KEY)]),
    ("customers", "tags", frozenset({3}), ["3"]),
    ("customers", "tags", ' ["x", 2, null]', ["x", "2", None]),
    ("customers", "tags", "[not json", "[not json"),
    ("customers", "tags", "x", "x"),
    ("customers", "tags.add", "[]", []),
    ("products", "category", '["a"]', ["a"]),
    ("products", "stock", '[{"shop_id": "1", "quantity": 2}]', [{"shop_id": "1", "quantity": 2}]),
    ("products", "stock", [{"shop_id": KEY, "quantity": Decimal(2)}], [{"shop_id": str(KEY), "quantity": Decimal(2)}]),
    # Names that the catalogue does not know.
    ("customers", "ACME__opened", time(8, 30), "08:30:00"),
    # No text of it is exact: it is left to the checks.
    ("customers", "ACME__lasted", timedelta(hours=1), timedelta(hours=1)),
    ("customers", "ACME__span", Range(1, 5, "[)"), "[1, 5)"),
    ("customers", "ACME__number", 7, 7),
    ("customers", "ACME__flag", True, True),
    ("customers", "ACME__object", {1: {KEY}, "b": (time(1),)}, {"1": [str(KEY)], "b": ["01:00:00"]}),
    ("customers", "ACME__list", '["x"]', '["x"]'),
    ("customers", "ACME__part", math.inf, math.inf),
]


@pytest.mark.parametrize(("resource", "name", "value", "expected"), CONVERSIONS)
def test_values_become_what_custobar_expects(resource: str, name: str, value: Any, expected: Any) -> None:
    """Rule: the field decides what becomes of a value; what is not plainly meant stays, for the checks to refuse."""
    found = converted(resource, name, value)
    assert type(found) is type(expected)
    assert repr(found) == repr(expected)


@pytest.mark.parametrize("value", [Decimal("Infinity"), Decimal("-Infinity"), Decimal("NaN"), math.nan, math.inf])
def test_a_key_that_is_no_number_is_a_reason_against_its_row(value: Any) -> None:
    """Rule: NaN and infinity are no keys: the row is refused, and with it nothing else."""
    (row,) = SqlRows(Query(["external_id"], [(value,)]), resource="customers")
    assert isinstance(check_row(0, row, build_plan(resource="customers")), Rejected)


@pytest.mark.parametrize("value", [Decimal("19.90"), Decimal("19.00"), Decimal("NaN"), 19.9, 1990.0, "1990.00"])
def test_money_with_digits_behind_the_point_is_refused(value: Any) -> None:
    """Rule: euros are not taken for hundredths: such a row is refused, with what money must be."""
    (row,) = SqlRows(Query(["external_id", "price"], [("1", value)]), resource="products")
    checked = check_row(0, row, build_plan(resource="products"))
    assert isinstance(checked, Rejected)
    assert "hundredths" in checked.reasons[0]


@pytest.mark.parametrize(
    ("resource", "key", "name", "value", "sent"),
    [
        ("products", "external_id", "price", Decimal(1990), b'"price":1990'),
        ("products", "external_id", "price", Decimal("2E+3"), b'"price":2000'),
        ("sales", "sale_external_id", "sale_discount", Decimal("-5"), b'"sale_discount":-5'),
        ("events", "customer_id", "sentiment_value", Decimal("3.00"), b'"sentiment_value":3'),
    ],
)
def test_whole_decimals_are_sent_as_whole_numbers(resource: str, key: str, name: str, value: Decimal, sent: bytes) -> None:
    """Rule: databases have decimals where Custobar has whole numbers."""
    (row,) = SqlRows(Query([key, name], [("1", value)]), resource=resource)
    if resource == "events":
        row |= {"type": "SENTIMENT", "date": "2026-02-01"}
    checked = check_row(0, row, build_plan(resource=resource))
    assert isinstance(checked, GoodRow)
    assert sent + b"," in checked.data or sent + b"}" in checked.data


@pytest.mark.parametrize(("clear_empty", "expected"), [(False, {"external_id": "1"}), (True, {"external_id": "1", "city": ""})])
def test_null_is_left_out_unless_it_is_to_remove(clear_empty: bool, expected: dict[str, Any]) -> None:
    """Rule: NULL says nothing, or with clear_empty that the field is to be removed."""
    (row,) = SqlRows(Query(["external_id", "city"], [(1, None)]), resource="customers", clear_empty=clear_empty)
    checked = check_row(0, row, build_plan(resource="customers"))
    assert isinstance(checked, GoodRow)
    assert {name: value for name, value in row.items() if value is not None} == expected


def test_the_mapped_name_decides() -> None:
    """Rule: a column is converted as the field that field_mapping makes of it; its own name stays until then."""
    assert converted("customers", "id", 7, field_mapping={"id": "external_id"}) == "7"
    assert converted("customers", "external_id", 7, field_mapping={"external_id": "ACME__id"}) == 7


def test_a_column_can_be_left_out() -> None:
    """Rule: None leaves a query's column out, as it does elsewhere."""
    mapping: dict[str, Any] = {"id": "external_id", "notes": None}
    (row,) = SqlRows(Query(["id", "notes"], [(7, "n")]), resource="customers", field_mapping=mapping)
    checked = check_row(0, row, build_plan(field_mapping=mapping))
    assert isinstance(checked, GoodRow)
    assert checked.data == b'{"external_id":"7"}'


@pytest.mark.parametrize("names", [["a", "b", "a"], ["external_id", "external_id"]])
def test_two_columns_of_one_name_are_refused(names: list[str]) -> None:
    """Rule: of two columns with one name none is dropped in silence."""
    query = Query(names, [range(len(names))])
    with pytest.raises(CustobarError, match=f"two columns the name '{names[0]}'.*AS"):
        list(SqlRows(query, resource="customers"))
    assert query.ended == 1


@pytest.mark.parametrize("taken", [0, 5])
def test_a_query_ends_with_its_reading(taken: int) -> None:
    """Rule: nothing is asked for before the rows are wanted, and a reading that is closed early ends the query, too."""
    query = Query(["external_id"], [(number,) for number in range(5)])
    rows = iter(SqlRows(query, resource="customers"))
    assert query.executed == 0
    assert [next(rows)["external_id"] for _ in range(taken or 1)] == [str(number) for number in range(taken or 1)]
    rows.close()
    assert (query.executed, query.ended) == (1, 1)


def test_after_an_error_the_query_is_executed_again() -> None:
    """Rule: a result that broke off is not taken for the whole one."""

    def breaking() -> Iterator[tuple[int]]:
        for number in range(1_500):
            yield (number,)
        raise ConnectionError("the server is gone")

    query = Query(["external_id"], breaking(), [(1,), (2,)])
    rows = SqlRows(query, resource="customers")
    with pytest.raises(ConnectionError):
        list(rows)
    assert query.ended == 1
    assert [row["external_id"] for row in rows] == ["1", "2"]
    assert (query.executed, query.ended) == (2, 2)


plain = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.decimals(allow_nan=False),
    st.dates(),
    st.datetimes(timezones=st.just(UTC) | st.none()),
)
nested = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@given(st.lists(st.tuples(nested, nested | st.none()), max_size=20))
def test_what_needs_no_conversion_stays(values: list[tuple[Any, Any]]) -> None:
    """Rule: a value of Python's own comes as it is, type and all."""
    rows = SqlRows(Query(["ACME__a", "ACME__b"], values), resource="customers")
    assert repr([tuple(row.values()) for row in rows]) == repr(values)


driver_values = (
    nested
    | st.sampled_from([Decimal("NaN"), math.nan])
    | st.none()
    | st.uuids()
    | st.times()
    | st.timedeltas()
    | st.frozensets(st.integers(), max_size=3)
)
FIELDS = ["external_id", "can_email", "birth_date", "date_joined", "tags", "city", "phone_number", "ACME__x"]


@given(st.lists(driver_values, min_size=len(FIELDS), max_size=len(FIELDS)))
def test_every_row_is_good_or_refused(values: list[Any]) -> None:
    """Rule: no value that a driver may give breaks the upload: its row is sent, or refused with a reason."""
    (row,) = SqlRows(Query(FIELDS, [values]), resource="customers")
    checked = check_row(0, row, build_plan(resource="customers"))
    assert isinstance(checked, GoodRow) or (checked.reasons and checked.as_json())


@pytest.mark.parametrize("value", [Decimal("sNaN"), [memoryview(b"Oulu")], {1: [b"Oulu"]}, object(), {"a": object()}])
@pytest.mark.parametrize("field", FIELDS)
def test_whatever_a_driver_gives_can_be_kept_and_written_down(value: Any, field: str) -> None:
    """Rule: what has no form in JSON breaks neither the conversion nor the file that rows are kept in."""
    names, row = (["external_id", field], (1, value)) if field != "external_id" else ([field], (value,))
    rows = SqlRows(Query(names, [row]), resource="customers")
    for kept in (*rows, *rows):
        checked = check_row(0, kept, build_plan(resource="customers"))
        assert isinstance(checked, GoodRow) or checked.as_json()


@pytest.mark.parametrize("clear_empty", [False, True])
@pytest.mark.parametrize("nothing", [pd.NaT, pd.NA, np.datetime64("NaT", "ns"), np.ma.masked])
def test_what_a_library_has_for_null_is_null(nothing: Any, clear_empty: bool) -> None:
    """Rule: a driver's own "nothing" is what NULL is."""
    found = converted("customers", "city", nothing, clear_empty=clear_empty)
    assert found == ("" if clear_empty else None)


def test_rows_may_be_mappings() -> None:
    """Rule: a connection whose cursor gives mappings gives the same rows."""
    query = Query(("external_id", "city"), [{"city": "Oulu", "external_id": 1}])
    assert list(SqlRows(query, resource="customers")) == [{"external_id": "1", "city": "Oulu"}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("[12345678901234567.89]", ["12345678901234567.89"]), ("[" * 5_000, None), (f"{'[' * 5_000}{']' * 5_000}", None)],
)
def test_lists_in_texts_keep_their_digits_and_break_nothing(value: str, expected: list[str] | None) -> None:
    """Rule: a JSON list in a text has its numbers' digits, and one of thousands of levels is a reason against its row."""
    found = converted("customers", "tags", value)
    assert found == expected or (expected is None and isinstance(found, str | Unfit))
    if isinstance(found, Unfit):
        (row,) = SqlRows(Query(["external_id", "tags"], [(1, value)]), resource="customers")
        checked = check_row(0, row, build_plan(resource="customers"))
        assert isinstance(checked, Rejected)
        # Newer Pythons read deeper before they give up.
        assert re.search("nested too deep|nested more than 100 levels deep", checked.reasons[0])


@pytest.mark.parametrize("make", [list, tuple, iter, lambda rows: (row for row in rows)])
def test_rows_may_be_of_any_kind(make: Callable[[Any], Iterable[Any]]) -> None:
    """Rule: rows are whatever can be iterated, as drivers differ in it."""
    query = Query(("external_id", "city"), make([(1, "Oulu"), [2, "Turku"]]))
    assert list(SqlRows(query, resource="customers")) == [
        {"external_id": "1", "city": "Oulu"},
        {"external_id": "2", "city": "Turku"},
    ]
