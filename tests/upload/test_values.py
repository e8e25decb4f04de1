"""Values of Python's own and of other libraries: exactly what they are arrives, nothing is nothing, and the rest is refused."""

from __future__ import annotations

import collections
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import ip_address
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.upload.rows import Rejected
from airflow_provider_custobar.upload.times import Unfit, read_datetime
from tests.upload.support import customer, run


class Size(Enum):
    LARGE = "L"


class Level(IntEnum):
    HIGH = 3


@dataclass
class Point:
    x: int
    when: date


def deep(levels: int) -> Any:
    nested: Any = "x"
    for _ in range(levels):
        nested = [nested]
    return nested


def endless() -> Any:
    own: list[Any] = []
    own.append(own)
    return own


ENCODER = msgspec.json.Encoder(decimal_format="number")
ROW = sa.create_engine("sqlite://").connect().exec_driver_sql("SELECT 1 AS a, 'x' AS b").one()

with warnings.catch_warnings():
    # NumPy 2.5 warns of values without a unit, and older ones hand them out.
    warnings.simplefilter("ignore", DeprecationWarning)
    WITHOUT_UNIT = [np.datetime64("NaT"), np.timedelta64("NaT")]

NOTHING: list[Any] = [
    *WITHOUT_UNIT,
    None,
    pd.NaT,
    pd.NA,
    np.datetime64("NaT", "ns"),
    np.timedelta64("NaT", "ns"),
    np.ma.masked,
    np.ma.array(3, mask=True),
    np.array("NaT", dtype="datetime64[ns]"),
    pa.scalar(None, pa.timestamp("ns")),
    pa.scalar(None, pa.string()),
]

