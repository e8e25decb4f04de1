"""One call for a tenant: the group of tasks, as it is parsed and as it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.sdk import DAG, Asset, BaseOperator

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.operators.export_group import custobar_export_group
from airflow_provider_custobar.retry_policy import CustobarRetryPolicy
from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.task.compat import TRIGGERS_RENDER_TEMPLATES
from airflow_provider_custobar.transfers.custobar_to_gcs import CustobarToGCSOperator
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator
from airflow_provider_custobar.transfers.custobar_to_sql import CustobarToSqlOperator
from tools.airflow_home import AirflowHome, connection_variables
from tools.servers import PostgresServer

FILES = "s3://lake/{resource}/{date}.parquet"
START = pendulum.datetime(2026, 1, 1, tz="UTC")


def tasks_of(target: str = FILES, **arguments: Any) -> dict[str, Any]:
    """The tasks by their names within the group."""
    arguments = {"event_types": ["BROWSE"], **arguments}
    with DAG("dag", schedule="@daily", start_date=START) as dag:
        custobar_export_group("acme", target=target, **arguments)
    return {task_id.removeprefix("acme."): task for task_id, task in dag.task_dict.items()}


def upstream(task: Any) -> set[str]:
    return {task_id.removeprefix("acme.") for task_id in task.upstream_task_ids}


def test_a_group_is_what_a_nightly_export_needs() -> None:
    """Rule: each resource has a task with an asset, retries and pool; events and sales wait for their period, others do not."""
    tasks = tasks_of(pool="custobar_acme", retries=4, custobar_conn_id="custobar_acme")
    assert set(tasks) == {"complete", "customers", "events", "sales", "products"}
    for task in tasks.values():
        assert (task.pool, task.retries, task.custobar_conn_id) == ("custobar_acme", 4, "custobar_acme")
        assert not TRIGGERS_RENDER_TEMPLATES or isinstance(task.retry_policy, CustobarRetryPolicy)
    assert {name: upstream(task) for name, task in tasks.items()} == {
        "complete": set(), "customers": set(), "products": set(), "events": {"complete"}, "sales": {"complete"},
    }  # fmt: skip
    sensor = tasks.pop("complete")
    assert (sensor.wait_for, sensor.window, sensor.event_types, sensor.deferrable) == ("complete", "auto", ["BROWSE"], True)
    assert {name: task.window for name, task in tasks.items()} == {
        "customers": None, "events": "auto", "sales": "auto", "products": None,
    }  # fmt: skip
    for name, task in tasks.items():
        assert task.outlets == [Asset(f"acme.{name}")]
        assert (task.s3_key, task.on_empty) == (f"s3://lake/{name}/{{date}}.parquet", "fail")
        assert task.event_types == (["BROWSE"] if name == "events" else None)
    assert set(tasks_of(wait_for_complete=False)) == set(tasks)
    assert set(tasks_of(resources="customers", event_types=None)) == {"customers"}
    assert tasks_of(checks=False)["events"].on_empty == "write"


@pytest.mark.parametrize(
    ("target", "operator", "place"),
    [
        (
            "s3://lake/{resource}/{date}.csv.gz",
            CustobarToS3Operator,
            {"s3_key": "s3://lake/sales/{date}.csv.gz", "file_format": "csv"},
        ),
        (
            "gs://{{ var.value.lake }}/a/{resource}-{{ ds }}.JSONL.zst",
            CustobarToGCSOperator,
            {"bucket_name": "{{ var.value.lake }}", "object_name": "a/sales-{{ ds }}.JSONL.zst", "file_format": "jsonl"},
        ),
        ("file:///lake/{resource}/{date}.json", CustobarToObjectStorageOperator, {"path": "file:///lake/sales/{date}.json"}),
        ("abfs://lake/{resource}/{window_start}.parquet", CustobarToObjectStorageOperator, {"file_format": "parquet"}),
    ],
)
def test_the_target_tells_operator_place_and_format(target: str, operator: type, place: dict[str, str]) -> None:
    """Rule: scheme and ending of the URL are all that has to be said."""
    task = tasks_of(target)["sales"]
    assert type(task) is operator
    assert {name: getattr(task, name) for name in place} == place


def test_a_prefix_and_a_connection_are_tables_and_their_checks() -> None:
    """Rule: each load is followed by a check of the table, of what its columns can tell."""
    fields = {"customers": ["email"], "products": ["title"]}
    tasks = tasks_of(
        "analytics.custobar_", conn_id="warehouse", fields=fields, column_mapping={"date": "happened_at"}, database="db"
    )
    assert {task.table for task in tasks.values() if type(task) is CustobarToSqlOperator} == {
        f"analytics.custobar_{name}" for name in ("customers", "events", "sales", "products")
    }
    assert upstream(tasks["check_events"]) == {"events"}
    assert {name: task.checks.keys() for name, task in tasks.items() if name.startswith("check_")} == {
        "check_events": {"loaded_rows_are_there"}, "check_sales": {"loaded_rows_are_there"},
        "check_customers": {"there_are_rows"}, "check_products": {"there_are_rows"},
    }  # fmt: skip
    check = tasks["check_events"]
    assert "\"happened_at\" >= '{{ ti.xcom_pull(task_ids='acme.events')" in check.partition_clause
    assert (check.conn_id, check.database, check.table) == ("warehouse", "db", '"analytics.custobar_events"')
    assert tasks_of("x_{resource}_raw", conn_id="warehouse", schema="s")["check_sales"].table == '"s"."x_sales_raw"'
    assert "no_key_is_there_twice" in tasks_of("custobar_", conn_id="warehouse")["check_customers"].checks
    assert not [name for name in tasks_of("custobar_", conn_id="warehouse", checks=False) if "check" in name]


def test_arguments_go_to_each_export_or_to_one() -> None:
    """Rule: what the group does not know goes to every export, by resource where that is said; a lookback only to windows."""
    tasks = tasks_of(
        date="{{ ds }}", page_size=500, lookback=2, on_empty={"sales": "skip"}, fields={"events": ["type", "date"]}, filters={}
    )
    names = ("customers", "events", "sales", "products")
    assert [tasks[name].page_size for name in names] == [500] * 4
    assert [tasks[name].lookback for name in names] == [0, 2, 2, 0]
    assert [tasks[name].on_empty for name in names] == ["fail", "fail", "skip", "fail"]
    assert [tasks[name].fields for name in names] == [None, ["type", "date"], None, None]
    assert [tasks[name].date for name in (*names, "complete")] == [None, "{{ ds }}", "{{ ds }}", None, "{{ ds }}"]
    assert tasks["customers"].s3_key == "s3://lake/customers/{{ ds }}.parquet"
    assert tasks_of(allow_unknown_names={"sales": True})["complete"].allow_unknown_names is False


def test_exports_of_a_group_do_not_share_what_belongs_to_one() -> None:
    """Rule: each has a manifest of its own, the format of its ending unless it is given for it, and the group's asset beside
    further outlets.
    """
    manifest = "s3://lake/{resource}/{date}.json"
    tasks = tasks_of(manifest=manifest, date="2026-02-10", file_format={"events": "jsonl"}, outlets=[Asset("more")])
    names = ("customers", "events", "sales")
    assert [tasks[name].manifest for name in names] == [
        "s3://lake/customers/2026-02-10.json", "s3://lake/events/{date}.json", "s3://lake/sales/{date}.json",
    ]  # fmt: skip
    assert [tasks[name].file_format for name in names] == ["parquet", "jsonl", "parquet"]
    assert [outlet.name for outlet in tasks["sales"].outlets] == ["acme.sales", "more"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"group_id": "a b"}, "group_id='a b'"),
        ({"target": "bucket/{resource}.csv"}, "target=.*give a URL.*or conn_id"),
        ({"conn_id": "warehouse"}, "target=.*give a URL.*or conn_id"),
        ({"target": None}, "target=None"),
        ({"target": "s3://lake/all/{date}.csv"}, r"target=.*put \{resource\} into it"),
        ({"target": "s3://lake/{resource}.csv"}, r"target=.*put \{date\} into it"),
        ({"target": "s3://lake/{resource}/{dat}.csv"}, r"target=.*\{dat\} is none of .*Did you mean 'date'"),
        ({"target": "custobar_{date}_", "conn_id": "warehouse"}, r"target=.*\{date\} is none of resource"),
        ({"target": "s3://lake/{resource}/{date}.xlsx"}, "target=.*end it in .csv"),
        ({"target": "s3://lake/{resource}/{date}.parquet.gz"}, "target=.*or in .parquet"),
        ({"target": "s3:///{resource}/{date}.csv"}, "target=.*scheme://bucket/name"),
        ({"target": "file://lake/{resource}/{date}.csv"}, "target=.*file:///folder/name"),
        ({"resources": ["event"]}, "resources='event'.*Did you mean 'events'"),
        ({"resources": ["sales", "sales"]}, "resources='sales'.*each once"),
        ({"resources": []}, r"resources=\[\]"),
        ({"resources": ["shops"]}, "resources='shops'"),
        ({"event_types": None}, "event_types=None"),
        ({"event_types": None, "resources": "sales"}, "event_types=None.*the wait before"),
        ({"event_types": ["BROWS"]}, "event_types='BROWS'.*Did you mean 'BROWSE'"),
        ({"date": "10.2.2026"}, "date='10.2.2026'"),
        ({"date": pendulum.datetime(2026, 2, 10)}, "date=DateTime"),
        ({"wait_for_complete": "no"}, "wait_for_complete='no'"),
        ({"checks": 1}, "checks=1"),
        ({"windw": "auto"}, "windw='auto'.*CustobarToS3Operator has no such argument"),
        ({"mode": "append"}, "mode='append'.*no such argument"),
        ({"s3_key": "x"}, "s3_key='x'.*by target"),
        ({"window": "auto"}, "window='auto'.*by itself"),
        ({"fields": {"event": ["type"]}}, "fields='event'.*by resource"),
        ({"fields": {"events": ["typ"]}}, "fields='typ'.*Did you mean 'type'"),
        ({"on_empty": {"sales": "skip"}, "resources": "events"}, "on_empty='sales'.*by resource, of events"),
        ({"on_empty": {"sales": "never"}}, "on_empty='never'"),
        ({"filters": {"country": "FI"}}, "filters='country'"),
        ({"event_types": ["BROWS"], "resources": "sales"}, "event_types='BROWS'.*Did you mean 'BROWSE'"),
        ({"page_size": {"event": 5}}, "page_size='event'.*by resource"),
        ({"manifest": "s3://lake/{date}.json"}, r"manifest=.*put \{resource\} into it"),
        (
            {"target": "s3://lake/{resource}/{window_start}.csv", "date": "2026-02-10"},
            r"target=.*customers would be named by the run's period",
        ),
        ({"max_rows_per_file": 9}, r"max_rows_per_file=9.*put \{part\}"),
        ({"mode": "replace_window", "target": "c_", "conn_id": "w"}, "mode='replace_window'.*customers have no window"),
        ({"mode": {"events": "upsert"}, "target": "c_", "conn_id": "w"}, "mode='upsert'.*identifies events.*key_columns"),
    ],
)
def test_bad_input_is_refused_while_the_dag_is_parsed(arguments: dict[str, Any], said: str) -> None:
    """Rule: what can be known without running is told at once, by argument, value and what is accepted."""
    arguments = {"group_id": "acme", "target": FILES, "event_types": ["BROWSE"], **arguments}
    with DAG("dag", schedule=None), pytest.raises(InvalidArgumentError, match=f"(?s)^{said}"):
        custobar_export_group(**arguments)


def test_what_is_not_known_yet_is_left_for_the_run() -> None:
    """Rule: templates, and what other tasks say, are not judged while the DAG is parsed."""
    tasks = tasks_of(event_types="{{ params.types }}", fields={"events": ["{{ params.field }}"]}, date="{{ params.day }}")
    assert (tasks["events"].event_types, tasks["events"].fields) == ("{{ params.types }}", ["{{ params.field }}"])
    with DAG("dag", schedule=None) as dag:
        told = BaseOperator(task_id="told").output
        for group_id, argument in (("one", "fields"), ("two", "column_mapping")):
            custobar_export_group(group_id, target="c_", conn_id="w", event_types=["BROWSE"], **{argument: told})  # type: ignore[arg-type]
    assert dag.task_dict["one.check_events"].checks.keys() == {"there_are_rows"}
    assert dag.task_dict["two.events"].upstream_task_ids == {"told", "two.complete"}


DAG_FILE = """
import pendulum
from airflow.sdk import DAG

