"""The upload loop: all rows are checked, then the good ones go, in order and in batches that fit."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import PayloadTooLargeError, ServerError
from airflow_provider_custobar.api.resources import RESOURCES
from airflow_provider_custobar.upload.results import InvalidRowsError, PartlySentError
from airflow_provider_custobar.upload.uploader import Upload
from tests.upload.support import GOOD, Sent, body_of, build_plan, customer, run

BAD = {"external_id": "not good", "email": "anna@example.com"}


def never(_: Sequence[bytes], may_repeat: bool) -> str | None:
    raise AssertionError("something was sent")


@pytest.mark.parametrize("resource", RESOURCES)
def test_rows_arrive_as_they_are(resource: str) -> None:
    """A good row arrives whole, and the result counts it and names the import."""
    result, sent, rejected = run([GOOD[resource]], resource=resource)
    assert sent.rows == [GOOD[resource]]
    assert (result.rows, result.uploaded, result.rejected, result.batches) == (1, 1, 0, 1)
    assert result.run_ids == ["run-1"]
    assert rejected == []


def test_no_rows_send_nothing() -> None:
    """Without rows there is no request, and no error."""
    result, _, _ = run([], send=never)
    assert (result.rows, result.uploaded, result.batches, result.run_ids) == (0, 0, 0, [])


@pytest.mark.parametrize(
    ("rows", "batch_size", "expected"),
    [(1, 500, [1]), (500, 500, [500]), (501, 500, [500, 1]), (10, 3, [3, 3, 3, 1]), (3, 1, [1, 1, 1]), (9, "3", [3, 3, 3])],
)
def test_batches_by_count(rows: int, batch_size: int | str, expected: list[int]) -> None:
    """A batch has ``batch_size`` rows at most; order is kept; no row is lost or doubled."""
    result, sent, _ = run([customer(number) for number in range(rows)], batch_size=batch_size)
    assert sent.sizes == expected
    assert sent.rows == [customer(number) for number in range(rows)]
    assert (result.uploaded, result.batches, len(result.run_ids)) == (rows, len(expected), len(expected))


@pytest.mark.parametrize("resource", RESOURCES)
@given(sizes=st.lists(st.integers(0, 900), min_size=1, max_size=30), limit=st.integers(1000, 3000))
def test_no_body_is_larger_than_max_batch_bytes(resource: str, sizes: list[int], limit: int) -> None:
    """The body that the client really sends, envelope and commas included, never exceeds ``max_batch_bytes``."""
    rows = [GOOD[resource] | {"ACME__n": number, "ACME__fill": "ä" * (size // 2)} for number, size in enumerate(sizes)]
    _, sent, rejected = run(rows, resource=resource, max_batch_bytes=limit, on_invalid="skip")
    bodies = [body_of(RESOURCES[resource], batch) for batch in sent.batches]
    assert all(len(body) <= limit for body in bodies)
    missing = {found.position for found in rejected}
    assert sent.rows == [row for position, row in enumerate(rows) if position not in missing]
    # Nor are batches needlessly small: the first row of each would not have fitted into the one before.
    for before, after in zip(sent.batches, sent.batches[1:], strict=False):
        assert len(body_of(RESOURCES[resource], before)) + 1 + len(after[0]) > limit - 32


@pytest.mark.parametrize("resource", RESOURCES)
def test_commas_between_many_small_rows_count(resource: str) -> None:
    """The limit holds for many rows of few bytes as well, where the commas between them weigh most."""
    _, sent, _ = run([GOOD[resource]] * 300, resource=resource, max_batch_bytes=2000)
    assert len(sent.rows) == 300
    assert max(len(body_of(RESOURCES[resource], batch)) for batch in sent.batches) <= 2000


def test_a_huge_row_is_rejected_with_its_size() -> None:
    """A row that no batch can hold is found while checking, and its reason names the limit."""
    huge = customer(1, first_name="x" * 2000)
    with pytest.raises(InvalidRowsError, match=r"row 0: it has 2,\d\d\d bytes, too many for max_batch_bytes=1,000"):
        run([huge], send=never, max_batch_bytes=1000)


@pytest.mark.parametrize("position", [0, 5, 9])
def test_one_bad_row_stops_everything(position: int) -> None:
    """``on_invalid="fail"``: one bad row, wherever it is, and nothing is sent."""
    rows: list[Any] = [customer(number) for number in range(10)]
    rows[position] = BAD
    with pytest.raises(InvalidRowsError, match=rf"1 of 10 rows of customers .*\nrow {position}: external_id") as caught:
        run(rows, send=never, batch_size=2)
    assert caught.value.rejected == 1
    assert "Nothing was sent" in str(caught.value)
    assert "anna" not in str(caught.value)


def test_good_rows_go_and_bad_ones_are_set_aside() -> None:
    """``on_invalid="skip"``: good rows are sent in order; each bad one is handed over once, as it came, with its position."""
    rows: list[Any] = [customer(0), BAD, customer(2), ["no mapping"], customer(4), {"mail": "x"}]
    result, sent, rejected = run(rows, on_invalid="skip")
    assert sent.rows == [customer(0), customer(2), customer(4)]
    assert (result.rows, result.uploaded, result.rejected, result.batches) == (6, 3, 3, 1)
    assert [found.position for found in rejected] == [1, 3, 5]
    assert all(found.row is rows[found.position] and found.reasons for found in rejected)


def test_rejects_are_handed_over_where_nothing_is_sent() -> None:
    """``on_invalid="fail"`` tells of all bad rows, not only of the first."""
    handed: list[int] = []
    rows = [BAD if number % 2 else customer(number) for number in range(30)]
    with pytest.raises(InvalidRowsError):
        Upload(rows=rows, plan=build_plan(), send=never, reject=lambda found: handed.append(found.position)).run()
    assert handed == list(range(1, 30, 2))


def test_the_error_shows_ten_rows_and_the_total() -> None:
    """Of many bad rows the error shows the first ten by position and says how many more there are."""
    with pytest.raises(InvalidRowsError) as caught:
        run([customer(0), *[BAD] * 1234], send=never)
    lines = str(caught.value).splitlines()
    assert lines[0] == "1,234 of 1,235 rows of customers cannot be uploaded:"
    assert [line.split(":")[0] for line in lines[1:11]] == [f"row {position}" for position in range(1, 11)]
    assert lines[11:] == ["and 1,224 more", "Nothing was sent."]
    assert caught.value.rejected == 1234


def test_exactly_ten_bad_rows_are_all_shown() -> None:
    """Ten bad rows leave no more to speak of."""
    with pytest.raises(InvalidRowsError) as caught:
        run([BAD] * 10, send=never)
    assert "more" not in str(caught.value)


def test_only_bad_rows_send_nothing() -> None:
    """``skip`` with no good row makes no request."""
    result, _, rejected = run([BAD, BAD], send=never, on_invalid="skip")
    assert (result.uploaded, result.rejected, len(rejected)) == (0, 2, 2)


@pytest.mark.parametrize("on_invalid", ["fail", "skip"])
def test_a_dry_run_sends_nothing(on_invalid: str, caplog: pytest.LogCaptureFixture) -> None:
    """``dry_run`` checks and counts, sends nothing, and says so in the log."""
    caplog.set_level(logging.INFO)
    result, _, _ = run([customer(1), customer(2)], send=never, dry_run=True, on_invalid=on_invalid)
    assert (result.rows, result.uploaded, result.batches, result.run_ids) == (2, 0, 0, [])
    assert "Dry run: nothing was sent of customers: 2 rows came in" in caplog.text


def test_a_dry_run_finds_bad_rows() -> None:
    """``dry_run`` fails where the real upload would."""
    with pytest.raises(InvalidRowsError):
        run([BAD], send=never, dry_run=True)


def test_a_batch_that_is_too_large_is_halved() -> None:
    """413 halves a batch until it fits; every row arrives once and in order, and each request counts as a batch."""
    rows = [customer(number) for number in range(11)]
    one = len(json.dumps(rows[10], separators=(",", ":")))
    result, sent, _ = run(rows, send=Sent(most_bytes=3 * one))
    assert sent.rows == rows
    assert max(sent.sizes) <= 3
    assert sent.refused
    assert (result.uploaded, result.batches, result.run_ids) == (
        11,
        len(sent.batches),
        [f"run-{n + 1}" for n in range(len(sent.batches))],
    )


def test_a_single_row_that_is_too_large_is_an_error() -> None:
    """A row that the server refuses alone with 413 ends the upload: it is not dropped."""
    sent = Sent(most_bytes=60)
    with pytest.raises(PayloadTooLargeError):
        run([customer(1), customer(2), customer(3, first_name="x" * 100), customer(4)], send=sent)
    assert 1 in sent.refused
    assert sent.rows == [customer(1), customer(2)]


def test_other_errors_are_not_tried_in_halves() -> None:
    """Only 413 halves: any other error surfaces as it is, at once."""
    calls = []

    def failing(rows: Sequence[bytes], may_repeat: bool) -> str | None:
        calls.append(len(rows))
        raise ServerError("down", status=503, reason="down")

    with pytest.raises(ServerError, match="down"):
        run([customer(number) for number in range(10)], send=failing, batch_size=4)
    assert calls == [4]


def test_a_server_without_run_ids() -> None:
    """Imports without a name are counted and not listed."""
    result, _, _ = run([customer(1), customer(2)], send=lambda _rows, _may_repeat: None, batch_size=1)
    assert (result.batches, result.run_ids) == (2, [])


def test_rows_may_come_from_a_generator() -> None:
    """Rows are read once, to the last one before the first is sent; what a source holds open is closed by then."""
    order: list[str] = []

    def rows() -> Iterator[dict[str, Any]]:
        try:
            yield from map(customer, range(1200))
        finally:
            order.append("closed")

    server = Sent()

    def send(batch: Any, may_repeat: bool) -> str | None:
        order.append("sent")
        return server(batch, may_repeat)

    result, _, _ = run(rows(), send=send)
    assert order == ["closed", "sent", "sent", "sent"]
    assert (result.rows, result.uploaded, server.sizes) == (1200, 1200, [500, 500, 200])


@pytest.mark.parametrize("resource", ["customers", "sales"])
def test_a_source_is_closed_when_the_check_fails(resource: str) -> None:
    """A query's connection is not held by whoever keeps the error."""
    closed: list[str] = []

    def rows() -> Iterator[dict[str, Any]]:
        try:
            yield BAD
            raise OSError("the source")
        finally:
            closed.append("source")

    def full(_: Any) -> None:
        raise OSError("the rejects' store")

    source = rows()
    with pytest.raises(OSError, match="the "):
        Upload(rows=source, plan=build_plan(resource), send=never, reject=full).run()
    assert closed == ["source"]


