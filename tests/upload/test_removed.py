"""``when_removed``: what becomes of rows that the last run had and this one has not."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import InvalidArgumentError, ServerError
from airflow_provider_custobar.upload.changes import Changes
from airflow_provider_custobar.upload.journal import Journal
from airflow_provider_custobar.upload.results import TooManyRemovedError
from tests.upload.support import Sent, Store, customer, run

PATCH = {"tags.remove": ["gold"]}


def upload(path: Path, rows: list[Any], *, when_removed: Any = PATCH, max_removed: Any = 1.0, **options: Any) -> Any:
    """One run; its result and what was sent."""
    with Changes(path, "customers of acme", keeps_external_ids=when_removed is not None) as changes:
        options |= {"when_removed": when_removed, "max_removed": max_removed}
        result, sent, _ = run(rows, changes=changes, **options)
    return result, sent.rows


def removal(number: int) -> dict[str, Any]:
    return {"external_id": f"C-{number}", **PATCH}


class Down(Sent):
    """A server that fails after so many batches."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def __call__(self, *batch: Any) -> Any:
        if len(self.sizes) == self.after:
            raise ServerError("down", status=503, reason="")
        return super().__call__(*batch)


def counts(result: Any) -> tuple[int, int, int, int]:
    return result.new, result.changed, result.unchanged, result.removed


def test_who_is_gone_gets_the_patch_once(tmp_path: Path) -> None:
    """Rule: after the rows, and only in the run after the last one that had them; who comes back is new."""
    path = tmp_path / "state"
    assert upload(path, [customer(1), customer(2), customer(3)])[1] == [customer(1), customer(2), customer(3)]
    result, sent = upload(path, [customer(1), customer(3, city="Turku"), customer(4)])
    assert sent == [customer(3, city="Turku"), customer(4), removal(2)]
    assert (counts(result), result.rows, result.uploaded) == ((1, 1, 1, 1), 3, 3)
    result, sent = upload(path, [customer(1), customer(3, city="Turku"), customer(4)])
    assert (sent, counts(result)) == ([], (0, 0, 3, 0))
    result, sent = upload(path, [customer(1), customer(2), customer(3, city="Turku"), customer(4)])
    assert (sent, counts(result)) == ([customer(2)], (1, 0, 3, 0))


def test_names_of_the_patch_are_custobars(tmp_path: Path) -> None:
    """Rule: a mapping of the source's names is none of the patch's, and its values become what Custobar expects."""
    mapping = {"id": "external_id", "external_id": None, "city": "company"}
    upload(tmp_path / "state", [{"id": 1}, {"id": 2}], field_mapping=mapping)
    _, sent = upload(tmp_path / "state", [{"id": 1}], field_mapping=mapping, when_removed={"city": "", "can_email": False})
    assert sent == [{"external_id": "2", "city": "", "can_email": False}]


def test_no_rows_remove_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rule: a source that is empty for once removes nobody, and is forgotten by the next run."""
    path = tmp_path / "state"
    upload(path, [customer(1), customer(2)])
    assert upload(path, [])[1] == []
    assert "no rows came in, so none is taken for removed" in caplog.text
    assert upload(path, [customer(1)])[1] == [removal(2)]


@pytest.mark.parametrize("bad", [{"external_id": "C-2", "can_email": "maybe"}, {"external_id": "C-2", "nothing": 1}])
def test_a_rejected_row_is_there(tmp_path: Path, bad: dict[str, Any]) -> None:
    """Rule: who comes with a bad row is not gone."""
    path = tmp_path / "state"
    upload(path, [customer(1), customer(2), customer(3)])
    result, sent = upload(path, [customer(1), bad], on_invalid="skip")
    assert (sent, result.rejected) == ([removal(3)], 1)
    assert upload(path, [customer(1)])[1] == [removal(2)]


@pytest.mark.parametrize("bad", [{"external_id": "C 2"}, {"email": "a@"}, "C-2", {"external_id": ["C-2"]}])
def test_a_bad_row_that_may_be_anybodys_removes_nobody(tmp_path: Path, bad: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Rule: where it cannot be told who is gone, nobody is; and nobody is forgotten by that."""
    path = tmp_path / "state"
    upload(path, [customer(1), customer(2)])
    assert upload(path, [customer(1), bad, customer(3)], on_invalid="skip")[1] == [customer(3)]
    assert "1 rows do not tell their external_id" in caplog.text
    assert upload(path, [customer(1)])[1] == [removal(2), removal(3)]


