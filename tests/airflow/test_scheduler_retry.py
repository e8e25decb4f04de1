"""A task whose process is killed in the middle of an export, and retried by Airflow's scheduler."""

from __future__ import annotations

import json
import os
import signal
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from tools.airflow_server import AirflowServer
from tools.servers import S3Server

pytestmark = pytest.mark.processes

BUCKET = "custobar-exports"
ROWS = 40_000
PAGES = 40

DAG = """
import os
from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator


def note_process(context):
    Path({folder!r}, f"pid-{{context['ti'].try_number}}").write_text(str(os.getpid()))


with DAG("killed", schedule=None, start_date=pendulum.datetime(2026, 1, 1), is_paused_upon_creation=False):
    CustobarToS3Operator(
        task_id="export",
        resource="events",
        event_types="BROWSE",
        file_format="jsonl",
        page_size=1000,
        s3_bucket={bucket!r},
        s3_key="events.jsonl",
        retries=1,
        retry_delay=0,
        on_execute_callback=note_process,
    )
"""


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, what
        time.sleep(0.1)
    return found


def test_a_killed_task_goes_on_in_its_retry(tmp_path: Path) -> None:
    """The scheduler's retry continues a killed export from where it stopped, says so in its log, and leaves every row once."""
    (tmp_path / "dags").mkdir()
    code = textwrap.dedent(DAG).format(folder=str(tmp_path), bucket=BUCKET)
    (tmp_path / "dags" / "killed.py").write_text(code)
    with CustobarSandbox(SandboxSettings(rate_limit=None), customers=200, events=4 * ROWS, days=1) as sandbox, S3Server() as s3:
        s3.create_bucket(BUCKET)
        connections = {
            # Slow enough to be met in the middle.
            "custobar_default": sandbox.airflow_connection(requests_per_minute=600),
            "aws_default": s3.airflow_connection(),
        }
        with AirflowServer(connections, {"AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags")}) as airflow:
            run = f"{airflow.url}/api/v2/dags/killed/dagRuns"
            wait_for(lambda: requests.get(f"{airflow.url}/api/v2/dags/killed", timeout=10).ok, "the DAG was not read")
            answer = requests.post(run, json={"logical_date": None}, timeout=10)
            assert answer.ok, answer.text
            run_id = answer.json()["dag_run_id"]
            wait_for(lambda: len(sandbox.requests) >= PAGES * 2 // 3, "the export did not begin")
            os.kill(int((tmp_path / "pid-1").read_text()), signal.SIGKILL)

            def ended() -> str | None:
                state = requests.get(f"{run}/{run_id}", timeout=10).json()["state"]
                return state if state in ("success", "failed") else None

            state = wait_for(ended, airflow.log_path.read_text()[-3000:])
            logs = {path.name: path.read_text() for path in airflow.home.directory.rglob("attempt=*.log")}
            assert state == "success", logs
            result = requests.get(f"{run}/{run_id}/taskInstances/export/xcomEntries/return_value", timeout=10).json()["value"]
        client = s3.client()
        content = client.get_object(Bucket=BUCKET, Key="events.jsonl")["Body"].read()
        assert [json.loads(line) for line in content.splitlines()] == [
            event for event in sandbox.records("events") if event["type"] == "BROWSE"
        ]
        assert [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["events.jsonl"]
        assert "Uploads" not in client.list_multipart_uploads(Bucket=BUCKET)
        assert "Going on where an earlier attempt stopped" in logs["attempt=2.log"], logs["attempt=2.log"]
        assert result["resumed"] is True
        assert result["pages"] <= len(sandbox.requests) <= result["pages"] + 2
