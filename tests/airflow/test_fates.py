"""What becomes of a task that ended in an error: what is final fails at once and leaves nothing, the rest may be retried."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG

from airflow_provider_custobar.api.errors import CustobarError, Fate
from airflow_provider_custobar.operators.custobar import CustobarUploadOperator
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from airflow_provider_custobar.sensors.custobar import CustobarEventSensor
from airflow_provider_custobar.task import lineage
from airflow_provider_custobar.transfers.custobar_to_gcs import CustobarToGCSOperator
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator
from airflow_provider_custobar.transfers.custobar_to_sql import CustobarToSqlOperator
from airflow_provider_custobar.transfers.gcs_to_custobar import GCSToCustobarOperator
from airflow_provider_custobar.transfers.object_storage_to_custobar import ObjectStorageToCustobarOperator
from airflow_provider_custobar.transfers.s3_to_custobar import S3ToCustobarOperator
from airflow_provider_custobar.transfers.spiffy_stores_to_custobar import SpiffyStoresToCustobarOperator
from airflow_provider_custobar.transfers.sql_to_custobar import SqlToCustobarOperator
from airflow_provider_custobar.upload import spool
from tests.export.test_checkpoints import Memory
from tests.lineage import HookLineageCollector
from tools.airflow_home import AirflowHome, connection_variables
from tools.servers import S3Server

DAG_FILE = """
import pendulum
from airflow.sdk import DAG

from airflow_provider_custobar.operators.custobar import CustobarUploadOperator
from airflow_provider_custobar.sensors.custobar import CustobarEventSensor
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator

RETRIES = {"retries": 2, "retry_delay": 0}
EVENTS = {"event_types": "BROWSE", "date": "2026-02-10"}

with DAG("fates", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), default_args=RETRIES):
    CustobarToObjectStorageOperator(task_id="denied", resource="customers", page_size=5, path="file://FOLDER/denied.csv")
    CustobarToObjectStorageOperator(task_id="wrong", resource="sales", date="{{ 'yesterday' }}", path="file://FOLDER/wrong.csv")
    CustobarToObjectStorageOperator(task_id="unlucky", resource="products", path="file://FOLDER/unlucky.csv")
    CustobarUploadOperator(task_id="bad_rows", records=[{"external_id": "1", "can_email": "perhaps"}])
    CustobarEventSensor(task_id="waits", deferrable=True, poke_interval=1, **EVENTS)
"""


@pytest.mark.processes
def test_airflow_retries_what_may_pass_and_nothing_else(
    custobar_sandbox_factory: Callable[..., CustobarSandbox], airflow_home: AirflowHome, tmp_path: Path
) -> None:
    """Rule: without any policy, real tasks with retries left fail at once on what is final, and retry the rest."""
    tenant = custobar_sandbox_factory()
    (tmp_path / "fates.py").write_text(DAG_FILE.replace("FOLDER", str(tmp_path / "out")))
    tenant.faults.add(Fault("status", status=401, times=None, after=2, path="/api/data/customers/"))
    tenant.faults.add(Fault("status", status=500, times=2, path="/api/data/products/"))
    tenant.faults.add(Fault("status", status=403, times=None, path="/api/data/events/"))
    connection = tenant.airflow_connection(max_attempts=1, requests_per_minute=6000)
    environment = connection_variables({"custobar_default": connection})
    (outcome,) = airflow_home.run_dag(tmp_path / "fates.py", "fates", ["2026-02-11"], environment=environment)
    states = {"denied": "failed", "wrong": "failed", "unlucky": "success", "bad_rows": "failed", "waits": "failed"}
    assert outcome.states == states, outcome.log
    statuses = {
        name: [request.status for request in tenant.requests if request.path == f"/api/data/{name}/"]
        for name in ("customers", "products", "events", "sales")
    }
    assert statuses == {"customers": [200, 200, 401], "products": [500, 500, 200], "events": [403], "sales": []}
    assert tenant.uploads == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["unlucky.csv"]


@pytest.fixture
def hasty(tenant: CustobarSandbox, connect: Callable[[str, str], None]) -> CustobarSandbox:
    """Whose client gives up at once."""
    connect("custobar_default", tenant.airflow_connection(requests_per_minute=600_000, max_attempts=1))
    return tenant


def context(number: int, state: Memory | None = None, **more: Any) -> Any:
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=number, max_tries=3)
    return {"ti": ti, **({} if state is None else {"task_state_store": state}), **more}


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_final_answer_leaves_nothing_in_a_store(
    hasty: CustobarSandbox, aws: S3Server, s3_bucket: str, tmp_path: Path, status: int
) -> None:
    """Rule: neither an unfinished upload nor a hidden object, a file or a state is left, whatever an earlier attempt kept."""
    exports: list[Callable[[], Any]] = [
        lambda: CustobarToS3Operator(
            task_id="t", resource="customers", page_size=5, file_format="jsonl", s3_bucket=s3_bucket, s3_key="a/b.jsonl"
        ),
        lambda: CustobarToObjectStorageOperator(
            task_id="t", resource="customers", page_size=5, file_format="jsonl", path=f"file://{tmp_path}/a.jsonl"
        ),
    ]
    client = aws.client()
    for make in exports:
        state = Memory()
        hasty.faults.add(Fault("status", status=500, after=3))
        with pytest.raises(CustobarError) as passing:
            make().execute(context(1, state))
        assert passing.value.fate is Fate.TRANSIENT
        # On S3 nothing is durable yet.
        assert bool(state.values) == (make is exports[1])
        hasty.faults.clear()
        # The first refusal of a cursor only means another beginning.
        hasty.faults.add(Fault("status", status=status, times=None, after=2))
        with pytest.raises(AirflowFailException) as caught:
            make().execute(context(2, state))
        assert isinstance(caught.value, CustobarError)
        hasty.faults.clear()
        assert state.values == {}
    assert list(tmp_path.iterdir()) == []
    assert "Contents" not in client.list_objects_v2(Bucket=s3_bucket)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=s3_bucket)


def test_a_cursor_that_expires_in_the_middle_costs_a_beginning(hasty: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: a refused next page makes the same attempt begin again, and the file is that of an undisturbed run."""

    def export(name: str) -> bytes:
        path = tmp_path / name
        operator = CustobarToObjectStorageOperator(task_id="t", resource="customers", page_size=50, path=f"file://{path}")
        assert operator.execute(context(1, Memory()))["rows"] == 200
        return path.read_bytes()

    whole = export("a.csv")
    hasty.clear_log()
    hasty.faults.add(Fault("status", status=400, reason="Invalid cursor", after=2, times=1))
    assert export("b.csv") == whole
    assert [request.status for request in hasty.requests] == [200, 200, 400, 200, 200, 200, 200]


