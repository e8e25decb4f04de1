"""The examples that take files further, by real Airflow: what can run here runs, and what cannot is recorded and parsed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from airflow_provider_custobar.sandbox import CustobarSandbox
from tests.airflow.recorders import BigQueryRecorder, StatementRecorder
from tools.airflow_home import PROJECT, AirflowHome, DagRunOutcome, connection_variables
from tools.servers import GcsServer, S3Server

pytestmark = pytest.mark.processes

DAY = "2026-02-20"
BUCKET = "custobar-exports"
ROLE = "arn:aws:iam::123456789012:role/may-read-exports"


class Stage:
    def __init__(self, sandbox: CustobarSandbox, s3: S3Server, gcs: GcsServer, home: AirflowHome) -> None:
        self.sandbox, self.s3, self.gcs, self.home = sandbox, s3, gcs, home

    def run(self, dag_id: str, connections: dict[str, str], environment: dict[str, str]) -> DagRunOutcome:
        connections = {
            "custobar_default": self.sandbox.airflow_connection(requests_per_minute=600),
            "aws_default": self.s3.airflow_connection(),
            "google_cloud_default": self.gcs.airflow_connection(),
            **connections,
        }
        environment = {**connection_variables(connections), **self.gcs.environment(), **environment}
        file = PROJECT / "dags_examples" / f"{dag_id}.py"
        (outcome,) = self.home.run_dag(file, dag_id, [DAY], environment=environment)
        assert set(outcome.states.values()) == {"success"}, outcome.log
        return outcome

    def of_the_day(self, resource: str, timestamp: str) -> list[dict[str, Any]]:
        return [record for record in self.sandbox.records(resource) if record[timestamp].startswith(DAY)]


@pytest.fixture(scope="module")
def stage(airflow_home: AirflowHome) -> Iterator[Stage]:
    with CustobarSandbox() as sandbox, S3Server() as s3, GcsServer() as gcs:
        s3.create_bucket(BUCKET)
        gcs.create_bucket(BUCKET)
        yield Stage(sandbox, s3, gcs, airflow_home)


def parsed(recorder: StatementRecorder, dialect: str) -> list[exp.Expression]:
    words = ("ALTER", "CREATE", "DELETE", "COPY")
    statements = [statement for statement in recorder.statements if statement.split()[0].upper() in words]
    parsed = [sqlglot.parse_one(statement, dialect=dialect) for statement in statements]
    assert not any(isinstance(each, exp.Command) for each in parsed), statements
    return parsed


def test_files_are_read_where_they_lie(stage: Stage) -> None:
    """Rule: DuckDB reads all files by their URIs, and ClickHouse's engine each of them in a mapped task of its own."""
    results = stage.run("custobar_parquet_on_s3", {}, {}).results
    sales = stage.of_the_day("sales", "sale_date")
    spent: Counter[str] = Counter()
    for sale in sales:
        if "sale_customer_id" in sale:
            spent[sale["sale_customer_id"]] += sale.get("total", 0)
    best = sorted(spent.items(), key=lambda pair: (-pair[1], pair[0]))[:10]
    assert results["best_customers"] == [list(pair) for pair in best] != []
    looks = [result for name, result in results.items() if name.startswith("look_into[")]
    assert len(looks) == len(results["sales"]["objects"]) > 1
    assert sum(int(look["n"]) for look in looks) == len(sales)
    assert min(look["first"] for look in looks)[:19] == min(sale["sale_date"] for sale in sales)[:19].replace("T", " ")


def test_warehouses_are_told_what_they_understand(stage: Stage) -> None:
    """Rule: the official operators send SQL of each warehouse with the file's columns, and a load job with its schema."""
    with StatementRecorder() as redshift, StatementRecorder() as snowflake, BigQueryRecorder() as bigquery:
        outcome = stage.run(
            "custobar_to_cloud_warehouses",
            {
                "redshift_default": redshift.airflow_connection("redshift", ssl=False),
                "aws_redshift_role": json.dumps({"conn_type": "aws", "extra": {"role_arn": ROLE}}),
                # The operator takes the hook of the connection's type; what it is told is the same.
                "snowflake_default": snowflake.airflow_connection("postgres", sslmode="disable"),
            },
            bigquery.environment(),
        )
    create, delete, copy = parsed(redshift, "redshift")
    types = {column.name: column.args["kind"].sql("redshift") for column in create.find_all(exp.ColumnDef)}
    assert types == {
        "external_id": "VARCHAR(MAX)",
        "sale_external_id": "VARCHAR(MAX)",
        "sale_date": "TIMESTAMP",
        "sale_customer_id": "VARCHAR(MAX)",
        "quantity": "DOUBLE PRECISION",
        "total": "BIGINT",
        "tags": "SUPER",
    }
    assert delete.sql("redshift").endswith(f"sale_date >= '{DAY} 00:00:00' AND sale_date < '2026-02-21 00:00:00'")
    assert isinstance(copy, exp.Copy)
    assert f"'s3://{BUCKET}/custobar/warehouse/ds={DAY}/sales.parquet'" in copy.sql("redshift")
    _, create, _, copy = parsed(snowflake, "snowflake")
    assert [column.name for column in create.find_all(exp.ColumnDef)] == [name.upper() for name in types]
    assert isinstance(copy, exp.Copy)
    assert f"FILES = ('custobar/warehouse/ds={DAY}/sales.parquet')" in copy.sql("snowflake")
    (job,) = bigquery.jobs
    load = job["configuration"]["load"]
    assert load["sourceUris"] == [f"gs://{BUCKET}/custobar/warehouse/ds={DAY}/events-00000.jsonl.gz"]
    assert load["schema"]["fields"][:2] == [
        {"name": "type", "type": "STRING", "mode": "NULLABLE"},
        {"name": "date", "type": "TIMESTAMP", "mode": "NULLABLE"},
    ]
    assert load["destinationTable"]["tableId"] == "events$20260220"
    everything = str([redshift.statements, snowflake.statements, outcome.results, outcome.log])
    assert not any(secret in everything for secret in (stage.s3.secret_key, stage.s3.access_key, stage.sandbox.token))
