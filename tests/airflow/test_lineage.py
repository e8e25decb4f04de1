"""What OpenLineage and readers of hook lineage hear of exports and uploads; of loads and queries it stands with their tests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.utils.state import TaskInstanceState
from openlineage.client import event_v2, facet_v2

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.operators.custobar import CustobarUploadOperator
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault, SpiffyStoresSandbox
from airflow_provider_custobar.task import lineage
from airflow_provider_custobar.transfers.spiffy_stores_to_custobar import SpiffyStoresToCustobarOperator
from tests.airflow.places import OnDisk, Place, one
from tests.lineage import HookLineageCollector, columns, counts, extracted, listen, made_of, names
from tools.airflow_home import AirflowHome

pytestmark = pytest.mark.processes

FAILED = TaskInstanceState.FAILED


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> HookLineageCollector:
    return listen(monkeypatch)


@pytest.fixture
def host(tenant: CustobarSandbox) -> str:
    """The namespace of everything at Custobar."""
    return f"custobar://{tenant.url.partition('://')[2]}"


def dataset(place: Place, name: str) -> tuple[str, str]:
    """As OpenLineage's naming has it."""
    if isinstance(place, OnDisk):
        return "file", f"{place.folder}/{name}"
    scheme, _, rest = place.uri(name).partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


def uris(told: Any) -> list[str]:
    return [each.asset.uri for each in told]


def test_an_export(place: Place, tenant: CustobarSandbox, host: str, collector: HookLineageCollector) -> None:
    """Rule: an export tells what it read and wrote, the columns with their types and what they are made of, and counts."""
    task = place.exporter("out/products.parquet", file_format="parquet", fields=["price", "ACME__size"])
    result = task.execute({})
    told = extracted(task)
    ((source,), (target,)) = told.inputs, told.outputs
    assert names([source, target]) == [(host, "products"), dataset(place, "out/products.parquet")]
    assert (columns(source)["price"], columns(source)["ACME__size"]) == ("integer hundredths", None)
    assert columns(target) == {"external_id": "string", "price": "int64", "ACME__size": "string"}
    assert made_of(target) == {name: [(host, "products", name)] for name in columns(target)}
    assert counts(target) == (result["rows"], result["bytes"], 1)
    collected = collector.collected_assets
    assert (uris(collected.inputs), uris(collected.outputs)) == ([f"{host}/products"], [place.uri("out/products.parquet")])


def test_many_files_are_one_dataset(place: Place, tenant: CustobarSandbox, collector: HookLineageCollector) -> None:
    """Rule: the dataset of numbered files is their folder, however many there are, and of however many days; a manifest is
    another.
    """
    arguments = {"resource": "events", "event_types": "BROWSE", "date": "2026-02-11", "fields": ["type"], "lookback": 1}
    task = place.exporter("out/{date}-{part}.csv", max_rows_per_file=5, manifest="all/{date}.json", **arguments)
    if isinstance(place, OnDisk):
        task.manifest = place.uri("all/{date}.json")
    result = task.execute({})
    folder, *manifests = extracted(task).outputs
    assert names([folder]) == [dataset(place, "out")]
    assert names(manifests) == [dataset(place, f"all/2026-02-{day}.json") for day in (10, 11)]
    assert counts(folder) == (result["rows"], result["bytes"], len(result["uris"]))
    assert len(result["uris"]) > 2


def test_days_of_one_file_each(place: Place, tenant: CustobarSandbox, collector: HookLineageCollector) -> None:
    """Rule: a file without a number is a dataset by its own name, as that of Airflow's other operators."""
    arguments = {"resource": "events", "event_types": "BROWSE", "date": "2026-02-11", "lookback": 1}
    task = place.exporter("out/{date}.jsonl", file_format="jsonl", **arguments)
    result = task.execute({})
    outputs = extracted(task).outputs
    assert names(outputs) == [dataset(place, f"out/2026-02-{day}.jsonl") for day in (10, 11)]
    assert [counts(each)[0] for each in outputs] == [window["rows"] for window in result["windows"]]


def test_what_is_not_written_is_no_output(tenant: CustobarSandbox, tmp_path: Path, collector: HookLineageCollector) -> None:
    """Rule: where there was nothing to write, nothing is told to be written."""
    task = OnDisk(tmp_path).exporter("none.csv", filters={"sku": "none"}, on_empty="skip")
    task.execute({})
    assert len(extracted(task).inputs) == 1
    assert extracted(task).outputs == []
    assert collector.collected_assets.outputs == []


def test_an_export_that_fails(place: Place, tenant: CustobarSandbox, host: str, collector: HookLineageCollector) -> None:
    """Rule: after a failure it is told what was to be read and written, without counts."""
    tenant.faults.add(Fault("status", status=403))
    task = place.exporter("out/products.csv")
    with pytest.raises(CustobarError, match="403"):
        task.execute({})
    told = extracted(task, FAILED)
    assert (names(told.inputs), names(told.outputs)) == ([(host, "products")], [dataset(place, "out/products.csv")])
    assert told.outputs[0].outputFacets == {}


