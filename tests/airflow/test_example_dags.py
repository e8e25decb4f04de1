"""The example DAGs, run by real Airflow against a sandbox and real S3 and GCS servers."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from airflow_provider_custobar.sandbox import CustobarSandbox
from tools.airflow_home import PROJECT, AirflowHome, DagRunOutcome, connection_variables
from tools.servers import GcsServer, PostgresDatabase, PostgresServer, S3Server

pytestmark = pytest.mark.processes

DAY = "2026-02-20"
DAY_AFTER = "2026-02-21"
BUCKET = "custobar-exports"
DAGS = sorted(path.stem for path in (PROJECT / "dags_examples").glob("*.py"))


@dataclass
class Stage:
    sandbox: CustobarSandbox
    s3: S3Server
    gcs: GcsServer
    postgres: PostgresDatabase
    home: AirflowHome
    environment: dict[str, str]

    def run(self, dag_id: str, date: str = DAY, conf: dict[str, Any] | None = None, *, by_api: bool = False) -> DagRunOutcome:
        file = PROJECT / "dags_examples" / f"{dag_id}.py"
        (outcome,) = self.home.run_dag(file, dag_id, [date], conf, environment=self.environment, by_api=by_api)
        assert set(outcome.states.values()) == {"success"}, outcome.log
        return outcome

    def s3_object(self, key: str) -> bytes:
        body: bytes = self.s3.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def put(self, key: str, text: str) -> None:
        self.s3.client().put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(text.encode()))

    def gcs_object(self, name: str) -> bytes:
        body: bytes = self.gcs.client().bucket(BUCKET).blob(name).download_as_bytes()
        return body

    def of_the_day(self, resource: str, timestamp: str) -> list[dict[str, Any]]:
        return [record for record in self.sandbox.records(resource) if record[timestamp].startswith(DAY)]


@pytest.fixture(scope="module")
def stage(airflow_home: AirflowHome, postgres_server: PostgresServer, tmp_path_factory: Any) -> Iterator[Stage]:
    postgres = postgres_server.create_database()
    with CustobarSandbox() as sandbox, S3Server() as s3, GcsServer() as gcs:
        s3.create_bucket(BUCKET)
        gcs.create_bucket(BUCKET)
        connections = {
            "custobar_default": sandbox.airflow_connection(requests_per_minute=600),
            "aws_default": s3.airflow_connection(),
            "google_cloud_default": gcs.airflow_connection(),
            "postgres_default": postgres.airflow_connection(),
        }
        state = {"AIRFLOW_VAR_CUSTOBAR_STATE": f"file://{tmp_path_factory.mktemp('state')}"}
        environment = {**connection_variables(connections), **gcs.environment(), **state}
        yield Stage(sandbox, s3, gcs, postgres, airflow_home, environment)


def test_daily_export(stage: Stage) -> None:
    """Rule: whoever starts the run, the stores hold exactly the tenant's records of the day before, and its snapshots."""
    results = stage.run("custobar_daily_export", date=DAY_AFTER).results
    customers = csv.DictReader(
        io.StringIO(
            gzip.decompress(stage.s3_object(f"custobar/customers/ds={DAY_AFTER}/customers.csv.gz")).decode(), newline=""
        )
    )
    assert {row["external_id"] for row in customers} == {r["external_id"] for r in stage.sandbox.records("customers")}
    products = gzip.decompress(stage.gcs_object(f"custobar/products/ds={DAY_AFTER}/products.jsonl.gz")).splitlines()
    assert sorted(map(json.loads, products), key=str) == sorted(stage.sandbox.records("products"), key=str)
    sales = csv.DictReader(io.StringIO(stage.s3_object(f"custobar/sales/ds={DAY}/sales.csv").decode(), newline=""))
    assert sorted(row["external_id"] for row in sales) == sorted(
        r["external_id"] for r in stage.of_the_day("sales", "sale_date")
    )
    events = gzip.decompress(stage.s3_object(f"custobar/events/ds={DAY}/events.jsonl.gz")).splitlines()
    wanted = ("MAIL_OPEN", "MAIL_CLICK", "BROWSE", "BASKET_ADD")
    assert sorted(map(json.loads, events), key=str) == sorted(
        (r for r in stage.of_the_day("events", "date") if r["type"] in wanted), key=str
    )
    assert results["events_to_s3"]["rows"] == len(events) > 0
    assert stage.sandbox.token not in str(results)
    # A button or the API may start it at any time of the day.
    for moment, by_api in ((f"{DAY_AFTER}T15:30:00", False), (f"{DAY_AFTER}T16:30:00", True)):
        again = stage.run("custobar_daily_export", date=moment, by_api=by_api).results
        assert [again[task] for task in again] == [results[task] for task in again]


def test_upload(stage: Stage) -> None:
    """Rule: the good rows are customers of the tenant afterwards, and the dangerous one changed nobody."""
    outcome = stage.run("custobar_upload_customers")
    cities = {
        r["external_id"]: r["city"] for r in stage.sandbox.records("customers") if r.get("external_id", "").startswith("M-")
    }
    assert cities == {"M-1001": "Turku", "M-1002": "Oulu"}
    assert outcome.results["upload"]["rejected"] == 1


