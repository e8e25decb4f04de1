"""What becomes of a row's values: on their way to Custobar, and in the file of rejected rows."""

from __future__ import annotations

import json
import logging
import math
import types
from collections import OrderedDict, UserDict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pendulum
import pytest

from airflow_provider_custobar.upload.results import InvalidRowsError
from airflow_provider_custobar.upload.rows import Rejected
from tests.upload.support import customer, run

HELSINKI = timezone(timedelta(hours=2))


class Text(str):
    """A text as template engines and array libraries make it."""

    __slots__ = ()


class Whole(int):
    """A whole number as array libraries make it."""

    __slots__ = ()


class Fraction(float):
    """A number as array libraries make it."""

    __slots__ = ()


class Colour(StrEnum):
    RED = "red"


def sent_value(name: str, value: Any, **options: Any) -> Any:
    """What Custobar gets for one field."""
    _, sent, _ = run([customer(1, **{name: value})], **options)
    return sent.rows[0].get(name, "(left out)")


def sent_price(value: Any) -> Any:
    _, sent, _ = run([{"sku": "1", "price": value}], resource="products")
    return sent.rows[0]["price"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("first_name", None, "(left out)"),
        ("first_name", "", ""),
        ("tags", [], []),
        ("tags", ("a", "b"), ["a", "b"]),
        ("can_email", False, False),
        ("ACME__n", 0, 0),
        ("ACME__n", 12345678901234567890123, 12345678901234567890123),
        ("first_name", 'Ä "x"\n🎉\u2028\\', 'Ä "x"\n🎉\u2028\\'),
        ("birth_date", date(2026, 2, 1), "2026-02-01"),
        ("birth_date", pendulum.date(2026, 2, 1), "2026-02-01"),
        ("date_joined", date(2026, 2, 1), "2026-02-01"),
        ("date_joined", datetime(2026, 2, 1, 10), "2026-02-01T10:00:00Z"),  # noqa: DTZ001 - the connection's zone applies
        ("date_joined", datetime(2026, 2, 1, 10, tzinfo=UTC), "2026-02-01T10:00:00Z"),
        ("date_joined", datetime(2026, 2, 1, 10, 0, 0, 5000, tzinfo=HELSINKI), "2026-02-01T10:00:00.005000+02:00"),
        ("date_joined", "2026-02-01 10:00:00", "2026-02-01T10:00:00Z"),
        ("date_joined", pendulum.datetime(2026, 2, 1, 10, tz="Europe/Helsinki"), "2026-02-01T10:00:00+02:00"),
        ("first_name", Text("Anna"), "Anna"),
        ("first_name", Colour.RED, "red"),
        ("ACME__n", Fraction(1.5), 1.5),
        ("ACME__map", OrderedDict(a=1), {"a": 1}),
    ],
)
def test_values_on_their_way(name: str, value: Any, expected: Any) -> None:
    """Null is left out and an empty text is kept; dates are ISO 8601 with their own offset; what passed the check is sent."""
    assert sent_value(name, value) == expected


@pytest.mark.parametrize("value", [1990, Whole(1990)])
def test_numbers_on_their_way(value: Any) -> None:
    """A whole number is sent as one, of whatever kind it is in Python."""
    assert sent_price(value) == 1990


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrapped", [lambda value: value, lambda value: [value], lambda value: {"a": value}])
def test_what_json_cannot_hold_is_rejected(value: float, wrapped: Any) -> None:
    """NaN and infinity in an own field are rejected by name: JSON writers make a null of them, which says something else."""
    with pytest.raises(InvalidRowsError, match="ACME__score"):
        run([customer(1, ACME__score=wrapped(value))])


@pytest.mark.parametrize("value", [object(), 1j, "a lone surrogate \ud800", {("a", 1): 2}])
def test_what_cannot_be_written_is_rejected(value: Any) -> None:
    """A value without a form in JSON is a reason against its row, not a crash in the middle; the value is not shown."""
    result, sent, rejected = run([customer(1, ACME__x=value), customer(2)], on_invalid="skip")
    assert sent.rows == [customer(2)]
    assert (result.rejected, rejected[0].position) == (1, 0)
    assert "surrogate \ud800" not in "".join(rejected[0].reasons)


@pytest.mark.parametrize("kind", [OrderedDict, UserDict, types.MappingProxyType])
def test_any_mapping_is_a_row(kind: Any) -> None:
    """A row may be any mapping, such as a database driver's, and need not be a dict."""
    _, sent, _ = run([kind(customer(1))])
    assert sent.rows == [customer(1)]


