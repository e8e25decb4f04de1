"""The upload operator, against a running sandbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_custobar.api.errors import CustobarError, InvalidArgumentError
from airflow_provider_custobar.operators.custobar import CustobarUploadOperator
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from airflow_provider_custobar.upload.results import InvalidRowsError

GOOD = {"external_id": "m-1", "email": "aino@example.com", "tags": ["new"]}
BAD = {"email": "shared@example.com"}


def upload(records: Any, **arguments: Any) -> dict[str, Any]:
    return CustobarUploadOperator(task_id="upload", records=records, **arguments).execute({})


def customer(tenant: CustobarSandbox, external_id: str) -> dict[str, Any] | None:
    return next((record for record in tenant.records("customers") if record.get("external_id") == external_id), None)


def test_records_arrive_under_custobars_names(tenant: CustobarSandbox) -> None:
    """Rule: mapped names arrive, nulls do not, and the result counts what happened."""
    result = upload(
        [{"member": "m-1", "mail": "aino@example.com", "city": None}], field_mapping={"member": "external_id", "mail": "email"}
    )
    assert customer(tenant, "m-1") is not None
    assert [entry.rows for entry in tenant.uploads] == [[{"external_id": "m-1", "email": "aino@example.com"}]]
    assert result == {
        "resource": "customers",
        "rows": 1,
        "uploaded": 1,
        "rejected": 0,
        "new": 0,
        "changed": 0,
        "unchanged": 0,
        "removed": 0,
        "duplicates": 0,
        "batches": 1,
        "run_ids": [tenant.uploads[0].run_id],
        "rejects_uri": None,
        "resumed": False,
        "verified": None,
        "digest": result["digest"],
    }


@pytest.mark.parametrize(("unknown_fields", "more"), [("drop", {}), ("send", {"Notes": "n"})])
def test_columns_without_a_field_of_custobars(tenant: CustobarSandbox, unknown_fields: Any, more: dict[str, str]) -> None:
    """Rule: what Custobar has no field for is refused, left out or sent, as the argument says."""
    row = {"external_id": 17, "Notes": "n", "Member No": "5"}
    with pytest.raises(InvalidRowsError, match="'Notes' is not a field of customers.*unknown_fields='drop'"):
        upload([row], field_mapping={"Member No": None})
    upload([row], field_mapping={"Member No": None}, unknown_fields=unknown_fields)
    assert [entry.rows for entry in tenant.uploads] == [[{"external_id": "17", **more}]]
    with pytest.raises(InvalidArgumentError, match="unknown_fields='ignore' is not accepted: give one of fail, drop, send"):
        upload([row], unknown_fields="ignore")


def test_bad_rows_stop_everything_by_default(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: one bad row and nothing is sent; the reason is told, and written down where asked for."""
    with pytest.raises(InvalidRowsError, match=r"1 of 2 rows.*\nrow 1: no external_id.*\nNothing was sent"):
        upload([GOOD, BAD], rejects_path=f"file://{tmp_path}/rejects.jsonl")
    assert tenant.requests == []
    assert json.loads((tmp_path / "rejects.jsonl").read_text())["row"] == BAD


