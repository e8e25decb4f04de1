"""Files on S3, GCS and local disks to a running sandbox, through the operators."""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_custobar.api.errors import CustobarError, InvalidArgumentError
from airflow_provider_custobar.operators.custobar import CustobarUploadOperator
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from airflow_provider_custobar.stores.protocol import StoreError
from airflow_provider_custobar.transfers.gcs_to_custobar import GCSToCustobarOperator
from airflow_provider_custobar.transfers.object_storage_to_custobar import ObjectStorageToCustobarOperator
from airflow_provider_custobar.transfers.s3_to_custobar import S3ToCustobarOperator
from airflow_provider_custobar.upload.files import FileError
from tests.airflow.attempts import Attempts, FileStore
from tests.airflow.places import OnDisk, Place

CSV = "external_id,email,can_email\r\n{0}-1,a@example.com,yes\r\n{0}-2,b@example.com,no\r\n"


def received(tenant: CustobarSandbox) -> list[Any]:
    return [row for entry in tenant.uploads for row in entry.rows]


def ids(tenant: CustobarSandbox) -> list[str]:
    return [row["external_id"] for row in received(tenant)]


def test_a_file_arrives(place: Place, tenant: CustobarSandbox) -> None:
    """Rule: every row of a file is there, its cells as values of their types."""
    place.put("in/customers.csv.gz", gzip.compress(CSV.format("a").encode()))
    result = place.operator("in/customers.csv.gz").execute({})
    assert received(tenant) == [
        {"external_id": "a-1", "email": "a@example.com", "can_email": True},
        {"external_id": "a-2", "email": "b@example.com", "can_email": False},
    ]
    assert (result["rows"], result["uploaded"], result["rejected"]) == (2, 2, 0)


