"""Only what has changed: digests that go from run to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import ServerError
from airflow_provider_custobar.upload.changes import Changes, ChangesError
from airflow_provider_custobar.upload.duplicates import Duplicates
from tests.upload.support import GOOD, Sent, customer, run


def upload(path: Path, rows: list[Any], target: str = "customers of acme", **options: Any) -> tuple[Any, Sent]:
    with Changes(path, target) as changes:
        result, sent, _ = run(rows, changes=changes, **options)
    return result, sent


def test_the_second_night_sends_what_has_changed(tmp_path: Path) -> None:
    """Rule: the same rows are not sent again; new and changed ones are."""
    path = tmp_path / "state"
    _, sent = upload(path, [customer(number) for number in range(1000)])
    assert len(sent.rows) == 1000
    rows = [customer(number, city="Turku") if number in (3, 700) else customer(number) for number in range(1001)]
    result, sent = upload(path, rows)
    assert [row["external_id"] for row in sent.rows] == ["C-3", "C-700", "C-1000"]
    assert (result.rows, result.unchanged, result.uploaded) == (1001, 998, 3)
    result, sent = upload(path, rows)
    assert (sent.rows, result.unchanged) == ([], 1001)


def test_a_failed_run_counts_for_nothing(tmp_path: Path) -> None:
    """Rule: "unchanged" is since the last run that succeeded."""

    def down(*_: Any) -> None:
        raise ServerError("down", status=503, reason="")

    with pytest.raises(ServerError):
        upload(tmp_path / "state", [customer(1)], send=down)
    _, sent = upload(tmp_path / "state", [customer(1)])
    assert sent.rows == [customer(1)]


def test_a_dry_run_counts_for_nothing(tmp_path: Path) -> None:
    """Rule: what was not sent is not taken for sent."""
    result, _ = upload(tmp_path / "state", [customer(1)], dry_run=True)
    assert result.unchanged == 0
    _, sent = upload(tmp_path / "state", [customer(1)])
    assert sent.rows == [customer(1)]


def test_another_tenant_has_digests_of_its_own(tmp_path: Path) -> None:
    """Rule: what one tenant has got says nothing of another."""
    upload(tmp_path / "state", [customer(1)])
    _, sent = upload(tmp_path / "state", [customer(1)], target="customers of other")
    assert sent.rows == [customer(1)]


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    """Rule: a damaged file is an error that says what to do, not an upload of everything."""
    (tmp_path / "state").write_bytes(b"not a database at all, but long enough to look like a file" * 100)
    with pytest.raises(ChangesError, match="remove it to upload all rows"):
        Changes(tmp_path / "state", "customers of acme")


def test_a_file_that_is_damaged_further_on_is_told(tmp_path: Path) -> None:
    """Rule: so is one whose beginning alone is whole."""
    path = tmp_path / "state"
    upload(path, [customer(number) for number in range(3_000)])
    data = path.read_bytes()
    path.write_bytes(data[:8192] + bytes(len(data) - 8192))
    with pytest.raises(ChangesError, match="remove it to upload all rows"):
        upload(path, [customer(number) for number in range(3_000)])


def test_rows_without_identifier_always_go(tmp_path: Path) -> None:
    """Rule: a row that cannot be known again is sent."""
    for _ in range(2):
        _, sent = upload(tmp_path / "state", [GOOD["sales"]], resource="sales")
        assert sent.rows == [GOOD["sales"]]


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b"])), max_size=6), min_size=1, max_size=4))
def test_whatever_comes_in_custobar_ends_up_the_same(nights: list[list[tuple[int, str]]]) -> None:
    """Rule: sending the changed rows only leaves every customer as sending all of them would, doubled ones included."""
    import tempfile

    sparing: dict[str, Any] = {}
    everything: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for night in nights:
            rows = [customer(number, city=city) for number, city in night]
            everything.update({row["external_id"]: row for row in rows})
            _, sent = upload(Path(folder) / "state", rows)
            sparing.update({row["external_id"]: row for row in sent.rows})
            assert sparing == everything


@given(st.lists(st.integers(0, 30).map(str)))
def test_duplicates_are_counted_exactly(identities: list[str]) -> None:
    """Rule: every row whose identifier came before is one duplicate."""
    found = Duplicates()
    for identity in identities:
        found.note(identity)
    for identity in identities:
        found.add(identity)
    assert found.count == len(identities) - len(set(identities))


def test_duplicates_are_kept_in_order_and_reported() -> None:
    """Rule: the last of two rows counts, so both go in their order, and the result says that there were two."""
    result, sent, _ = run([customer(1, city="a"), customer(2), customer(1, city="b")])
    assert [row.get("city") for row in sent.rows] == ["a", None, "b"]
    assert result.duplicates == 1
