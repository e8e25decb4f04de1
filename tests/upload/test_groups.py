"""Rows of one sale: date and customer once, all of a sale or nothing of it."""

from __future__ import annotations

import io
import json
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.upload.changes import Changes
from airflow_provider_custobar.upload.files import File, FileRows
from airflow_provider_custobar.upload.journal import Journal
from airflow_provider_custobar.upload.results import InvalidRowsError
from airflow_provider_custobar.upload.rows import TextRow
from airflow_provider_custobar.upload.uploader import Upload
from tests.upload.support import Sent, Store, build_plan, run

HEAD = {"sale_date": "2026-02-01", "sale_customer_id": "1"}


def line(sale: object, item: int, **values: Any) -> dict[str, Any]:
    return {"sale_external_id": sale, "external_id": f"{sale}-{item}", **values}


def sale(name: object, items: int, head: int = 0, **values: Any) -> list[dict[str, Any]]:
    """Rows of which one has what is needed once."""
    return [line(name, item, **(HEAD if item == head else {}), **values) for item in range(items)]


def skipped(rows: Any, **options: Any) -> tuple[list[str], dict[int, str]]:
    """The ids of what is sent, and the reasons by position."""
    _, sent, rejected = run(rows, resource="sales", on_invalid="skip", **options)
    return [row["external_id"] for row in sent.rows], {each.position: "; ".join(each.reasons) for each in rejected}


@pytest.mark.parametrize("head", [0, 1, 2])
@pytest.mark.parametrize(
    "customer", [{"sale_customer_id": 7}, {"sale_email": "a@b.fi"}, {"sale_phone_number": "+358401234567"}]
)
def test_date_and_customer_once(head: int, customer: dict[str, Any]) -> None:
    """Rule: whichever row of a sale has its date and its customer, the others need not; nor need one row have both."""
    rows = [line("s", 0), line("s", 1), line("s", 2)]
    rows[head] |= customer
    rows[(head + 1) % 3]["sale_date"] = "2026-02-01"
    assert skipped(rows) == (["s-0", "s-1", "s-2"], {})


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ({"sale_customer_id": "1"}, "sale_date must be filled in, in one row of its sale"),
        (
            {"sale_date": "2026-02-01", "sale_customer_id": ""},
            "at least one of sale_customer_id, sale_phone_number, sale_email must be filled in, in one row of its sale",
        ),
    ],
)
@pytest.mark.parametrize("items", [1, 3])
def test_an_incomplete_sale_is_set_aside_whole(head: dict[str, Any], reason: str, items: int) -> None:
    """Rule: a sale that never tells its date or its customer is not sent; others are."""
    rows = [*sale("a", 2), *[line("b", item) | (head if item == 0 else {}) for item in range(items)], *sale("c", 1)]
    sent, rejected = skipped(rows)
    assert sent == ["a-0", "a-1", "c-0"]
    assert rejected == {2 + item: reason for item in range(items)}


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_half_a_sale_is_never_sent(bad: int) -> None:
    """Rule: one bad row sets its whole sale aside, wherever its rows stand; each tells which row that was and why."""
    broken = sale("b", 3)
    broken[bad]["quantity"] = "many"
    rows = [broken[0], *sale("a", 2), broken[1], *sale("c", 1), broken[2]]
    places = {0: 0, 1: 3, 2: 5}
    sent, rejected = skipped(rows)
    assert sent == ["a-0", "a-1", "c-0"]
    assert sorted(rejected) == [0, 3, 5]
    assert rejected.pop(places[bad]) == "quantity must be a number"
    assert set(rejected.values()) == {
        f"another row of its sale is set aside, at position {places[bad]}: quantity must be a number"
    }


def test_fail_tells_of_the_whole_sale() -> None:
    """Rule: with ``fail`` nothing is sent, and the summary counts the rows of a bad sale and says which row is wrong."""
    rows = [*sale("a", 20), *sale("b", 1)]
    rows[19]["total"] = "19.90"
    with pytest.raises(
        InvalidRowsError, match="20 of 21 rows.*\nrow 0: another row of its sale is set aside, at position 19: total must"
    ):
        run(rows, resource="sales")


def test_ids_of_one_sale_may_be_numbers_and_texts() -> None:
    """Rule: 17, 17.0 and "17" are one sale, in good rows and in bad ones."""
    rows = [line(17, 0, **HEAD), line("17", 1), line(17.0, 2)]
    assert skipped(rows) == (["17-0", "17-1", "17.0-2"], {})
    rows.append(line(17, 3, quantity="x"))
    assert skipped(rows)[0] == []


@pytest.mark.parametrize("empty", [{"sale_external_id": None}, {"sale_external_id": ""}, {"sale_external_id": True}])
def test_rows_without_a_sale_stand_alone(empty: dict[str, Any]) -> None:
    """Rule: what names no sale is refused by itself, and takes nothing else with it."""
    sent, rejected = skipped([*sale("a", 2), line("x", 0, **HEAD) | empty, ["no row"], *sale("b", 1)])
    assert (sent, sorted(rejected)) == (["a-0", "a-1", "b-0"], [2, 3])
    assert rejected[2].startswith("sale_external_id must be ")