def test_upload_of_files(stage: Stage, tmp_path: Path) -> None:
    """Rule: the files' good rows are customers of the tenant afterwards; the next night sends only what has changed."""
    stage.put("incoming/customers/1.csv.gz", "Member;Mail;Newsletter\r\nF-1;a@example.com;yes\r\nF-2;not an address;no\r\n")
    stage.put("incoming/customers/2.csv.gz", "Member,Mail,Newsletter\r\nF-3,c@example.com,no\r\n")
    environment = stage.environment | {"AIRFLOW_VAR_CUSTOBAR_STATE": f"file://{tmp_path}"}
    file = PROJECT / "dags_examples" / "custobar_upload_files.py"
    outcomes = stage.home.run_dag(file, "custobar_upload_files", [DAY, "2026-02-21"], environment=environment)
    results = [outcome.results["customers"] for outcome in outcomes]
    first, second = results
    assert (first["rows"], first["uploaded"], first["rejected"]) == (3, 2, 1)
    assert first["verified"] == {"checked": 2, "missing": 0, "different": 0}
    customers = {r.get("external_id", ""): r for r in stage.sandbox.records("customers")}
    sent = {external_id: record["can_email"] for external_id, record in customers.items() if external_id.startswith("F-")}
    assert sent == {"F-1": True, "F-3": False}
    (rejected,) = map(json.loads, (tmp_path / "rejected-customers.jsonl").read_text().splitlines())
    assert (rejected["position"], rejected["row"]["Mail"]) == (1, "not an address")
    assert (second["uploaded"], second["unchanged"]) == (0, 2)


def test_sensor_gates_an_export(stage: Stage) -> None:
    """Rule: the deferred sensor finds the day's clicks, and then the export runs."""
    outcome = stage.run("custobar_wait_for_events")
    clicks = [r for r in stage.of_the_day("events", "date") if r["type"] == "MAIL_CLICK"]
    # Events are looked for newest first, and one was enough.
    newest = max(r["date"] for r in clicks)
    assert outcome.results["clicks_are_there"] == {"MAIL_CLICK": {"count": 1, "first": newest, "last": newest}}
    assert outcome.results["clicks_to_s3"]["rows"] == len(clicks)


def test_a_failing_task_fails_the_run_and_hides_the_token(stage: Stage) -> None:
    """Rule: what goes wrong in a task is told in its log, without the token."""
    connections = {"custobar_default": stage.sandbox.airflow_connection().replace(stage.sandbox.token, "APIWRONG0TOKEN")}
    file = PROJECT / "dags_examples" / "custobar_wait_for_events.py"
    environment = stage.environment | connection_variables(connections)
    (outcome,) = stage.home.run_dag(file, "custobar_wait_for_events", [DAY], environment=environment)
    assert outcome.state == "failed"
    assert "check the token in the connection's password" in outcome.log
    assert "APIWRONG0TOKEN" not in outcome.log


@pytest.mark.parametrize("dag_id", DAGS)
def test_examples_are_for_copying(dag_id: str) -> None:
    """Rule: an example says what it is for, holds no test plumbing, and has its DAG's name."""
    text = Path(PROJECT / "dags_examples" / f"{dag_id}.py").read_text()
    assert text.startswith('"""')
    assert f'dag_id="{dag_id}"' in text
    assert not any(word in text for word in ("sandbox", "127.0.0.1", "pytest", "environ"))


def test_any_schedule(stage: Stage) -> None:
    """Rule: a run of "@hourly" exports the hour before it."""
    hours = (0, 8, 9, 23)
    file = PROJECT / "dags_examples" / "custobar_any_schedule.py"
    dates = [f"{datetime.fromisoformat(DAY) + timedelta(hours=hour + 1):%Y-%m-%dT%H:%M:%S}" for hour in hours]
    outcomes = stage.home.run_dag(file, "custobar_any_schedule", dates, environment=stage.environment)
    assert all(outcome.state == "success" for outcome in outcomes), outcomes[0].log
    uris = [uri for outcome in outcomes for uri in outcome.results["events_to_s3"]["uris"]]
    assert uris[0].endswith(f"ds={DAY}/events-20260220T000000Z.jsonl")
    lines = [line for uri in uris for line in stage.s3_object(uri.removeprefix(f"s3://{BUCKET}/")).splitlines()]
    expected = [
        record
        for record in stage.of_the_day("events", "date")
        if record["type"] in ("BROWSE", "BASKET_ADD") and datetime.fromisoformat(record["date"]).hour in hours
    ]
    assert sorted(map(json.loads, lines), key=str) == sorted(expected, key=str) != []


def test_late_events(stage: Stage) -> None:
    """Rule: three days and the day itself are exported again, each into its own partition."""
    result = stage.run("custobar_late_events").results["clicks_to_s3"]
    days = ["2026-02-17", "2026-02-18", "2026-02-19", DAY]
    assert result["uris"] == [f"s3://{BUCKET}/custobar/late/ds={day}/clicks.jsonl" for day in days]
    assert [window["start"][:10] for window in result["windows"]] == days