def test_how_a_file_is_written_can_be_said(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: delimiter and encoding come from arguments, which templates may render."""
    OnDisk(tmp_path).put("a.csv", '\ufeffexternal_id|city|tags\n1|Äänekoski;, FI|"""a, b"",c"\n'.encode("utf-16-be"))
    operator = OnDisk(tmp_path).operator("a.csv", delimiter="{{ sign }}", encoding="{{ code }}")
    operator.render_template_fields({"sign": "|", "code": "UTF 16BE"})
    operator.execute({})
    assert received(tenant) == [{"external_id": "1", "city": "Äänekoski;, FI", "tags": ["a, b", "c"]}]
    assert all("delimiter" in kind.template_fields for kind in (S3ToCustobarOperator, GCSToCustobarOperator))


@pytest.mark.parametrize("name", ["in/*.csv", "in/", "in/?.csv", "in/[ab].csv"])
def test_many_files_are_one_upload(place: Place, tenant: CustobarSandbox, name: str) -> None:
    """Rule: a pattern or a prefix names several files, which are read in the order of their names."""
    place.put("in/b.csv", CSV.format("b").encode())
    place.put("in/a.csv", CSV.format("a").encode())
    place.put("other/c.csv", CSV.format("c").encode())
    result = place.operator(name).execute({})
    assert ids(tenant) == ["a-1", "a-2", "b-1", "b-2"]
    assert (result["rows"], result["batches"]) == (4, 1)


@pytest.mark.parametrize("name", ["in/none.csv", "in/*.csv", "nothing/"])
def test_no_file_is_an_error(place: Place, tenant: CustobarSandbox, name: str) -> None:
    """Rule: nothing to read is no success, and says where it looked."""
    place.put("in/customers.json", b"[]")
    with pytest.raises(CustobarError, match=r"there is no file at .*Nothing was sent"):
        place.operator(name).execute({})
    assert tenant.requests == []


def test_large_files_are_read_in_pieces(place: Place, tenant: CustobarSandbox) -> None:
    """Rule: a file of several pieces arrives whole."""
    rows = [{"external_id": f"C-{number}", "first_name": "x" * 400} for number in range(25_000)]
    place.put("customers.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    result = place.operator("customers.jsonl", batch_size=5_000, max_batch_bytes=5_000_000).execute({})
    assert result["uploaded"] == 25_000
    assert received(tenant) == rows


def test_what_was_checked_is_what_is_sent(place: Place, tenant: CustobarSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a file is read once, so another one that comes under its name is not sent in its place."""
    place.put("customers.csv", CSV.format("a").encode())
    operator = place.operator("customers.csv", rejects_path=None)
    from airflow_provider_custobar.upload.rejects import Rejects

    monkeypatch.setattr(Rejects, "publish", lambda _: place.put("customers.csv", CSV.format("b").encode()))
    operator.execute({})
    assert ids(tenant) == ["a-1", "a-2"]


def test_an_object_that_is_replaced_while_it_is_read_is_an_error(place: Place, tenant: CustobarSandbox) -> None:
    """Rule: half of one object and half of another are no file: where the store has versions, nothing is sent."""
    if isinstance(place, OnDisk):
        pytest.skip("a file that is open stays what it was")
    content = CSV.format("a").encode() + b"".join(b"c-%07d,,no\r\n" % number for number in range(1_000_000))
    place.put("customers.csv", content)
    rows = iter(place.operator("customers.csv").make_rows({}))
    next(rows)
    place.put("customers.csv", content.replace(b"c-", b"d-"))
    with pytest.raises(StoreError, match="replaced or removed while it was read"):
        list(rows)


def test_only_changed_rows_go_the_second_night(place: Place, tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: of an unchanged file nothing is sent again; the digests are an object that appears whole."""
    state = f"file://{tmp_path}/state/customers.sqlite"
    place.put("customers.csv", CSV.format("a").encode())
    assert place.operator("customers.csv", only_changed=True, state_path=state).execute({})["uploaded"] == 2
    place.put("customers.csv", (CSV.format("a") + "a-3,c@example.com,no\r\n").encode())
    result = place.operator("customers.csv", only_changed=True, state_path=state).execute({})
    assert (result["uploaded"], result["unchanged"]) == (1, 2)
    assert ids(tenant) == ["a-1", "a-2", "a-3"]
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["customers.sqlite"]


def test_a_failed_night_is_made_up_for(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: rows of a run that failed are sent by the next one."""
    state = f"file://{tmp_path}/state"
    tenant.faults.add(Fault("status", status=400, method="POST"))
    arguments: dict[str, Any] = {"records": [{"external_id": "1"}], "only_changed": True, "state_path": state}
    with pytest.raises(CustobarError, match="400"):
        CustobarUploadOperator(task_id="upload", **arguments).execute({})
    for uploaded in (1, 0):
        assert CustobarUploadOperator(task_id="upload", **arguments).execute({})["uploaded"] == uploaded
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_rows_are_read_back(tenant: CustobarSandbox, caplog: pytest.LogCaptureFixture) -> None:
    """Rule: what Custobar has is compared with what was sent, field by field."""
    records = [
        {"external_id": f"v-{number}", "email": f"V{number}@example.com", "tags": ["b", "a"], "date_joined": "2026-02-01 10:00"}
        for number in range(5)
    ]
    operator = CustobarUploadOperator(task_id="upload", records=records, verify="all", verify_delay=0)
    assert operator.execute({})["verified"] == {"checked": 5, "missing": 0, "different": 0}
    tenant.settings.import_delay_s = 60
    operator = CustobarUploadOperator(
        task_id="upload", records=[{"external_id": "v-9"}, {"external_id": "v-1", "city": "Oulu"}], verify="all", verify_delay=0
    )
    assert operator.execute({})["verified"] == {"checked": 2, "missing": 1, "different": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"only_changed": True}, "state_path=None"),
        ({"only_changed": True, "state_path": "file:///tmp/x", "resource": "events"}, "events have no identifier"),
        ({"company": "my-shop"}, "company='my-shop'"),
        ({"verify": "all", "resource": "events"}, "cannot be read back"),
        ({"encoding": "utf-99"}, "encoding='utf-99'"),
        ({"encoding": None}, "encoding=None"),
        ({"delimiter": ";;"}, "delimiter=';;'"),
    ],
)
def test_bad_arguments_are_refused_before_the_first_request(
    tenant: CustobarSandbox, tmp_path: Path, arguments: dict[str, Any], said: str
) -> None:
    """Rule: wrong input is told with its name, its value and what is accepted."""
    OnDisk(tmp_path).put("a.csv", CSV.format("a").encode())
    with pytest.raises(InvalidArgumentError, match=said):
        OnDisk(tmp_path).operator("a.csv", **arguments).execute({})
    assert tenant.requests == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"file_format": "xml"}, "file_format='xml'"),
        ({"compression": "rar"}, "compression='rar'"),
        ({"events_delivery": "exactly_once"}, "events_delivery='exactly_once'.*at_most_once, at_least_once"),
        ({"verify": "everything"}, "verify='everything'"),
    ],
)
def test_wrong_words_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], said: str) -> None:
    """Rule: what no template can mend is found before a task runs."""
    with pytest.raises(InvalidArgumentError, match=said):
        ObjectStorageToCustobarOperator(task_id="upload", path="a.csv", **arguments)


def test_a_damaged_file_sends_nothing(place: Place, tenant: CustobarSandbox) -> None:
    """Rule: a file cut short is found while it is checked."""
    place.put("customers.csv.gz", gzip.compress(CSV.format("a").encode() * 100)[:-9])
    with pytest.raises(FileError, match=r"customers\.csv\.gz cannot be read to its end"):
        place.operator("customers.csv.gz").execute({})
    assert tenant.requests == []


def test_every_attempts_failure_leaves_every_customer_and_no_event_twice(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: whatever meets the batches (drops, 500, 429, 413), retries bring all customers, and each event at most once."""
    faults = [
        Fault("drop", method="POST"),
        Fault("drop_after", method="POST", after=1),
        Fault("status", status=500, method="POST", after=2),
        Fault("status", status=429, retry_after=0, method="POST", after=3),
        Fault("status", status=413, method="POST", after=4),
    ]  # fmt: skip
    rows = [{"external_id": f"f-{number}"} for number in range(12)]
    events = [{"type": "BROWSE", "date": "2026-02-10", "customer_id": "f-1", "label": f"l-{number}"} for number in range(12)]
    for resource, records in (("customers", rows), ("events", events)):
        for fault in faults:
            tenant.faults.add(Fault(fault.kind, method="POST", after=fault.after, **fault.details))
        store = FileStore(tmp_path / f"{resource}.json")
        for _ in range(20):
            operator = CustobarUploadOperator(task_id="upload", records=records, resource=resource, batch_size=2)
            try:
                operator.execute({"task_state_store": store})
            except (AirflowFailException, CustobarError):
                continue
            break
        else:
            pytest.fail("never done")
        tenant.faults.clear()
    stored = Counter(record.get("external_id") for record in tenant.records("customers"))
    assert all(stored[row["external_id"]] == 1 for row in rows)
    labels = Counter(event.get("label") for event in tenant.records("events"))
    assert all(labels[event["label"]] <= 1 for event in events)
    assert sum(labels[event["label"]] for event in events) >= 12 - 2 * 2


@pytest.mark.processes
@pytest.mark.parametrize("resource", ["customers", "events"])
def test_killed_workers_are_followed_by_attempts_that_go_on(
    tenant: CustobarSandbox, attempts: Attempts, tmp_path: Path, resource: str
) -> None:
    """Rule: SIGKILL in the middle loses no customer and doubles no event; what may be missing is named."""
    count = 400
    rows = [
        {"external_id": f"k-{number}"}
        if resource == "customers"
        else {"type": "BROWSE", "date": "2026-02-10", "customer_id": "k", "label": f"k-{number}"}
        for number in range(count)
    ]
    OnDisk(tmp_path).put("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    arguments = {"path": f"file://{tmp_path}/rows.jsonl", "resource": resource, "batch_size": 5}
    task = {
        "operator": "airflow_provider_custobar.transfers.object_storage_to_custobar:ObjectStorageToCustobarOperator",
        "arguments": arguments,
        "store": str(tmp_path / "store.json"),
        "environment": {"AIRFLOW_CONN_CUSTOBAR_DEFAULT": os.environ["AIRFLOW_CONN_CUSTOBAR_DEFAULT"]},
        "max_tries": 1_000,
    }
    named = 0
    kills = 0
    for attempt in range(30):
        # After some more batches, from which on each takes its time, so that a busy machine sees the moment; thrice.
        enough = len(tenant.uploads) + 7 + attempt
        kill_when = (lambda: len(tenant.uploads) >= enough) if kills < 3 else None  # noqa: B023 - called at once
        tenant.faults.clear()
        if kill_when:
            tenant.faults.add(Fault("delay", seconds=0.5, times=None, after=7 + attempt, method="POST"))
        answer = attempts.run(task | {"try_number": attempt + 1}, kill_when=kill_when)
        if answer["exit"] == 0:
            break
        if answer["exit"] == -signal.SIGKILL:
            kills += 1
        else:
            assert "good rows" in answer["said"]
            named += 1
    else:
        pytest.fail("never done")
    assert kills == 3
    found = Counter(row.get("external_id") or row.get("label") for row in received(tenant))
    wanted = {f"k-{number}" for number in range(count)}
    if resource == "customers":
        assert set(found) == wanted
    else:
        assert max(found.values()) == 1
        assert len(wanted - set(found)) <= 5 * named