@pytest.mark.parametrize("torn", ["b,b-1", "b,b-1,,,x", '"b"x,,,', "c,b-1", ",b-1"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_that_cannot_be_read_may_be_of_the_sale_beside_it(torn: str, place: int) -> None:
    """Rule: a torn line that holds the name of the sale before or behind it sets that one aside; others are sent."""
    lines = ["b,b-0,2026-02-01,7", "b,b-2,,"]
    lines.insert(place, torn)
    lines = ["sale_external_id,external_id,sale_date,sale_customer_id", "a,a-0,2026-02-01,7", *lines, "d,d-0,2026-02-01,7"]
    if torn.startswith('"'):
        # As JSON, where a torn line is no line of JSON.
        cells = [line.split(",") for line in lines]
        lines = [json.dumps(dict(zip(cells[0], row, strict=False))) if '"' not in row[0] else '{"x": "b",' for row in cells[1:]]
    name = "a.jsonl" if torn.startswith('"') else "a.csv"
    data = "\n".join(lines).encode()
    sent, rejected = skipped(FileRows([File(name=name, open=lambda: io.BytesIO(data))]))
    assert sent == ["a-0", "d-0"]
    assert sorted(rejected) == [1, 2, 3]


TORN_CSV = ["S2,1", "S2,1,,,x", "x,1,S2", ',"S2",']
TORN_JSON = [
    '{"sale_external_id": "S2", "external_id": "1"',
    '{"sale_external_id":"S2","discount":1,"discount":2}',
    "{sale_external_id:S2}",
]


@pytest.mark.parametrize(
    ("name", "torn"), [*(("a.csv", torn) for torn in TORN_CSV), *(("a.jsonl", torn) for torn in TORN_JSON)]
)
@pytest.mark.parametrize("place", [0, 5])
def test_a_line_that_cannot_be_read_may_be_of_a_sale_far_away(name: str, torn: str, place: int) -> None:
    """Rule: a torn line with a sale's name for a value sets that sale aside, wherever the other rows of it stand."""
    rows = [*sale("S1", 2), line("S2", 0, **HEAD), *sale("S3", 2), line("S2", 2), *sale("S4", 1)]
    if name == "a.csv":
        names = ("sale_external_id", "external_id", "sale_date", "sale_customer_id")
        lines = [",".join(row.get(each, "") for each in names) for row in rows]
        lines = [",".join(names), *lines[:place], torn, *lines[place:]]
    else:
        lines = [*map(json.dumps, rows[:place]), torn, *map(json.dumps, rows[place:])]
    data = "\n".join(lines).encode()
    sent, rejected = skipped(FileRows([File(name=name, open=lambda: io.BytesIO(data))]))
    assert sent == ["S1-0", "S1-1", "S3-0", "S3-1", "S4-0"]
    assert len(rejected) == 3


def test_empty_cells_of_later_rows_remove_nothing() -> None:
    """Rule: with ``clear_empty`` the empty cells of a sale's later rows do not remove its date and customer."""
    names = ("sale_external_id", "sale_date", "sale_customer_id", "sale_email", "sale_state", "external_id")
    cells = [("1", "2026-02-01", "7", "", "", "1-1"), ("1", "", "", "", "", "1-2")]
    _, sent, _ = run([TextRow(zip(names, row, strict=True)) for row in cells], resource="sales", clear_empty=True)
    assert sent.rows == [
        dict(zip(names, cells[0], strict=True)),
        {"sale_external_id": "1", "sale_state": "", "external_id": "1-2"},
    ]


def test_rejects_are_told_before_anything_is_sent() -> None:
    """Rule: every row of a bad sale is known before the first request, also where its bad row is the last of all."""
    told: list[int] = []

    def send(rows: Any, _may_repeat: bool) -> None:
        assert told == [0, 3]

    rows = [line("b", 0, **HEAD), *sale("a", 2), line("b", 1, total="x")]
    plan = build_plan("sales", on_invalid="skip", batch_size=1)
    result = Upload(rows=rows, plan=plan, send=send, reject=lambda row: told.append(row.position)).run()
    assert (result.uploaded, result.rejected) == (2, 2)


def test_a_changed_line_takes_its_sale_with_it(tmp_path: Path) -> None:
    """Rule: of a sale of which one row has changed all rows go, so that its date and customer are with it; others stay."""

    def night(rows: list[Any]) -> tuple[list[str], int]:
        with Changes(tmp_path / "state", "sales of acme") as changes:
            result, sent, _ = run(rows, resource="sales", changes=changes, on_invalid="skip")
        return [row["external_id"] for row in sent.rows], result.unchanged

    rows = [*sale("a", 3), *sale("b", 2)]
    assert night(rows) == (["a-0", "a-1", "a-2", "b-0", "b-1"], 0)
    assert night(rows) == ([], 5)
    rows[2] = line("a", 2, quantity=2)
    assert night(rows) == (["a-0", "a-1", "a-2"], 2)
    assert night(rows) == ([], 5)
    rows.append(line("b", 2, quantity="x"))
    assert night(rows) == ([], 3)
    rows[-1] = line("b", 2)
    assert night(rows) == (["b-0", "b-1", "b-2"], 3)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    batch_size=st.integers(1, 12),
    max_batch_bytes=st.integers(1000, 2000),
)
def test_sales_are_not_cut_apart(sizes: list[int], batch_size: int, max_batch_bytes: int) -> None:
    """Rule: a sale whose rows stand together goes in one request where it fits into one; limits hold, no row is lost."""
    rows = [row for number, size in enumerate(sizes) for row in sale(f"s{number}", size, product_sku="x" * 60)]
    _, sent, _ = run(rows, resource="sales", batch_size=batch_size, max_batch_bytes=max_batch_bytes)
    assert sent.rows == rows
    assert all(len(batch) <= batch_size and sum(map(len, batch)) <= max_batch_bytes for batch in sent.batches)
    for number, size in enumerate(sizes):
        own = f'"sale_external_id":"s{number}"'.encode()
        parts = [[row for row in batch if own in row] for batch in sent.batches]
        parts = [part for part in parts if part]
        if size <= batch_size and sum(len(row) + 1 for part in parts for row in part) + 32 <= max_batch_bytes:
            assert len(parts) == 1


def test_a_refused_batch_is_halved_between_sales() -> None:
    """Rule: what the server finds too large is cut between sales, too, while there is more than one."""
    rows = [*sale("a", 5), *sale("b", 2), *sale("c", 3)]
    size = len(json.dumps(rows, separators=(",", ":")))
    _, sent, _ = run(rows, resource="sales", send=Sent(most_bytes=size * 3 // 5))
    assert sent.rows == rows
    assert [sorted({row.split(b'"')[3] for row in batch}) for batch in sent.batches] == [[b"a"], [b"b", b"c"]]


def test_an_upload_goes_on_where_it_stopped() -> None:
    """Rule: the account counts good rows in their order, so an attempt goes on after them, in the middle of a sale too."""
    store, rows = Store(), [*sale("a", 3), *sale("b", 4), line("c", 0)]

    class Down(Sent):
        def __call__(self, rows: Any, may_repeat: bool = True) -> str | None:
            if len(self.batches) == 2:
                raise CustobarError("down")
            return super().__call__(rows, may_repeat)

    first, second = Down(), Sent()
    options: dict[str, Any] = {"resource": "sales", "on_invalid": "skip", "batch_size": 2}
    with pytest.raises(CustobarError, match="down"):
        run(rows, send=first, journal=Journal(store), **options)
    result, _, _ = run(rows, send=second, journal=Journal(store), **options)
    assert first.rows + second.rows == rows[:7]
    assert (result.resumed, result.uploaded, result.rejected) == (True, 7, 1)


def test_bad_sales_are_told_in_the_order_of_their_rows() -> None:
    """Rule: whichever row of a sale is bad, its rows are set aside in their place, each as it came in."""
    rows = [line("a", 1, **HEAD), line("b", 1, **HEAD), line("a", 1, quantity="x"), "no row", line("b", 2)]
    result, sent, rejected = run(rows, resource="sales", on_invalid="skip")
    assert [found.position for found in rejected] == [0, 2, 3]
    assert [found.row for found in rejected] == [rows[0], rows[2], rows[3]]
    assert (result.uploaded, [row["sale_external_id"] for row in sent.rows]) == (2, ["b", "b"])


def test_rows_that_are_set_aside_with_their_sale_are_not_taken_for_sent(tmp_path: Path) -> None:
    """Rule: what was not sent because of another row of its sale goes when that row is gone."""
    good, bad = line("a", 1, **HEAD, external_id="1"), line("a", 2, quantity="x", external_id="2")
    for rows, expected in (([good, bad], []), ([good], [good]), ([good], [])):
        with Changes(tmp_path / "state", "sales of acme") as changes:
            result, sent, _ = run(rows, resource="sales", on_invalid="skip", changes=changes)
        assert (sent.rows, result.new) == (expected, len(expected))


def test_values_of_any_library_may_stand_in_a_sale() -> None:
    """Rule: what no file can hold is a reason against its sale, as against any other row."""
    rows = [line("a", 1, **HEAD), line("a", 1, quantity=threading.Lock())]
    _, sent, rejected = run(rows, resource="sales", on_invalid="skip")
    assert (sent.rows, [found.position for found in rejected]) == ([], [0, 1])
    assert all(json.loads(found.as_json()) for found in rejected)


def test_many_sales_in_any_order() -> None:
    """Rule: rows of a sale may stand anywhere; what is known of sales stands in a file, so there may be many."""
    rows = [row for number in range(3_000) for row in sale(f"s{number}", 3, head=number % 3)]
    random.Random(1).shuffle(rows)
    bad = next(place for place, row in enumerate(rows) if row["sale_external_id"] == "s7")
    rows[bad]["quantity"] = "x"
    sent, rejected = skipped(rows)
    assert len(sent) == 8_997
    assert {rows[place]["sale_external_id"] for place in rejected} == {"s7"}
    assert len(rejected) == 3