EXACT: list[tuple[Any, Any]] = [
    (np.int64(5), 5),
    (np.uint8(3), 3),
    (np.bool_(True), True),
    (np.float32(0.5), 0.5),
    (np.float64(0.1), 0.1),
    (np.str_("NaN"), "NaN"),
    (np.array(5), 5),
    (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    (np.array([None, "x"], dtype=object), [None, "x"]),
    (np.array(["NaT", "2026-02-01"], dtype="datetime64[ns]"), [None, "2026-02-01T00:00:00"]),
    (np.ma.array([1, 2], mask=[0, 1]), [1, None]),
    (np.datetime64("2026-02-01"), "2026-02-01"),
    (np.datetime64("2026-02-01T10:00:00.123456000"), "2026-02-01T10:00:00.123456"),
    (pd.Timestamp("2026-02-01 10:00"), "2026-02-01T10:00:00"),
    (pd.Timestamp("2026-02-01 10:00", tz="Europe/Helsinki"), "2026-02-01T10:00:00+02:00"),
    (pd.Series([1, 2]), [1, 2]),
    (pd.array([1, None], dtype="Int64"), [1, None]),
    (pa.scalar(1), 1),
    (pa.scalar(1_000, pa.timestamp("ns")), "1970-01-01T00:00:00.000001"),
    (pa.scalar(Decimal("1.10")), 1.1),
    (pa.scalar({"a": [1, None]}), {"a": [1, None]}),
    (pa.array([1, None]), [1, None]),
    (Size.LARGE, "L"),
    (Level.HIGH, 3),
    (Point(1, date(2026, 2, 1)), {"x": 1, "when": "2026-02-01"}),
    (ROW, [1, "x"]),
    (ROW._mapping, {"a": 1, "b": "x"}),
    (UUID(int=5), str(UUID(int=5))),
    (time(8, 30), "08:30:00"),
    (collections.deque([1]), [1]),
    (collections.ChainMap({"a": 1}), {"a": 1}),
    # Until 1937 the offset of Amsterdam had seconds, which ISO 8601 has not: it is the same moment.
    (datetime(1900, 1, 1, tzinfo=ZoneInfo("Europe/Amsterdam")), "1899-12-31T23:40:28Z"),
    (Decimal("12345678901234567.89"), Decimal("12345678901234567.89")),
]

UNFIT: list[tuple[Any, str]] = [
    (b"Oulu", "bytes"),
    (bytearray(b"Oulu"), "bytes"),
    (memoryview(b"Oulu"), "bytes"),
    (np.bytes_(b"Oulu"), "bytes"),
    (pa.scalar(b"Oulu"), "bytes"),
    (np.void(b"Oulu"), "void"),
    (math.nan, "NaN or infinity"),
    (np.float32("inf"), "NaN or infinity"),
    (Decimal("NaN"), "NaN or infinity"),
    (Decimal("sNaN"), "NaN or infinity"),
    (Decimal("-Infinity"), "NaN or infinity"),
    (timedelta(hours=1), "duration"),
    (np.timedelta64(5, "s"), "duration"),
    (pd.Timedelta(hours=1), "duration"),
    (pa.scalar(5, pa.duration("s")), "duration"),
    (pa.scalar(pa.MonthDayNano([1, 2, 3])), "duration"),
    (pa.MonthDayNano([1, 2, 3]), "duration"),
    (pd.Period("2026-02"), "Period"),
    (pd.Interval(1, 2), "Interval"),
    (np.datetime64("2026-02"), "month"),
    (np.datetime64("2026-02-01T10:00:00.123456789"), "below a microsecond"),
    (pd.Timestamp("2026-02-01T10:00:00.123456789"), "below a microsecond"),
    (pa.scalar(1, pa.timestamp("ns")), "below a microsecond"),
    (np.datetime64("-0044-03-15"), "years 1 to 9999"),
    (pa.scalar(2**31 - 1, pa.date32()), "years 1 to 9999"),
    (pa.scalar(2**62, pa.timestamp("us")), "years 1 to 9999"),
    (np.longdouble(1), "longdouble"),
    (np.complex64(1), "complex"),
    (ip_address("10.0.0.1"), "IPv4Address"),
    (range(3), "range"),
    ((number for number in [1]), "generator"),
    ({"vip"}, "set"),
    ({1: "a"}, "int for a name"),
    ({None: "a"}, "NoneType for a name"),
    ({b"a": "a"}, "bytes for a name"),
    (collections.UserDict({np.str_("a"): 1, "b": b"x"}), "bytes"),
    (deep(5_000), "levels deep"),
    (endless(), "levels deep"),
    (10**5_000, "a number of too many digits"),
    ("Ada \ud800", "half a character"),
]


@pytest.mark.parametrize("value", NOTHING, ids=lambda value: type(value).__name__)
def test_nothing_is_nothing(value: Any) -> None:
    """Rule: whatever a library uses for "nothing" is left out as None is, and inside a list is what None is there."""
    _, sent, _ = run([customer(1, city=value, ACME__x=value, ACME__list=[value], ACME__map={"a": value})])
    assert sent.rows == [customer(1, ACME__list=[None], ACME__map={"a": None})]
    _, _, (rejected,) = run([customer(1, tags=["x", value])], on_invalid="skip")
    assert rejected.reasons == ["tags must be a list of texts, and one of its items is something else"]


@pytest.mark.parametrize(("value", "expected"), EXACT, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], lambda value: {"a": (value,)}])
def test_a_value_arrives_exactly(value: Any, expected: Any, wrap: Callable[[Any], Any]) -> None:
    """Rule: a library's value is sent as the value that it is, at any depth."""
    _, sent, _ = run([customer(1, ACME__x=wrap(value))])
    (arrived,) = sent.batches[0]
    assert json.loads(arrived, parse_float=Decimal)["ACME__x"] == json.loads(
        ENCODER.encode(wrap(expected)), parse_float=Decimal
    )


@pytest.mark.parametrize(("value", "said"), UNFIT, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], lambda value: {"a": (value,)}])
def test_what_has_no_form_in_json_is_a_reason(value: Any, said: str, wrap: Callable[[Any], Any]) -> None:
    """Rule: such a value is a reason that names its field and shows nothing of it; other rows go, it can be written down."""
    result, sent, (rejected,) = run([customer(1, ACME__x=wrap(value)), customer(2)], on_invalid="skip")
    assert sent.rows == [customer(2)]
    assert (result.rejected, rejected.position) == (1, 0)
    (reason,) = rejected.reasons
    assert reason.startswith("ACME__x ")
    assert said in reason
    assert "Oulu" not in reason
    assert json.loads(rejected.as_json())["row"]["ACME__x"] not in (None, "T3VsdQ==")


