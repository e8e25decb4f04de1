"""Parquet: every one of Arrow's types becomes JSON's exactly, or a reason against its row."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from airflow_provider_custobar.upload.files import FileError, FileRows
from airflow_provider_custobar.upload.formats.arrow_rows import ArrowRows
from airflow_provider_custobar.upload.results import InvalidRowsError
from airflow_provider_custobar.upload.rows import GoodRow, Rejected, Unreadable, check_row
from airflow_provider_custobar.upload.times import Unfit
from tests.python_process import output_of
from tests.upload.file_help import file, read, table_bytes
from tests.upload.support import build_plan, run

# Older ones lack types that are tried here.
pa = pytest.importorskip("pyarrow", minversion="20")
pc = pytest.importorskip("pyarrow.compute")
pq = pytest.importorskip("pyarrow.parquet")

# As timestamps without a zone are.
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001
AD_1 = dt.datetime(1, 1, 1)  # noqa: DTZ001
AD_9999 = dt.datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001
MICROSECOND = dt.timedelta(microseconds=1)
HELSINKI = dt.timezone(dt.timedelta(hours=2))
DAY_MS = 86_400_000


def raw(numbers: list[Any], kind: Any) -> Any:
    """Values of a type by the numbers that Arrow keeps of them."""
    return pa.array(numbers, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)


def extension(kind: Any, values: list[Any]) -> Any:
    return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))


def ts(unit: str, zone: str | None = None) -> Any:
    return pa.timestamp(unit, tz=zone)


EXACT: list[tuple[Any, list[Any]]] = [
    (pa.nulls(2), [None, None]),
    (pa.array([True, False, None]), [True, False, None]),
    *[(pa.array([low, high], kind), [low, high]) for kind, low, high in (
        (pa.int8(), -(2**7), 2**7 - 1), (pa.int16(), -(2**15), 2**15 - 1), (pa.int32(), -(2**31), 2**31 - 1),
        (pa.int64(), -(2**63), 2**63 - 1), (pa.uint8(), 0, 2**8 - 1), (pa.uint16(), 0, 2**16 - 1),
        (pa.uint32(), 0, 2**32 - 1), (pa.uint64(), 0, 2**64 - 1),
    )],
    (pa.array([1.5, -0.0], pa.float16()), [1.5, -0.0]),
    (pa.array([1.5, 2.0**-149], pa.float32()), [1.5, 2.0**-149]),
    (pa.array([0.1, 5e-324], pa.float64()), [0.1, 5e-324]),
    (pa.array([Decimal("1.50")], pa.decimal32(5, 2)), [Decimal("1.50")]),
    (pa.array([Decimal("-1.50")], pa.decimal64(12, 2)), [Decimal("-1.50")]),
    (pa.array([Decimal("9" * 36 + ".99")], pa.decimal128(38, 2)), [Decimal("9" * 36 + ".99")]),
    (pa.array([Decimal("9" * 60 + ".9900")], pa.decimal256(76, 4)), [Decimal("9" * 60 + ".9900")]),
    *[(pa.array(["Äinö", "", None], kind), ["Äinö", "", None]) for kind in (pa.string(), pa.large_string(), pa.string_view())],
    (raw([0, -719162, 2932896], pa.date32()), [dt.date(1970, 1, 1), dt.date.min, dt.date.max]),
    (raw([0, -DAY_MS], pa.date64()), [dt.date(1970, 1, 1), dt.date(1969, 12, 31)]),
    (raw([0, 86_399], pa.time32("s")), [dt.time(), dt.time(23, 59, 59)]),
    (raw([1, 86_399_999], pa.time32("ms")), [dt.time(0, 0, 0, 1000), dt.time(23, 59, 59, 999000)]),
    (raw([1, 86_399_999_999], pa.time64("us")), [dt.time(0, 0, 0, 1), dt.time.max]),
    (raw([1_000, 86_399_999_999_000], pa.time64("ns")), [dt.time(0, 0, 0, 1), dt.time.max]),
    *[(raw([0, 10**9], ts(unit)), [EPOCH, EPOCH + dt.timedelta(seconds=10**9 / per)])
      for unit, per in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9))],
    (raw([-62135596800, 253402300799], ts("s")), [AD_1, AD_9999]),
    (raw([253402300799999999], ts("us", "UTC")), [AD_9999.replace(microsecond=999_999, tzinfo=dt.UTC)]),
    (raw([0], ts("us", "Europe/Helsinki")), [dt.datetime(1970, 1, 1, 2, tzinfo=HELSINKI)]),
    (raw([0], ts("ns", "+05:30")), [dt.datetime(1970, 1, 1, tzinfo=dt.UTC)]),
    (raw([0], ts("ms", "-0330")), [dt.datetime(1970, 1, 1, tzinfo=dt.UTC)]),
    (raw([1_000, -1_000], pa.duration("ns")), [dt.timedelta(microseconds=1), dt.timedelta(microseconds=-1)]),
    (raw([3_600], pa.duration("s")), [dt.timedelta(hours=1)]),
    *[(pa.array([["a", None], [], None], kind), [["a", None], [], None])
      for kind in (pa.list_(pa.string()), pa.large_list(pa.string()), pa.list_view(pa.string()))],
    (pa.array([["a", "b"], None], pa.list_(pa.string(), 2)), [["a", "b"], None]),
    (pa.array([{"a": 1, "b": {"c": [Decimal("1.50")]}}, None],
              pa.struct([("a", pa.int8()), ("b", pa.struct([("c", pa.list_(pa.decimal128(5, 2)))]))])),
     [{"a": 1, "b": {"c": [Decimal("1.50")]}}, None]),
    (pa.array([[("a", 1), ("b", None)], [], None], pa.map_(pa.string(), pa.int8())), [{"a": 1, "b": None}, {}, None]),
    (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    (extension(pa.uuid(), [bytes(16), None]), ["00000000-0000-0000-0000-000000000000", None]),
    (extension(pa.json_(), ['{"a": 1.10}', None]), ['{"a": 1.10}', None]),
    (extension(pa.bool8(), [1, 0, None]), [True, False, None]),
    # What needs care inside of what is nested.
    (pa.ListArray.from_arrays([0, 2], raw([0, 10**3], ts("ns", "UTC"))),
     [[dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)]]),
    (pa.StructArray.from_arrays([raw([0], pa.date32()), pa.array(["x"])], ["d", "x"]), [{"d": dt.date(1970, 1, 1), "x": "x"}]),
    (pa.MapArray.from_arrays([0, 1], pa.array(["k"]), raw([0], pa.date32())), [{"k": dt.date(1970, 1, 1)}]),
    (raw([0, 0], ts("ns")).dictionary_encode(), [EPOCH] * 2),
    (pa.ListArray.from_arrays([0, 1], extension(pa.uuid(), [bytes(16)])), [["00000000-0000-0000-0000-000000000000"]]),
]  # fmt: skip


@pytest.mark.parametrize(("array", "values"), EXACT, ids=lambda value: str(getattr(value, "type", "")))
def test_values_are_had_exactly(array: Any, values: list[Any]) -> None:
    """Rule: a value is the one that is in the file, of the same type for JSON, whichever packages are installed."""
    try:
        content = table_bytes([("f", array)])
        pq.read_table(io.BytesIO(content))
    except pa.ArrowException as error:
        if Version(pa.__version__) >= Version("26"):
            raise
        pytest.skip(f"this pyarrow cannot write it, or read it again: {error}")
    found = [row["f"] for row in read("a.parquet", content)]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]
    assert [row["f"] for row in read("a.parquet", table_bytes([("f", pa.chunked_array([array, array]))]))] == values * 2


UNFIT: list[tuple[Any, int]] = [
    (raw([0, 2_932_897], pa.date32()), 1),
    (raw([-719_163, 0], pa.date32()), 0),
    (raw([0, 86_400], pa.time32("s")), 1),
    (raw([-1, 0], pa.time32("ms")), 0),
    (raw([0, 86_400_000_000], pa.time64("us")), 1),
    (raw([0, 1], pa.time64("ns")), 1),
    (raw([0, 253_402_300_800], ts("s")), 1),
    (raw([-62_135_596_801, 0], ts("s")), 0),
    (raw([2**63 - 1, 0], ts("ms")), 0),
    (raw([0, 253_402_300_800_000_000], ts("us", "UTC")), 1),
    (raw([0, 253_402_300_799_999_999], ts("us", "Europe/Helsinki")), 1),
    (raw([0, 1], ts("ns")), 1),
    (raw([0, 1_001], ts("ns", "Europe/Helsinki")), 1),
    (raw([None, 0], ts("us", "Mars/Base")), 1),
    (raw([None, 0], ts("us", "../etc")), 1),
    (raw([None, 0], ts("us", "Europe")), 1),
    (raw([0, 1], pa.duration("ns")), 1),
    (raw([0, 10**15], pa.duration("s")), 1),
    (pa.array([b"x", b"\xff"], pa.binary()).view(pa.string()), 1),
    (pa.ListArray.from_arrays([0, 1, 2], pa.array([b"x", b"\xff"], pa.binary()).view(pa.string())), 1),
    (pa.array([[], [("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int8())), 1),
    (pa.array([[], [(1, 1)]], pa.map_(pa.int8(), pa.int8())), 1),
    (extension(pa.bool8(), [1, 2]), 1),
    (pa.ListArray.from_arrays([0, 1, 2], raw([0, 1], ts("ns"))), 1),
    (pa.StructArray.from_arrays([raw([0, 2_932_897], pa.date32())], ["d"]), 1),
]


@pytest.mark.parametrize(("array", "bad"), UNFIT, ids=lambda value: str(getattr(value, "type", "")))
def test_a_value_that_cannot_be_had_is_a_reason_against_its_row_alone(array: Any, bad: int) -> None:
    """Rule: the reason names the field, the others are read, and nothing of the value is in the reason."""
    wrong, good = reversed(
        read("a.parquet", table_bytes([("ACME__born", array), ("external_id", pa.array(["0", "1"]))]))[:: 1 if bad else -1]
    )
    assert isinstance(wrong["ACME__born"], Unfit)
    assert not isinstance(good["ACME__born"], Unfit)
    rejected = check_row(bad, wrong, build_plan())
    assert isinstance(rejected, Rejected)
    assert rejected.reasons[0].startswith("ACME__born holds a ")
    assert json.loads(rejected.as_json())["row"]["external_id"] == str(bad)


def test_an_error_names_file_row_and_field() -> None:
    """Rule: with on_invalid="fail" it is said which row of which file holds which field; leaving the column out mends it."""
    data = table_bytes([("external_id", pa.array(["a", "b"])), ("birth_date", raw([0, 2_932_897], pa.date32()))])
    rows = FileRows([file("1.parquet", data), file("2.parquet", data)])
    with pytest.raises(InvalidRowsError, match=r"row 2 of 1\.parquet: birth_date must be .*years 1 to 9999"):
        run(rows)
    assert run(rows, on_invalid="skip")[0].uploaded == 2
    assert run(rows, field_mapping={"birth_date": None})[0].uploaded == 4


@pytest.mark.parametrize(
    "array",
    [
        pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
        pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
        pc.run_end_encode(pa.array(["a", "a"])),
        extension(pa.opaque(pa.int64(), "period", "pandas"), [648, None]),
    ],
    ids=lambda array: str(array.type),
)
def test_types_that_json_has_no_form_for_are_reasons(array: Any) -> None:
    """Rule: a type that is not known to have an exact form is not guessed at; nothing, where it is told, is nothing."""
    batch = pa.record_batch([array], names=["f"])
    first, second = ArrowRows(batch.schema).of(batch)
    assert isinstance(first["f"], Unfit)
    assert second["f"] is None or isinstance(second["f"], Unfit)


def test_types_of_applications_are_known_by_their_names() -> None:
    """Rule: a period of pandas is no number, whether or not pandas is there to know it."""
    field = pa.field("month", pa.int64(), metadata={"ARROW:extension:name": "pandas.period"})
    batch = pa.record_batch([pa.array([648])], schema=pa.schema([field]))
    (row,) = ArrowRows(batch.schema).of(batch)
    assert isinstance(row["month"], Unfit)


STRUCT = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ([("a", pa.array([1])), ("b", pa.array([1])), ("a", pa.array([2]))], "two of its columns are named 'a'"),
        ([("s", STRUCT)], "two members of s are named 'x'"),
        ([("l", pa.ListArray.from_arrays([0, 1], STRUCT))], "two members of l are named 'x'"),
        ([("s", pa.StructArray.from_arrays([STRUCT], ["t"]))], "two members of t are named 'x'"),
    ],
)
def test_names_that_are_alike_are_refused(columns: list[tuple[str, Any]], said: str) -> None:
    """Rule: one of two values under one name would be lost."""
    with pytest.raises(FileError, match=rf"^a\.parquet cannot be read to its end, after 0 rows: {said}"):
        read("a.parquet", table_bytes(columns))


def test_timestamps_of_spark_keep_their_years() -> None:
    """Rule: INT96, as Spark and Impala write timestamps, reaches beyond the years that nanoseconds do."""
    array = raw([253_402_214_400_000_000, 1_000_001], ts("us"))
    data = table_bytes([("at", array)], use_deprecated_int96_timestamps=True)
    rows = read("a.parquet", data)
    assert rows == [
        {"at": AD_9999.replace(hour=0, minute=0, second=0)},
        {"at": EPOCH + dt.timedelta(seconds=1, microseconds=1)},
    ]


def test_timestamps_of_spark_lose_no_digits() -> None:
    """Rule: INT96 with digits beyond microseconds is a reason against its row, however deep it is."""
    at = raw([1_000, 1_001, None, -1, 0], ts("ns"))
    deep = pa.ListArray.from_arrays([0, 1, 1, 2, 3, 4], raw([2_000, 0, -1_000, 1], ts("ns")))
    data = table_bytes([("tags.at", at), ("deep", deep), ("n", pa.array(range(5)))], use_deprecated_int96_timestamps=True)
    rows = read("a.parquet", data)
    assert [isinstance(row, Unreadable) for row in rows] == [False, True, False, True, True]
    assert rows[0] == {"tags.at": EPOCH + MICROSECOND, "deep": [EPOCH + 2 * MICROSECOND], "n": 0}
    assert rows[2] == {"tags.at": None, "deep": [EPOCH], "n": 2}


MEASURE = """
import sys
if sys.argv[2] == "without":
    class Hidden:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("pandas", "pytz"):
                raise ModuleNotFoundError(name)
    sys.meta_path.insert(0, Hidden())