@pytest.mark.parametrize("given", [("in/a.csv", "in/a.csv"), ("in/a*.csv", "in"), ("in/", "in"), ("*n/**/a*", "")])
def test_an_upload_of_files(given: tuple[str, str], place: Place, host: str, collector: HookLineageCollector) -> None:
    """Rule: an upload tells the file, or the folder that its pattern looks in, what was made of its fields, and how many rows
    were sent.
    """
    name, source = given
    place.put("in/a.csv", one("a").replace(b"email", b"mail", 1))
    task = place.operator(name, field_mapping={"mail": "email", "note": None, "level": "tags.add"})
    task.execute({})
    told = extracted(task)
    where = dataset(place, source)
    where = where[0], where[1].rstrip("/") or "/"
    assert (names(told.inputs), names(told.outputs)) == ([where], [(host, "customers")])
    (target,) = told.outputs
    assert made_of(target) == {"email": [(*where, "mail")], "tags": [(*where, "level")]}
    assert (columns(target)["email"], columns(target)["can_email"]) == ("e-mail address", "boolean")
    assert counts(target) == (1, None, None)
    collected = collector.collected_assets
    assert [uri.rstrip("/") for uri in uris(collected.inputs)] == [place.uri(source).rstrip("/")]
    assert uris(collected.outputs) == [f"{host}/customers"]


def test_an_upload_that_fails(tenant: CustobarSandbox, host: str, tmp_path: Path, collector: HookLineageCollector) -> None:
    """Rule: an upload that failed tells what it read, and where to; one that was only rehearsed wrote nothing."""
    place = OnDisk(tmp_path)
    place.put("a.csv", b"external_id,phone_number\r\na,none\r\n")
    task = place.operator("a.csv")
    with pytest.raises(CustobarError):
        task.execute({})
    told = extracted(task, FAILED)
    assert (names(told.inputs), names(told.outputs)) == ([dataset(place, "a.csv")], [(host, "customers")])
    assert told.outputs[0].outputFacets == {}
    place.put("a.csv", one("a"))
    rehearsed = place.operator("a.csv", dry_run=True)
    rehearsed.execute({})
    assert extracted(rehearsed).outputs == []


def test_an_upload_of_records(tenant: CustobarSandbox, host: str, collector: HookLineageCollector) -> None:
    """Rule: where records come from is what the user says by ``inlets``."""
    records = [{"external_id": "a"}, {"external_id": "b"}]
    inlets = [Asset("s3://crm/members"), Asset("name only")]
    task = CustobarUploadOperator(task_id="upload", records=records, inlets=inlets)
    task.execute({})
    told = extracted(task)
    assert (names(told.inputs), names(told.outputs)) == ([("s3://crm", "members")], [(host, "customers")])
    assert counts(told.outputs[0]) == (2, None, None)


def test_a_shop(
    tenant: CustobarSandbox,
    host: str,
    spiffy_sandbox: SpiffyStoresSandbox,
    connect: Callable[[str, str], None],
    collector: HookLineageCollector,
) -> None:
    """Rule: the shop's customers are the source, and the fields that they are made of by default are told, too."""
    connect("spiffy_stores_default", spiffy_sandbox.airflow_connection(requests_per_minute=600_000))
    task = SpiffyStoresToCustobarOperator(task_id="upload", field_mapping={"note": "state", "email": None}, on_invalid="skip")
    result = task.execute({})
    told = extracted(task)
    shop = f"spiffy-stores://{spiffy_sandbox.url.partition('://')[2]}"
    assert (names(told.inputs), names(told.outputs)) == ([(shop, "customers")], [(host, "customers")])
    fields = made_of(told.outputs[0])
    assert fields["external_id"] == [(shop, "customers", "id")]
    assert fields["state"] == [(shop, "customers", "note")]
    assert "email" not in fields
    assert counts(told.outputs[0])[0] == result["uploaded"]


def test_credentials_of_a_url_are_not_told() -> None:
    """Rule: what stands in front of a bucket, a connection's name or somebody's password, is in no name."""
    told = lineage.stored_dataset("s3a://me:secret@bucket/a/b.csv")
    assert (told.uri, told.namespace, told.name) == ("s3://bucket/a/b.csv", "s3://bucket", "a/b.csv")