def test_no_file_with_rows_can_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows wait where nobody else can open them, and nothing of them outlives the process."""
    seen: list[Path] = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run(map(customer, range(5_000)), send=lambda _rows, _may_repeat: seen.extend(tmp_path.iterdir()))
    assert (seen, list(tmp_path.iterdir())) == ([], [])


def test_a_source_that_fails_sends_nothing() -> None:
    """Nor does one that fails at its end."""

    def rows() -> Iterator[dict[str, Any]]:
        yield from map(customer, range(3))
        raise ConnectionError("the source")

    with pytest.raises(ConnectionError):
        run(rows(), send=never)


def test_the_log_shows_no_values(caplog: pytest.LogCaptureFixture) -> None:
    """The log tells rows by position and reason, and never what is in them."""
    caplog.set_level(logging.DEBUG)
    run([customer(1, first_name="Anna-Secret"), BAD, {"email": "anna@secret"}], on_invalid="skip")
    assert "row 1: external_id" in caplog.text
    assert "1 row of customers sent in 1 batch: 3 rows came in, 2 rejected" in caplog.text
    assert "secret" not in caplog.text.lower()
    assert "anna" not in caplog.text.lower()


@pytest.mark.parametrize("error", [SystemExit("stop"), KeyboardInterrupt(), RuntimeError("a bug")])
def test_events_are_not_sent_again_whatever_ended_the_upload(error: BaseException) -> None:
    """Once events may have arrived, no kind of failure leads back to the first row; how far it came is told."""
    sent: list[Any] = []

    def send(rows: Any, may_repeat: bool) -> None:
        sent.append(rows)
        if len(sent) == 2:
            raise error

    rows = [{"type": "BROWSE", "date": "2026-02-10", "customer_id": str(number)} for number in range(4)]
    with pytest.raises(PartlySentError, match="1 of 4 rows were sent before") as caught:
        Upload(rows=rows, plan=build_plan("events", batch_size=1), send=send).run()
    assert caught.value.__cause__ is error