def test_mapped_export(stage: Stage) -> None:
    """Rule: each pair of day and event type is a task of its own with an object of its own."""
    outcome = stage.run("custobar_mapped_export", conf={"first_day": "2026-02-19", "last_day": DAY})
    mapped = {name: result for name, result in outcome.results.items() if name.startswith("events_to_s3")}
    assert sorted(uri for result in mapped.values() for uri in result["uris"]) == [
        f"s3://{BUCKET}/custobar/mapped/type={name}/ds={day}/events.jsonl.gz"
        for name in ("MAIL_CLICK", "MAIL_OPEN")
        for day in ("2026-02-19", DAY)
    ]
    opens = [r for r in stage.of_the_day("events", "date") if r["type"] == "MAIL_OPEN"]
    key = f"custobar/mapped/type=MAIL_OPEN/ds={DAY}/events.jsonl.gz"
    assert [json.loads(line) for line in gzip.decompress(stage.s3_object(key)).splitlines()] == opens


def test_tenants(stage: Stage) -> None:
    """Rule: each tenant's day is in files of its own, with its snapshots beside it."""
    with CustobarSandbox(seed=7) as other:
        tenants = {"acme": stage.sandbox, "globex": other}
        connections = {f"custobar_{name}": each.airflow_connection(requests_per_minute=600) for name, each in tenants.items()}
        with_tenants = replace(stage, environment=stage.environment | connection_variables(connections))
        results = with_tenants.run("custobar_tenants", "2026-02-21").results
        for name, sandbox in tenants.items():
            for resource in ("customers", "events", "sales", "products"):
                key = f"{name}/{resource}/ds={DAY}/{resource}.parquet"
                assert results[f"{name}.{resource}"]["uris"] == [f"s3://{BUCKET}/{key}"]
                rows = parquet.read_table(io.BytesIO(stage.s3_object(key))).num_rows
                of_the_day = replace(stage, sandbox=sandbox).of_the_day
                if resource == "events":
                    wanted = [r for r in of_the_day("events", "date") if r["type"] in ("BROWSE", "MAIL_OPEN", "MAIL_CLICK")]
                elif resource == "sales":
                    wanted = of_the_day("sales", "sale_date")
                else:
                    wanted = list(sandbox.records(resource))
                assert rows == results[f"{name}.{resource}"]["rows"] == len(wanted) > 0


def test_taskflow_upload(stage: Stage) -> None:
    """Rule: rows that a function yields arrive, and XCom holds none of them."""
    stage.sandbox.clear_log()
    result = stage.run("custobar_upload_taskflow").results["loyalty"]
    buyers = {r["sale_customer_id"] for r in stage.of_the_day("sales", "sale_date") if r.get("sale_customer_id")}
    assert {row["external_id"] for entry in stage.sandbox.uploads for row in entry.rows} == buyers
    assert (result["uploaded"], "external_id" in str(result)) == (len(buyers), False)


def test_warehouse(stage: Stage) -> None:
    """Rule: tables hold exactly the day, also after a second run; the checks pass; what is made of them comes back as tags."""
    for _ in range(2):
        results = stage.run("custobar_to_warehouse").results
    with stage.postgres.connect() as connection:
        events = connection.execute("SELECT type, happened_at, customer_id FROM custobar_events").fetchall()
        spent = dict(
            connection.execute(
                "SELECT sale_customer_id, sum(total) FROM custobar_sales WHERE sale_customer_id IS NOT NULL GROUP BY 1"
            ).fetchall()
        )
    wanted = ("BROWSE", "MAIL_OPEN", "MAIL_CLICK")
    assert sorted((name, at.isoformat(), customer) for name, at, customer in events) == sorted(
        (r["type"], datetime.fromisoformat(r["date"]).isoformat(), r.get("customer_id"))
        for r in stage.of_the_day("events", "date")
        if r["type"] in wanted
    )
    assert results["events"]["deleted"] == results["events"]["inserted"] == len(events) > 0
    results = stage.run("custobar_upload_segments").results
    assert sum(results[name]["uploaded"] for name in ("silver", "gold")) == len(spent) > 0
    riser = min(spent, key=lambda customer: spent[customer])
    with stage.postgres.connect() as connection:
        connection.execute("UPDATE custobar_sales SET total = 20000 WHERE sale_customer_id = %s", (riser,))
    results = stage.run("custobar_upload_segments").results
    assert [results[name]["uploaded"] for name in ("silver", "gold")] == [1, 1]
    tags = {r["external_id"]: r.get("tags", []) for r in stage.sandbox.records("customers") if "external_id" in r}
    for customer, total in (spent | {riser: 200_00}).items():
        wanted = "segment-gold" if total >= 100_00 else "segment-silver"
        assert [tag for tag in tags[customer] if tag.startswith("segment-")] == [wanted]