def test_names_are_mapped() -> None:
    """``field_mapping`` renames a source's names; names that it leaves out stay; rules apply to the new names."""
    _, sent, _ = run(
        [{"id": "1", "mail": "a@example.com", "city": "Oulu"}], field_mapping={"id": "external_id", "mail": "email"}
    )
    assert sent.rows == [{"external_id": "1", "email": "a@example.com", "city": "Oulu"}]
    with pytest.raises(InvalidRowsError, match="email must be an e-mail address"):
        run([{"id": "1", "mail": "x"}], field_mapping={"id": "external_id", "mail": "email"})


def test_names_can_change_places() -> None:
    """A mapping may exchange two names."""
    row = customer(1, city="Pohjois-Pohjanmaa", province="Oulu")
    _, sent, _ = run([row], field_mapping={"city": "province", "province": "city"})
    assert sent.rows == [customer(1, city="Oulu", province="Pohjois-Pohjanmaa")]


def test_an_irreversible_field_cannot_hide_behind_a_mapping() -> None:
    """A source's name that is mapped to a dangerous field is dangerous."""
    with pytest.raises(InvalidRowsError, match="is_deleted is true"):
        run([customer(1, gone=True)], field_mapping={"gone": "is_deleted"})


def test_two_fields_for_one_name_are_rejected() -> None:
    """Where two fields of a row come to have one name, neither is chosen silently."""
    with pytest.raises(InvalidRowsError, match="field_mapping gives two of its fields the same name"):
        run([customer(1, mail="a@example.com", email="b@example.com")], field_mapping={"mail": "email"})


def test_a_null_does_not_collide() -> None:
    """A field that is null is left out before names are compared."""
    _, sent, _ = run([customer(1, mail="a@example.com", email=None)], field_mapping={"mail": "email"})
    assert sent.rows == [customer(1, email="a@example.com")]


ODD: list[Any] = [
    {"external_id": "a b", "when": datetime(2026, 2, 1, 10, tzinfo=HELSINKI), "day": date(2026, 2, 1)},
    {"when": pendulum.datetime(2026, 2, 1), "money": Decimal("19.90"), "raw": b"\xff\x00", "tags": {"a"}, "n": 10**30},
    {"id": UUID(int=5), "odd": object(), "complex": 1j, "nan": math.nan, "text": Text("x"), "nested": [{"a": Decimal(1)}]},
    {None: ["cells beyond the header, as csv.DictReader has them"], "external_id": "1"},
    {5: "a number for a name", ("a", "b"): "a pair for a name"},
    {"external_id": "1", "ACME__x": "a lone surrogate \ud800"},
    {"a lone surrogate \ud800": 1},
    UserDict({"external_id": "a b"}),
    types.MappingProxyType({"external_id": "a b"}),
    ["no", "mapping"],
    "text",
    None,
    b"\xff",
]


@pytest.mark.parametrize("row", ODD, ids=lambda row: type(row).__name__)
def test_any_rejected_row_can_be_written_down(row: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever was in a rejected row, it becomes one line of JSON with position, reasons and row."""
    caplog.set_level(logging.CRITICAL)  # pytest-xdist cannot pass on a log with half a character in it
    _, _, (rejected,) = run([row], on_invalid="skip")
    line = rejected.as_json()
    assert b"\n" not in line
    written = json.loads(line)
    assert list(written) == ["position", "reasons", "row"]
    assert written["position"] == 0
    assert written["reasons"] == list(rejected.reasons) != []


@pytest.mark.parametrize("kind", [dict, OrderedDict, UserDict, types.MappingProxyType])
def test_a_rejected_row_is_written_as_it_came(kind: Any) -> None:
    """The row in the file of rejects is an object with the source's own names and values, nulls included."""
    row = kind({"mail": "x", "nothing": None, "when": date(2026, 2, 1), "money": Decimal("19.90"), "list": [1, {"a": None}]})
    _, _, (rejected,) = run([row], field_mapping={"mail": "email"}, on_invalid="skip")
    assert json.loads(rejected.as_json(), parse_float=str)["row"] == {
        "mail": "x",
        "nothing": None,
        "when": "2026-02-01",
        "money": "19.90",
        "list": [1, {"a": None}],
    }


def test_positions_count_from_nought() -> None:
    """The position tells where in the source a row is, counted over all rows."""
    _, _, rejected = run([customer(0), "bad", customer(2), "bad"], on_invalid="skip")
    assert [json.loads(found.as_json())["position"] for found in rejected] == [1, 3]
    assert json.loads(Rejected(7, ["why"], {"a": 1}).as_json()) == {"position": 7, "reasons": ["why"], "row": {"a": 1}}