@pytest.mark.parametrize(
    ("resource", "row", "is_refused"),
    [
        ("events", {"type": "BROWSE", "date": "2026-02-10", "customer_id": "1"}, True),
        ("sales", {"sale_external_id": "1", "sale_date": "2026-02-10", "sale_customer_id": "1"}, True),
        ("sales", {"sale_external_id": "1", "sale_date": "2026-02-10", "sale_customer_id": "1", "external_id": ""}, True),
        (
            "sales",
            {"sale_external_id": "1", "sale_date": "2026-02-10", "sale_customer_id": "1", "COMPANY__a": {"external_id": "1"}},
            True,
        ),
        ("sales", {"sale_external_id": "1", "sale_date": "2026-02-10", "sale_customer_id": "1", "external_id": "1-1"}, False),
        ("customers", {"external_id": "1"}, False),
    ],
)
def test_where_nothing_is_kept_a_later_attempt_does_not_guess(
    hasty: CustobarSandbox, resource: str, row: dict[str, Any], is_refused: bool
) -> None:
    """Rule: on an Airflow without task state, rows that would be there twice go out in the first attempt only."""

    def upload(number: int, **arguments: Any) -> Any:
        operator = CustobarUploadOperator(task_id="t", resource=resource, records=[row], **arguments)
        return operator.execute(context(number))["uploaded"]

    assert upload(1) == 1
    hasty.clear_log()
    if is_refused:
        with pytest.raises(AirflowFailException, match="not the task's first attempt.*nothing was sent"):
            upload(2)
        assert hasty.requests == []
    assert upload(2, events_delivery="at_least_once") == 1


@pytest.mark.parametrize(
    "row_id", [{}, {"external_id": ""}, {"COMPANY__a": {"external_id": "1"}}, {"COMPANY__a": '"external_id":'}]
)
def test_a_row_is_known_by_its_own_identifier(hasty: CustobarSandbox, row_id: dict[str, Any]) -> None:
    """Rule: a sale's row whose external_id is missing, empty or elsewhere is not sent again where it may have arrived."""
    row = {"sale_external_id": "s-1", "sale_date": "2026-02-10", "sale_customer_id": "m-1", **row_id}
    hasty.faults.add(Fault("drop_after", method="POST"))
    with pytest.raises(AirflowFailException, match="have no identifier of their own"):
        CustobarUploadOperator(task_id="t", resource="sales", records=[row]).execute(context(1, Memory()))
    assert len(hasty.uploads) == 1