def test_nobody_listens(tenant: CustobarSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: without a reader of lineage, Airflow's collector, which takes the better part of a second to make, is not asked."""
    monkeypatch.delattr(lineage, "get_hook_lineage_collector")
    task = OnDisk(tmp_path).exporter("products.csv")
    assert task.execute({})["rows"]
    assert task.lineage.outputs == ()


def test_lineage_that_breaks_fails_no_task(
    tenant: CustobarSandbox, tmp_path: Path, collector: HookLineageCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: whatever goes wrong with lineage, in the task or behind it, costs a line of the log."""
    place = OnDisk(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(lineage.custobar, "uri_of", lambda *_: 1 / 0)
        assert place.export("products.csv")["rows"]
    task = place.exporter("products.csv")
    task.execute({})
    monkeypatch.setattr(lineage, "_facets", lambda *_: 1 / 0)
    assert task.get_openlineage_facets_on_complete(None) is None
    assert task.get_openlineage_facets_on_failure(None) is None


SIDES = ("inputs", "outputs")
DAG = """
import pendulum
from airflow.sdk import DAG

from airflow_provider_custobar.operators.custobar import CustobarUploadOperator
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from airflow_provider_custobar.transfers.custobar_to_sql import CustobarToSqlOperator
from airflow_provider_custobar.transfers.object_storage_to_custobar import ObjectStorageToCustobarOperator
from airflow_provider_custobar.transfers.sql_to_custobar import SqlToCustobarOperator

with DAG("lineage", schedule=None, start_date=pendulum.datetime(2026, 1, 1)):
    export = CustobarToObjectStorageOperator(
        task_id="export", resource="customers", fields=["email", "city"], path="file://{folder}/out.csv"
    )
    load = CustobarToSqlOperator(task_id="load", resource="customers", fields=["email"], conn_id="lite", table="people")
    query = SqlToCustobarOperator(
        task_id="query",
        sql="SELECT external_id, email AS mail FROM people WHERE email <> ?",
        parameters=["anna@secret.example"],
        conn_id="lite",
        field_mapping={{"mail": "email"}},
    )
    records = CustobarUploadOperator(task_id="records", records=[{{"external_id": "a", "email": "bert@secret.example"}}])
    upload = ObjectStorageToCustobarOperator(task_id="upload", path="file://{folder}/in.csv")
    export >> load >> query >> records >> upload
"""


def test_the_events_of_a_run(airflow_database: Callable[[], str], custobar_sandbox: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: what OpenLineage's provider emits of a run in real Airflow has the specification's form, tells each task's
    datasets, and holds nobody's address, no parameter and no token.
    """
    (tmp_path / "lineage.py").write_text(DAG.format(folder=tmp_path))
    (tmp_path / "in.csv").write_text("external_id,email,phone_number\nc,cecilia@secret.example,none\n")
    log = tmp_path / "events.json"
    transport = {"type": "file", "log_file_path": str(log), "append": True}
    connections = {
        "custobar_default": custobar_sandbox.airflow_connection(requests_per_minute=600_000),
        "lite": json.dumps({"conn_type": "sqlite", "host": f"{tmp_path}/lite.db"}),
    }
    environment = {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)}
    with AirflowHome(connections, environment, database_url=airflow_database()) as home:
        (outcome,) = home.run_dag(tmp_path / "lineage.py", "lineage", ["2026-02-10"])
    assert outcome.states == {**dict.fromkeys(["export", "load", "query", "records"], "success"), "upload": "failed"}, (
        outcome.log
    )
    text = log.read_text()
    assert custobar_sandbox.token not in text
    assert re.findall(r"\w+@[\w.]*example", text) == []
    ended = {}
    for event in map(json.loads, text.splitlines()):
        check(event)
        task = event["job"]["name"].removeprefix("lineage.")
        # This run has one process for all tasks, so that one begins with what hooks told of those before it.
        if task in outcome.states and event["eventType"] != "START":
            ended[task] = event
    host = f"custobar://{custobar_sandbox.url.partition('://')[2]}"
    customers, people = (host, "customers"), (f"sqlite://{tmp_path}/lite.db", "main.people")
    assert {
        task: (event["eventType"], *([(each["namespace"], each["name"]) for each in event[side]] for side in SIDES))
        for task, event in ended.items()
    } == {
        "export": ("COMPLETE", [customers], [("file", f"{tmp_path}/out.csv")]),
        "load": ("COMPLETE", [customers], [people]),
        "query": ("COMPLETE", [people], [customers]),
        "records": ("COMPLETE", [], [customers]),
        "upload": ("FAIL", [("file", f"{tmp_path}/in.csv")], [customers]),
    }
    statistics = [event["outputs"][0]["outputFacets"].get("outputStatistics", {}) for event in ended.values()]
    assert [each.get("rowCount") for each in statistics] == [200, 200, outcome.results["query"]["uploaded"], 1, None]


def check(event: dict[str, Any]) -> None:
    """That the client's own types take it, which check times, ids and addresses, and have the specification's members."""
    run = event_v2.Run(runId=event["run"]["runId"])
    job = event_v2.Job(namespace=event["job"]["namespace"], name=event["job"]["name"])
    event_v2.RunEvent(eventTime=event["eventTime"], run=run, job=job, eventType=event_v2.RunState[event["eventType"]])
    for each in (*event["inputs"], *event["outputs"]):
        for name, facet in (each.get("facets", {}) | each.get("outputFacets", {})).items():
            kind = {
                "schema": facet_v2.schema_dataset.SchemaDatasetFacet,
                "columnLineage": facet_v2.column_lineage_dataset.ColumnLineageDatasetFacet,
                "outputStatistics": facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
            }[name]
            members = {key: value for key, value in facet.items() if not key.startswith("_")}
            assert kind(**members)._get_schema() == facet["_schemaURL"]