def test_a_good_row_that_may_be_anybodys_removes_nobody(tmp_path: Path) -> None:
    """Rule: who comes without an external_id for once may be whoever seems to be gone."""
    path = tmp_path / "state"
    upload(path, [customer(1, email="a@example.com")])
    row = {"email": "a@example.com", "can_email": True}
    assert upload(path, [row], require_external_id=False)[1] == [row]
    assert upload(path, [customer(2)])[1] == [customer(2), removal(1)]


@pytest.mark.parametrize(
    ("max_removed", "gone", "may"),
    [
        (0.1, 10, True),
        (0.1, 11, False),
        ("10%", 10, True),
        ("0.1", 11, False),
        (10, 10, True),
        ("10", 11, False),
        (0, 1, False),
    ],
)
def test_more_than_may_be_removed_sends_nothing(tmp_path: Path, max_removed: Any, gone: int, may: bool) -> None:
    """Rule: a number, or a share of the last run's rows; beyond it, not even the changed rows go, and nothing is kept."""
    path = tmp_path / "state"
    rows = [customer(number) for number in range(100)]
    upload(path, rows)
    fewer = [*rows[gone:], customer(1000)]
    if may:
        assert upload(path, fewer, max_removed=max_removed)[0].removed == gone
        return
    before = path.read_bytes()
    with pytest.raises(TooManyRemovedError, match=f"{gone} of the 100 customers.*max_removed={max_removed}. Nothing was sent"):
        upload(path, fewer, max_removed=max_removed)
    assert path.read_bytes() == before


def test_a_dry_run_tells_and_keeps_nothing(tmp_path: Path) -> None:
    """Rule: it counts what would be new, changed, unchanged and removed."""
    path = tmp_path / "state"
    upload(path, [customer(1), customer(2), customer(3)])
    rows = [customer(1), customer(2, city="Turku"), customer(4)]
    for _ in range(2):
        result, sent = upload(path, rows, dry_run=True)
        assert (sent, counts(result)) == ([], (1, 1, 1, 1))


def test_a_retry_goes_on_among_the_removed(tmp_path: Path) -> None:
    """Rule: patches are rows like others: an attempt that fails among them is followed by one that sends the rest."""
    path, store = tmp_path / "state", Store()
    rows = [customer(number) for number in range(6)]
    upload(path, rows)

    first = Down(after=1)
    with pytest.raises(ServerError):
        upload(path, rows[:2], send=first, journal=Journal(store), batch_size=2)
    result, sent = upload(path, rows[:2], journal=Journal(store), batch_size=2)
    assert (first.rows, sent) == ([removal(2), removal(3)], [removal(4), removal(5)])
    assert (result.resumed, result.removed, result.uploaded) == (True, 4, 4)