def test_nothing_after_the_last_batch_fails_an_upload(
    hasty: CustobarSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: lineage that nobody takes, a state that cannot be written, rows that cannot be read back and files that cannot be
    closed cost a line each.
    """

    make = tempfile.TemporaryFile

    def on_a_full_disk(**arguments: Any) -> Any:
        file = make(**arguments)
        return Mock(wraps=file, close=Mock(side_effect=OSError("no space left on device")))

    monkeypatch.setattr(f"{spool.__name__}.tempfile.TemporaryFile", on_a_full_disk)

    class Broken(HookLineageCollector):
        def create_asset(self, **_: Any) -> Any:
            raise RuntimeError("no such asset")

    monkeypatch.setattr(lineage, "is_lineage_read", lambda: True)
    monkeypatch.setattr(lineage, "get_hook_lineage_collector", Broken)
    state_path = tmp_path / "state" / "changes.sqlite"

    def in_the_way(*_: Any) -> None:
        state_path.mkdir(parents=True)

    hasty.faults.add(Fault("status", status=403, times=None, method="GET"))
    operator = CustobarUploadOperator(
        task_id="t",
        records=[{"external_id": "m-1"}],
        verify="all",
        verify_delay=0,
        only_changed=True,
        state_path=f"file://{state_path}",
    )
    monkeypatch.setattr("time.sleep", in_the_way)
    result = operator.execute(context(1, Memory()))
    assert (result["uploaded"], result["verified"], len(hasty.uploads)) == (1, None, 1)


TEMPLATE = "{{ nothing }}"
EXPORT: dict[str, Any] = {"resource": "customers"}
UPLOADS = {"records": [{"external_id": "1"}]}
OPERATORS: list[tuple[Any, dict[str, Any]]] = [
    (CustobarToS3Operator, {**EXPORT, "s3_bucket": "b-ucket", "s3_key": "k"}),
    (CustobarToGCSOperator, {**EXPORT, "bucket_name": "b-ucket", "object_name": "k"}),
    (CustobarToObjectStorageOperator, {**EXPORT, "path": "file:///nowhere/a.csv"}),
    (CustobarToSqlOperator, {**EXPORT, "conn_id": "db", "table": "t"}),
    (CustobarUploadOperator, UPLOADS),
    (S3ToCustobarOperator, {"s3_bucket": "b-ucket", "s3_key": "k.csv"}),
    (GCSToCustobarOperator, {"bucket_name": "b-ucket", "object_name": "k.csv"}),
    (ObjectStorageToCustobarOperator, {"path": "file:///nowhere/a.csv"}),
    (SqlToCustobarOperator, {"sql": "SELECT 1", "conn_id": "db"}),
    (SpiffyStoresToCustobarOperator, {}),
    (CustobarEventSensor, {"event_types": "BROWSE"}),
]


@pytest.mark.parametrize("is_native", [True, False], ids=["native", "texts"])
@pytest.mark.parametrize(("operator", "arguments"), OPERATORS, ids=lambda each: getattr(each, "__name__", ""))
def test_no_argument_gets_lost_in_its_template(
    tenant: CustobarSandbox, operator: Any, arguments: dict[str, Any], is_native: bool
) -> None:
    """Rule: a template field of any operator that was given and rendered to None is refused by its name, for good."""
    for name in operator.template_fields:
        if (operator, name) == (SpiffyStoresToCustobarOperator, "resource"):
            # Always customers, whose word is no template.
            continue
        with DAG("dag", schedule=None, render_template_as_native_obj=is_native):
            task = operator(task_id="t", **{**arguments, name: TEMPLATE})
        task.render_template_fields({"nothing": None}, task.get_template_env())
        with pytest.raises(AirflowFailException, match=f"{name}=None is not accepted: its template rendered to nothing"):
            task.execute(context(1))
    assert tenant.requests == []


NESTED: list[tuple[Any, dict[str, Any]]] = [
    (ObjectStorageToCustobarOperator, {"path": "file:///nowhere/a.csv", "field_mapping": {"mail": TEMPLATE}}),
    (CustobarToSqlOperator, {**EXPORT, "conn_id": "db", "table": "t", "column_mapping": {"email": TEMPLATE}}),
    (CustobarToSqlOperator, {**EXPORT, "conn_id": "db", "table": "t", "key_columns": ["a", TEMPLATE]}),
    (CustobarToS3Operator, {**EXPORT, "s3_bucket": "b-ucket", "s3_key": "k", "extra_args": {"StorageClass": TEMPLATE}}),
    (CustobarToGCSOperator, {**EXPORT, "bucket_name": "b-ucket", "object_name": "k", "impersonation_chain": ["a", TEMPLATE]}),
    (CustobarEventSensor, {"event_types": ["BROWSE", TEMPLATE], "date": "2026-02-10"}),
]


@pytest.mark.parametrize(("operator", "arguments"), NESTED)
def test_no_part_of_an_argument_gets_lost_in_its_template(
    tenant: CustobarSandbox, operator: Any, arguments: dict[str, Any]
) -> None:
    """Rule: what stands inside a mapping or a list is refused as well, but where it is data, of which None is a value."""
    with DAG("dag", schedule=None, render_template_as_native_obj=True):
        task = operator(task_id="t", **arguments)
        rows = CustobarUploadOperator(task_id="rows", records=[{"external_id": "m-1", "city": TEMPLATE}])
    task.render_template_fields({"nothing": None}, task.get_template_env())
    with pytest.raises(AirflowFailException, match="rendered to nothing"):
        task.execute(context(1))
    assert tenant.requests == []
    rows.render_template_fields({"nothing": None}, rows.get_template_env())
    assert rows.execute(context(1))["uploaded"] == 1
    assert tenant.uploads[-1].rows == [{"external_id": "m-1"}]