@pytest.mark.parametrize("value", [b"Oulu", timedelta(1), math.nan, pd.Interval(1, 2), {"x"}])
def test_a_documented_field_says_what_it_must_be(value: Any) -> None:
    """Rule: in a field that Custobar documents, the reason tells what it must be, too."""
    _, _, (rejected,) = run([customer(1, city=value)], on_invalid="skip")
    assert rejected.reasons[0].startswith("city must be a text, and ")


def test_two_names_of_one_text_are_refused() -> None:
    """Rule: of two names in a mapping that would be the same, none is chosen silently."""

    class Name(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return self is other

        __hash__ = object.__hash__

    _, _, (rejected,) = run([customer(1, ACME__x={Name("a"): 1, "a": 2})], on_invalid="skip")
    assert "same text" in rejected.reasons[0]
    assert sorted(json.loads(rejected.as_json())["row"]["ACME__x"].values()) == [1, 2]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"\xffa", "b'\\xffa'"),
        (memoryview(b"a"), "b'a'"),
        (math.nan, "nan"),
        (Decimal("-Infinity"), "-Infinity"),
        (timedelta(days=1, seconds=5), "1 day, 0:00:05"),
        (pd.NaT, None),
        (pa.scalar(2**31 - 1, pa.date32()), "date32[day] 2147483647"),
        ({1: "a", "1": "b"}, {"1": "a", "1 (str)": "b"}),
        ([b"a", {"b": {3}}], ["b'a'", {"b": [3]}]),
        (np.datetime64("2026-02"), "2026-02"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_rejected_value_is_written_as_what_it_is(value: Any, written: Any) -> None:
    """Rule: the file of rejects has no null for NaN and no base64 for bytes: nobody takes the value for another."""
    assert json.loads(Rejected(0, ["why"], {"x": value}).as_json())["row"] == {"x": written}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-01 12:00:00.25+05:30", "2026-02-01T12:00:00.250000+05:30"),
        ("2026-02-01 12:00:00", "2026-02-01T12:00:00"),
        ("1900-01-01 00:00:00+00:19:32", "1900-01-01T00:00:00+00:19:32"),
        # What is 9999-12-31 23:59:59 and 0001-01-01 00:00:00 in UTC, in other sessions' zones.
        ("10000-01-01 08:59:59+09", "9999-12-31T23:59:59+00:00"),
        ("0001-12-31 19:03:58-04:56:02 BC", "0001-01-01T00:00:00+00:00"),
        ("10000-01-01 08:59:59", None),
        ("10000-01-01 09:00:00+09", None),
        ("0001-12-31 19:03:57-04:56:02 BC", None),
        ("0001-12-31 19:03:58 BC", None),
        ("0002-12-31 19:03:58-04:56:02 BC", None),
        ("0001-12-31 19:03:58-04:56:02", "0001-12-31T19:03:58-04:56:02"),
        ("12026-02-01 00:00:00+00", None),
        ("infinity", None),
        ("2026-02-01 12:00:00.123456789", None),
        ("2026-02-01 12:00:00.123456000", "2026-02-01T12:00:00.123456"),
    ],
)
def test_a_databases_moment_is_that_moment_or_unfit(text: str, expected: str | None) -> None:
    """Rule: a moment is read exactly, also where only its session's zone puts it into another year than Python's."""
    found = read_datetime(text)
    assert (None if isinstance(found, Unfit) else found.isoformat()) == expected


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("aä🎉\n\"'")
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abä"), inner, max_size=3))


@given(values)
def test_plain_values_are_those_of_plain_python(value: Any) -> None:
    """Rule: what JSON can hold arrives as Python's own writer has it."""
    _, sent, _ = run([customer(1, ACME__x=value)])
    assert sent.rows == [customer(1) if value is None else customer(1, ACME__x=json.loads(json.dumps(value)))]


def test_a_moment_with_an_offset_stays_it() -> None:
    """Rule: a moment in UTC is sent as one, also where no rule of a field looks at it."""
    _, sent, _ = run([customer(1, ACME__when=datetime(2026, 2, 1, 10, tzinfo=UTC))])
    assert sent.rows == [customer(1, ACME__when="2026-02-01T10:00:00Z")]
