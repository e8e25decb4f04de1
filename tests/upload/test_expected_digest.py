"""Nothing but what was looked at before: ``expected_digest``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jinja2.nativetypes import NativeEnvironment

from airflow_provider_custobar.api.errors import InvalidArgumentError, ServerError
from airflow_provider_custobar.upload.changes import Changes
from airflow_provider_custobar.upload.journal import Journal
from airflow_provider_custobar.upload.results import DigestMismatchError, UploadResult
from tests.upload.support import Sent, Store, customer, run

PATCH = {"tags.remove": ["gold"]}
ROWS = [customer(1, city="Turku"), customer(2)]


def preview(rows: list[Any] = ROWS, **arguments: Any) -> UploadResult:
    result, sent, _ = run(rows, dry_run=True, **arguments)
    assert sent.batches == []
    return result


def night(path: Path, rows: list[Any], **arguments: Any) -> tuple[UploadResult, Sent]:
    with Changes(path, "customers of acme", keeps_external_ids=True) as changes:
        result, sent, _ = run(rows, changes=changes, when_removed=PATCH, max_removed=1.0, **arguments)
    return result, sent


def attempt(rows: list[Any], store: Store, send: Any, *, max_tries: int = 1, **arguments: Any) -> UploadResult:
    journal = Journal(store, is_first_attempt=not store.values, max_tries=max_tries)
    return run(rows, send=send, journal=journal, **arguments)[0]


def down(*_: Any) -> None:
    raise ServerError("down", status=503, reason="")


def test_what_was_expected_is_sent() -> None:
    """Rule: a dry run's digest lets the same rows through, however they are cut into batches; bad rows are not in it."""
    digest = preview().digest
    for arguments in ({}, {"batch_size": 1}, {"events_delivery": "at_least_once"}):
        result, sent, _ = run(ROWS, expected_digest=digest, **arguments)
        assert (sent.rows, result.digest) == (ROWS, digest)
    result, sent, _ = run([*ROWS, {"city": "Oulu"}], on_invalid="skip", expected_digest=digest)
    assert (sent.rows, result.rejected) == (ROWS, 1)


@pytest.mark.parametrize(
    ("rows", "arguments"),
    [
        ([*ROWS, customer(3)], {}),
        (ROWS[:1], {}),
        ([], {}),
        ([*reversed(ROWS)], {}),
        ([customer(1, city="Oulu"), customer(2)], {}),
        (ROWS, {"destination": "https://globex.custobar.com"}),
        (ROWS, {"company": "globex"}),
        (ROWS, {"resource": "shops", "unknown_fields": "send"}),
        (ROWS, {"field_mapping": {"city": "province"}}),
    ],
    ids=["one more", "one less", "none", "another order", "another value", "tenant", "company", "resource", "mapping"],
)
def test_anything_else_is_refused(rows: list[Any], arguments: dict[str, Any]) -> None:
    """Rule: other rows, another order of them or another place are told with both digests, and nothing is sent."""
    expected, sent = preview().digest, Sent()
    with pytest.raises(DigestMismatchError, match=f"(?s)with the digest blake2b.*{expected}.*Nothing was sent"):
        run(rows, send=sent, expected_digest=expected, **arguments)
    with pytest.raises(DigestMismatchError):
        preview(rows, expected_digest=expected, **arguments)
    assert sent.batches == []


def test_changes_and_removals_are_part_of_it(tmp_path: Path) -> None:
    """Rule: of a state, the same new, changed and removed rows are what was expected; the refused run counts for nothing."""
    path = tmp_path / "state"
    night(path, [customer(1), customer(2), customer(3)])
    rows = [customer(1, city="Turku"), customer(2), customer(4)]
    told, _ = night(path, rows, dry_run=True)
    assert (told.new, told.changed, told.unchanged, told.removed) == (1, 1, 1, 1)
    for other in (rows[1:], rows[:2], [*rows, customer(3)]):
        sent = Sent()
        with pytest.raises(DigestMismatchError):
            night(path, other, send=sent, expected_digest=told.digest)
        assert sent.batches == []
    with pytest.raises(ServerError):
        night(path, rows, send=down, expected_digest=told.digest)
    result, sent = night(path, rows, expected_digest=told.digest)
    assert sent.rows == [rows[0], rows[2], customer(3, **PATCH)]
    assert (result.removed, result.digest) == (1, told.digest)


def test_a_retry_goes_on_with_what_was_expected() -> None:
    """Rule: an attempt after a failed one sends the rest of the same rows, and of others nothing, and says what had gone."""
    store, sent, digest = Store(), Sent(), preview().digest

    def fails_second(rows: Any, may_repeat: bool) -> str | None:
        return sent(rows) if not sent.batches else down()

    with pytest.raises(ServerError):
        attempt(ROWS, store, fails_second, batch_size=1, expected_digest=digest)
    with pytest.raises(DigestMismatchError, match="An earlier attempt has sent 1 rows of what was expected"):
        attempt(ROWS[1:], store, sent, batch_size=1, expected_digest=digest)
    assert (sent.rows, store.values) == (ROWS[:1], {})
    with pytest.raises(ServerError):
        attempt(ROWS, store, down, batch_size=1, expected_digest=digest)
    assert attempt(ROWS, store, sent, batch_size=1, expected_digest=digest).uploaded == 2


def test_an_upload_that_is_done_is_not_taken_for_another(tmp_path: Path) -> None:
    """Rule: where a worker dies behind the last batch, the next attempt finds nothing to send, and succeeds; a cleared task
    is another matter.
    """
    store, sent = Store(), Sent()
    digest = night(tmp_path / "state", ROWS, dry_run=True)[0].digest

    def once_more(max_tries: int) -> UploadResult:
        journal = Journal(store, is_first_attempt=False, max_tries=max_tries)
        return night(tmp_path / "state", ROWS, send=sent, journal=journal, expected_digest=digest)[0]

    first = once_more(1)
    again = once_more(1)
    assert (again.uploaded, again.run_ids, again.digest, again.resumed) == (2, first.run_ids, digest, True)
    with pytest.raises(DigestMismatchError, match="^0 rows of customers"):
        once_more(2)
    assert sent.rows == ROWS


@pytest.mark.parametrize("value", ["", "None", "blake2b:", "0" * 32, 12, "sha256:" + "0" * 64])
def test_what_is_no_digest_is_refused(value: Any) -> None:
    """Rule: what no result has told is an argument that is wrong."""
    with pytest.raises(InvalidArgumentError, match="^expected_digest="):
        run(ROWS, expected_digest=value)


def test_a_digest_is_a_text_to_every_template() -> None:
    """Rule: where templates are rendered natively, no digest becomes a number, not even one of digits alone."""
    for digest in (preview().digest, f"blake2b:{'1' * 32}"):
        assert NativeEnvironment().from_string("{{ digest }}").render(digest=digest) == digest
