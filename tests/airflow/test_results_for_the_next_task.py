"""What one task has done is what the next one can use, key by key, in real Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox
from tools.airflow_home import AirflowHome, connection_variables

pytestmark = pytest.mark.processes

DAG = """
from airflow.sdk import DAG, task

from airflow_provider_custobar.operators.custobar import CustobarUploadOperator
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator as Export
from airflow_provider_custobar.transfers.custobar_to_sql import CustobarToSqlOperator

with DAG("results", schedule=None):
    day = {"resource": "sales", "date": "2026-02-20"}
    sales = Export(task_id="sales", path="file://FOLDER/sales.csv", manifest="file://FOLDER/sales.json", **day)
    customers = Export(task_id="customers", resource="customers", path="file://FOLDER/customers.csv")
    quiet = Export(task_id="quiet", path="file://FOLDER/quiet.csv", multiple_outputs=False, **day)
    silent = Export(task_id="silent", path="file://FOLDER/silent.csv", do_xcom_push=False, **day)
    load = CustobarToSqlOperator(task_id="load", conn_id="sqlite_default", table="sales", **day)
    upload = CustobarUploadOperator(task_id="upload", records=[{"external_id": "n-1", "city": "Turku"}])
    mapped = Export.partial(task_id="mapped", resource="sales", path="file://FOLDER/{date}.csv").expand(
        date=["2026-02-19", "2026-02-20"]
    )

    @task.custobar_upload
    def of_a_function():
        yield {"external_id": "n-2", "city": "Oulu"}

    @task
    def told(values):
        return {name: list(value) if name == "mapped" else value for name, value in values.items()}

    @task
    def pulled(ti=None):
        return [ti.xcom_pull(task_ids=name, key=key) for name in ("quiet", "silent") for key in ("rows", "return_value")]

    names = ("uris", "rows", "window", "window_complete", "manifest")
    told(
        {
            **{name: sales.output[name] for name in names},
            "complete_without_a_window": customers.output["window_complete"],
            "no_manifest": customers.output["manifest"],
            "inserted": load.output["inserted"],
            "loaded_is_complete": load.output["window_complete"],
            "uploaded": upload.output["uploaded"],
            "of_a_function": of_a_function()["uploaded"],
            "mapped": mapped.output["rows"],
        }
    )
    [quiet, silent] >> pulled()
"""


@pytest.fixture(scope="module")
def tenant() -> Iterator[CustobarSandbox]:
    with CustobarSandbox() as sandbox:
        yield sandbox


def test_each_key_is_there_by_itself(tenant: CustobarSandbox, airflow_home: AirflowHome, tmp_path: Path) -> None:
    """Rule: ``op.output[key]`` gives any key of a result, also None and of mapped tasks, unless the user wants none of it."""
    file = tmp_path / "results.py"
    file.write_text(DAG.replace("FOLDER", str(tmp_path)))
    connections = {
        "custobar_default": tenant.airflow_connection(requests_per_minute=600),
        "sqlite_default": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "tables.db")}),
    }
    (outcome,) = airflow_home.run_dag(file, "results", ["2026-02-21"], environment=connection_variables(connections))
    assert set(outcome.states.values()) == {"success"}, outcome.log
    days = [sum(sale["sale_date"].startswith(day) for sale in tenant.records("sales")) for day in ("2026-02-19", "2026-02-20")]
    expected: dict[str, Any] = {
        "uris": [f"file://{tmp_path}/sales.csv"],
        "rows": days[1],
        "window": {"start": "2026-02-20T00:00:00+00:00", "end": "2026-02-21T00:00:00+00:00"},
        "window_complete": True,
        "manifest": f"file://{tmp_path}/sales.json",
        "complete_without_a_window": None,
        "no_manifest": None,
        "inserted": days[1],
        "loaded_is_complete": True,
        "uploaded": 1,
        "of_a_function": 1,
        "mapped": days,
    }
    assert outcome.results["told"] == expected
    rows, result, *nothing = outcome.results["pulled"]
    assert (rows, result["rows"], nothing) == (None, days[1], [None, None])