def test_bad_rows_are_set_aside_with_skip(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: with ``skip`` the good rows go and the bad ones are written down with position, reasons and the row itself."""
    result = upload([BAD, GOOD], on_invalid="skip", rejects_path=f"file://{tmp_path}/rejects.jsonl")
    assert (result["uploaded"], result["rejected"], result["rejects_uri"]) == (1, 1, f"file://{tmp_path}/rejects.jsonl")
    rejected = json.loads((tmp_path / "rejects.jsonl").read_text())
    assert (rejected["position"], rejected["row"], len(rejected["reasons"])) == (0, BAD, 1)
    assert customer(tenant, "m-1") is not None


def test_rejects_that_cannot_be_written(tenant: CustobarSandbox) -> None:
    """Rule: a place that takes no file is told by its name, before anything is sent."""
    with pytest.raises(CustobarError, match="^file:///proc/nowhere/rejects.jsonl cannot be written: "):
        upload([BAD, GOOD], on_invalid="skip", rejects_path="file:///proc/nowhere/rejects.jsonl")
    assert tenant.requests == []


@pytest.mark.parametrize("row", [{**GOOD, "is_deleted": True}, {**GOOD, "is_forgotten": True}])
def test_irreversible_rows_need_a_word(tenant: CustobarSandbox, row: dict[str, Any]) -> None:
    """Rule: nobody is deleted or forgotten by accident."""
    with pytest.raises(InvalidRowsError, match="cannot be undone"):
        upload([row])
    assert tenant.requests == []
    assert upload([row], allow_irreversible=True)["uploaded"] == 1


def test_dry_run_sends_nothing(tenant: CustobarSandbox) -> None:
    """Rule: a dry run checks everything and sends nothing."""
    result = upload([GOOD], dry_run=True)
    assert (result["rows"], result["uploaded"], result["batches"]) == (1, 0, 0)
    assert tenant.requests == []


def test_nothing_but_what_a_dry_run_showed(tenant: CustobarSandbox) -> None:
    """Rule: with the digest of another task's dry run the same records go to the same tenant, and no others; one that did not
    come is refused; what is refused is not tried again.
    """
    digest = upload([GOOD], dry_run=True)["digest"]

    def task(records: Any, result: Any) -> CustobarUploadOperator:
        operator = CustobarUploadOperator(task_id="upload", records=records, expected_digest="{{ result['digest'] }}")
        operator.render_template_fields({"result": result})
        return operator

    with pytest.raises(AirflowFailException, match="Nothing was sent"):
        task([GOOD, {**GOOD, "external_id": "m-2"}], {"digest": digest}).execute({})
    with pytest.raises(InvalidArgumentError, match="^expected_digest=None.*rendered to nothing"):
        task([GOOD], {"digest": None}).execute({})
    assert tenant.requests == []
    assert task([GOOD], {"digest": digest}).execute({})["uploaded"] == 1
    assert [entry.rows for entry in tenant.uploads] == [[GOOD]]


def test_too_large_batches_are_halved(tenant: CustobarSandbox) -> None:
    """Rule: a server that takes less than was thought gets smaller batches, and every row once."""
    tenant.settings.max_rows = 3
    result = upload([{"external_id": f"m-{n}"} for n in range(10)])
    received = [row["external_id"] for entry in tenant.uploads for row in entry.rows]
    assert received == [f"m-{n}" for n in range(10)]
    assert result["uploaded"] == 10


def test_a_lost_answer_is_asked_for_again_where_that_is_harmless(tenant: CustobarSandbox) -> None:
    """Rule: customers have identifiers, so a batch whose answer was lost is sent again."""
    tenant.faults.add(Fault("drop_after", method="POST"))
    assert upload([GOOD])["uploaded"] == 1
    assert len([record for record in tenant.records("customers") if record.get("external_id") == "m-1"]) == 1


def test_events_whose_answer_was_lost_are_not_sent_again(tenant: CustobarSandbox) -> None:
    """Rule: events have no identifier, so a batch that may have arrived is never sent twice."""
    before = len(list(tenant.records("events")))
    tenant.faults.add(Fault("drop_after", method="POST"))
    with pytest.raises(AirflowFailException, match="No complete answer.*0 of 1 rows were sent before.*have no identifier"):
        upload([{"type": "BROWSE", "date": "2026-02-10", "customer_id": "m-1"}], resource="events")
    assert len(list(tenant.records("events"))) == before + 1


def test_events_partly_sent_fail_the_task_for_good(tenant: CustobarSandbox) -> None:
    """Rule: after events were sent, Airflow's own retry, which would begin anew, is not asked for."""
    tenant.faults.add(Fault("status", status=503, times=None, after=2, method="POST"))
    events = [{"type": "BROWSE", "date": "2026-02-10", "customer_id": f"m-{n}"} for n in range(5)]
    with pytest.raises(AirflowFailException, match="503.*2 of 5 rows were sent before"):
        upload(events, resource="events", batch_size=1)


@pytest.mark.parametrize(("row_id", "is_repeatable"), [({}, False), ({"external_id": "s-1-1"}, True)])
def test_sales_are_sent_again_only_with_a_row_id(tenant: CustobarSandbox, row_id: dict[str, str], is_repeatable: bool) -> None:
    """Rule: a sale's row without an identifier of its own would be there twice, so it is not sent again by itself."""
    before = len(list(tenant.records("sales")))
    tenant.faults.add(Fault("drop_after", method="POST"))
    rows = [{"sale_external_id": "s-1", "sale_date": "2026-02-10", "sale_customer_id": "m-1", **row_id}]
    if is_repeatable:
        assert upload(rows, resource="sales")["uploaded"] == 1
    else:
        with pytest.raises(AirflowFailException, match="have no identifier of their own"):
            upload(rows, resource="sales")
    assert len(list(tenant.records("sales"))) == before + 1


def test_customers_partly_sent_may_be_sent_again(tenant: CustobarSandbox) -> None:
    """Rule: where sending twice is harmless, the failure stays one that Airflow may retry, and says how far it came."""
    tenant.faults.add(Fault("status", status=400, times=None, after=1, method="POST"))
    with pytest.raises(CustobarError, match="400.*1 of 2 rows were sent before"):
        upload([GOOD, {"external_id": "m-2"}], batch_size=1)


def test_a_bad_rejects_path_is_found_before_anything_is_sent(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: rows are not sent where their rejects could not be written down."""
    with pytest.raises(CustobarError, match="is a directory"):
        upload([BAD, GOOD], on_invalid="skip", rejects_path=f"file://{tmp_path}")
    assert tenant.requests == []


def test_rejects_are_written_before_rows_are_sent(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: a failing upload does not take the reasons with it, and leaves no unfinished file."""
    tenant.faults.add(Fault("status", status=400, times=None, method="POST"))
    with pytest.raises(CustobarError, match="400"):
        upload([BAD, GOOD], on_invalid="skip", rejects_path=f"file://{tmp_path}/rejects.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["rejects.jsonl"]


def test_without_a_rejects_path_the_reasons_are_in_the_log(tenant: CustobarSandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Rule: no row is set aside silently, not even the eleventh."""
    upload([BAD] * 12 + [GOOD], on_invalid="skip")
    printed = capsys.readouterr().out
    assert all(f"Row {number} is set aside: no external_id" in printed for number in range(12))
    assert "shared@example.com" not in printed


def test_airflow_stores_how_many_records_there_were_and_not_the_records(tenant: CustobarSandbox) -> None:
    """Rule: customers are not shown among a task's rendered fields, literal or from another task; templates in them work."""
    from airflow.serialization.helpers import serialize_template_field

    operator = CustobarUploadOperator(task_id="upload", records=[{"external_id": "{{ ds }}", "first_name": "Aino"}])
    operator.render_template_fields({"ds": "2026-02-10"})
    assert serialize_template_field(operator.records, "records") == "<1 records>"
    operator.execute({})
    assert tenant.uploads[0].rows == [{"external_id": "2026-02-10", "first_name": "Aino"}]


def test_events_refused_for_the_pace_are_sent_again(tenant: CustobarSandbox) -> None:
    """Rule: 429 means that nothing was taken, so even events go out again."""
    tenant.faults.add(Fault("status", status=429, retry_after=0, method="POST"))
    assert upload([{"type": "BROWSE", "date": "2026-02-10", "customer_id": "m-1"}], resource="events")["uploaded"] == 1


def test_a_refusal_says_what_the_server_said(tenant: CustobarSandbox) -> None:
    """Rule: a 400 is final and its reason is told."""
    tenant.faults.add(Fault("status", status=400, reason="no such field", method="POST", times=None))
    with pytest.raises(CustobarError, match='400.*"no such field"'):
        upload([GOOD])
    assert len(tenant.requests) == 1


@pytest.mark.parametrize(
    ("records", "arguments", "said"),
    [
        ("[{'external_id': '1'}]", {}, "records='str'.*not a template"),
        (GOOD, {}, "records='dict'.*list of mappings"),
        ([GOOD], {"resource": "customer"}, "resource='customer'.*Did you mean 'customers'"),
        ([GOOD], {"batch_size": 0}, "batch_size=0"),
        ([GOOD], {"max_batch_bytes": 10}, "max_batch_bytes=10"),
        ([GOOD], {"field_mapping": ["a"]}, "field_mapping"),
        ([GOOD], {"rejects_path": "file:///tmp/"}, "rejects_path.*name of the file"),
    ],
)
def test_bad_arguments_are_refused_before_the_first_request(
    tenant: CustobarSandbox, records: Any, arguments: dict[str, Any], said: str
) -> None:
    """Rule: wrong input is told with its name, its value and what is accepted."""
    with pytest.raises(InvalidArgumentError, match=said):
        upload(records, **arguments)
    assert tenant.requests == []