def test_a_disk_that_is_full_at_the_end_fails_no_upload(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rule: rows that were sent stay sent; what cannot be kept of them is told."""
    rows = [customer(number) for number in range(1000)]
    with Changes(tmp_path / "state", "customers of acme", keeps_external_ids=True) as changes:

        def send(*_: Any) -> None:
            changes._connection.execute("PRAGMA max_page_count = 1")

        result, _, _ = run(rows, send=send, changes=changes, when_removed=PATCH)
    assert result.uploaded == 1000
    assert "Could not keep which rows were sent: the next run will send them again (database or disk is full)" in caplog.text


def test_identifiers_are_kept_only_for_that(tmp_path: Path) -> None:
    """Rule: without the argument the file holds digests alone, also where it held external_ids before."""
    path = tmp_path / "state"
    rows = [{"external_id": f"SECRET-{number}"} for number in range(500)]
    upload(path, rows)
    assert b"SECRET-" in path.read_bytes()
    upload(path, rows, when_removed=None)
    assert b"SECRET-" not in path.read_bytes()
    assert upload(path, rows[:1])[1] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"when_removed": {}}, "when_removed={}.*give fields"),
        ({"when_removed": "tags"}, "when_removed='tags'.*give fields"),
        ({"when_removed": {"external_id": "1"}}, "external_id"),
        ({"when_removed": {"is_deleted": True}, "allow_irreversible": True}, "nobody is deleted or forgotten"),
        ({"when_removed": {"is_forgotten": True}}, "nobody is deleted or forgotten"),
        ({"when_removed": {"tag.remove": ["x"]}}, "when_removed='tag.remove'.*not a field of customers"),
        ({"when_removed": {"tag.remove": ["x"]}, "unknown_fields": "drop"}, "when_removed=.*tag.remove.*no such field"),
        ({"when_removed": {"tags.remove": None}}, "when_removed='tags.remove'"),
        ({"when_removed": {"can_email": "maybe"}}, "when_removed='can_email'"),
        ({"resource": "sales"}, "sales are not known again by external_id"),
        ({"resource": "events"}, "events are not known again by external_id"),
        ({"max_removed": 1.5}, "max_removed=1.5.*a share"),
        ({"max_removed": -1}, "max_removed=-1"),
        ({"max_removed": "120%"}, "max_removed='120%'"),
        ({"max_removed": True}, "max_removed=True"),
        ({"max_removed": "few"}, "max_removed='few'"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: dict[str, Any], said: str) -> None:
    """Rule: what cannot be meant is refused before a row is read."""
    with pytest.raises(InvalidArgumentError, match=said):
        upload(tmp_path / "state", iter(lambda: pytest.fail("a row was read"), None), **arguments)  # type: ignore[arg-type]


night = st.dictionaries(st.integers(0, 5), st.sampled_from("ab"), max_size=6)
#: After how many rows a run fails, if it does; or a dry run.
fate = st.sampled_from([None, None, 0, 1, 3, "dry"])


@given(st.lists(st.tuples(night, fate), max_size=7))
def test_whatever_happens_custobar_ends_up_as_the_last_good_run_says(nights: list[tuple[dict[int, str], Any]]) -> None:
    """Rule: after a run that ends well, who was in it is as in it, and whoever came before it and is gone has the patch."""
    tenant: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for customers, fate in nights:
            rows = [customer(number, city=city) for number, city in customers.items()]
            server = Down(after=fate if isinstance(fate, int) else 1000)
            with suppress(ServerError):
                upload(Path(folder) / "state", rows, send=server, batch_size=1, dry_run=fate == "dry")
            for row in server.rows:
                there = tenant.setdefault(row["external_id"], {})
                there |= {"gold": False} if "tags.remove" in row else {"gold": True, "city": row["city"]}
            if fate is None and customers:
                expected = {row["external_id"]: {"gold": True, "city": row["city"]} for row in rows}
                assert {name: there for name, there in tenant.items() if there["gold"]} == expected


def test_a_run_does_only_what_has_to_be_done(tmp_path: Path) -> None:
    """Rule: a run that fails costs the next one its own rows, and no others; without a row to go nothing is written."""
    path, rows = tmp_path / "state", [customer(number) for number in range(6)]
    upload(path, rows[:4])
    published: list[bytes] = []
    with Changes(
        path, "customers of acme", keeps_external_ids=True, publish=lambda: published.append(path.read_bytes())
    ) as changes:
        run(rows[:4], changes=changes, when_removed=PATCH)
        assert published == []
    with pytest.raises(ServerError):
        upload(path, rows[1:5], send=Down(after=0))
    assert upload(path, rows[:4])[1] == [customer(0), removal(4)]


def test_a_state_that_cannot_be_written_first_sends_nothing(tmp_path: Path) -> None:
    """Rule: what the next run could not know of is not sent."""

    def refuse() -> None:
        raise OSError("the store")

    server = Sent()
    with Changes(tmp_path / "state", "customers of acme", publish=refuse) as changes, pytest.raises(OSError, match="the store"):
        run([customer(1)], send=server, changes=changes)
    assert server.rows == []


@pytest.mark.parametrize("name", ["is_forgotten", "is_deleted"])
def test_who_was_forgotten_is_never_heard_of_again(tmp_path: Path, name: str) -> None:
    """Rule: neither in the run that forgets or deletes somebody, nor after it, there is a patch that may make them anew."""
    path = tmp_path / "state"
    upload(path, [customer(1), customer(2)])
    last = customer(2, **{name: True})
    assert upload(path, [customer(1), last], allow_irreversible=True)[1] == [last]
    assert upload(path, [customer(1)])[1] == []


def test_who_was_never_sent_is_not_gone(tmp_path: Path) -> None:
    """Rule: a rejected row keeps somebody who is known from being gone, and makes nobody known."""
    path = tmp_path / "state"
    upload(path, [customer(1), customer(2, email="no address")], on_invalid="skip")
    assert upload(path, [customer(1)])[1] == []


def test_half_a_character_is_nobodys_external_id(tmp_path: Path) -> None:
    """Rule: what can be no external_id is a reason against its row, and ends no upload."""
    rows = [{"external_id": "P\ud800", "price": 1}, {"external_id": "P-1", "price": 1}]
    options: dict[str, Any] = {"resource": "products", "on_invalid": "skip", "when_removed": {"price": 0}}
    assert upload(tmp_path / "state", rows, **options)[1] == rows[1:]