from airflow_provider_custobar.upload.files import File, FileRows
print([repr(row) for row in FileRows([File(name="a.parquet", open=lambda: open(sys.argv[1], "rb"))])])
"""


@pytest.mark.processes
def test_other_packages_change_nothing(tmp_path: Path) -> None:
    """Rule: the values are the same with pandas and pytz and without."""
    path = tmp_path / "a.parquet"
    columns = [(f"c{n}", array) for n, (array, _) in enumerate(UNFIT) if len(array) == 2]
    path.write_bytes(table_bytes([*columns, ("summer", raw([2_540_000_000, 0], ts("s", "Europe/Helsinki")))]))
    said = [output_of(MEASURE, path, how) for how in ("with", "without")]
    assert said[0] == said[1]
    assert "Unfit" in said[0]


VALUES = {
    "n": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "d": (pa.decimal128(20, 4), st.decimals(-(10**9), 10**9, places=4)),
    "x": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "s": (pa.string(), st.text()),
    "b": (pa.bool_(), st.booleans()),
    "day": (pa.date32(), st.dates()),
    "at": (pa.timestamp("us", tz="UTC"), st.datetimes(timezones=st.just(dt.UTC))),
    "l": (pa.list_(pa.string()), st.lists(st.text(), max_size=3)),
    "o": (pa.struct([("k", pa.int32())]), st.fixed_dictionaries({"k": st.integers(0, 9)})),
}


@given(
    st.lists(st.fixed_dictionaries({f"ACME__{name}": st.none() | values for name, (_, values) in VALUES.items()}), max_size=4)
)
def test_the_body_of_a_request_is_what_arrows_own_scalars_are(rows: list[dict[str, Any]]) -> None:
    """Rule: what was in the file goes out, value for value and digit for digit; nulls are left out."""
    schema = pa.schema([("external_id", pa.string()), *((f"ACME__{name}", kind) for name, (kind, _) in VALUES.items())])
    table = pa.Table.from_pylist([{"external_id": str(n)} | row for n, row in enumerate(rows)], schema=schema)
    for place, row in enumerate(read("a.parquet", table_bytes(zip(table.column_names, table.columns, strict=True)))):
        good = check_row(place, row, build_plan())
        assert isinstance(good, GoodRow)
        sent = json.loads(good.data, parse_float=Decimal)
        expected = {name: value for name in table.column_names if (value := table[name][place].as_py()) is not None}
        assert sent.keys() == expected.keys()
        for name, value in expected.items():
            if isinstance(value, dt.datetime):
                assert dt.datetime.fromisoformat(sent[name]) == value
            elif isinstance(value, dt.date):
                assert sent[name] == value.isoformat()
            else:
                assert sent[name] == (Decimal(repr(value)) if isinstance(value, float) else value)