from airflow_provider_custobar.operators.export_group import custobar_export_group

with DAG("groups", schedule="@daily", start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):
    for database in ("postgres", "sqlite"):
        custobar_export_group(database, target="custobar_", conn_id=database, event_types=["BROWSE"], retries=0)
        odd = {"target": "Odd_", "conn_id": database, "resources": "events", "retries": 0, "wait_for_complete": False}
        odd["column_mapping"] = {"date": "when", "type": "Type"}
        one = custobar_export_group(database + "_odd", event_types=["BROWSE"], **odd)
        one >> custobar_export_group(database + "_other_types", event_types=["MAIL_OPEN"], **odd)
    files = {"target": "file://FOLDER/{resource}/{date}.jsonl", "resources": ["customers", "events"]}
    custobar_export_group("empty", event_types=["NEVER"], allow_unknown_names=True, retries=0, **files)
"""


@pytest.mark.processes
def test_groups_run_and_their_checks_find_what_is_wrong(
    custobar_sandbox: CustobarSandbox, airflow_home: AirflowHome, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Rule: real tables hold what was loaded, on PostgreSQL and SQLite, also after a second run, beside events of other types,
    and whatever their names; a key that is there twice fails the check of its table, and a day without events the export, of
    which nothing is written.
    """
    postgres = postgres_server.create_database()
    custobar_sandbox.settings.rate_limit = None
    environment = connection_variables(
        {
            "custobar_default": custobar_sandbox.airflow_connection(requests_per_minute=6000),
            "postgres": postgres.airflow_connection(),
            "sqlite": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "tables.sqlite")}),
        }
    )
    file = tmp_path / "groups.py"
    file.write_text(DAG_FILE.replace("FOLDER", str(tmp_path / "files")))
    first, again = airflow_home.run_dag(file, "groups", ["2026-02-21", "2026-02-21T00:00:01"], environment=environment)
    for outcome in (first, again):
        assert {name for name, state in outcome.states.items() if state != "success"} == {"empty.events"}, outcome.log
    assert "EmptyExportError" in first.log
    assert [path.name for path in (tmp_path / "files").rglob("*.*")] == ["2026-02-20.jsonl"]
    with postgres.connect() as connection:
        rows = connection.execute("SELECT count(*) FROM custobar_events").fetchone()
        connection.execute("INSERT INTO custobar_customers (external_id) VALUES ('twice'), ('twice')")
    assert rows == (first.results["postgres.events"]["rows"],) == (first.results["sqlite.events"]["rows"],)
    (spoilt,) = airflow_home.run_dag(file, "groups", ["2026-02-21T00:00:02"], environment=environment)
    assert spoilt.states["postgres.check_customers"] == "failed"
    assert spoilt.states["sqlite.check_customers"] == "success"
