"""A task that is told to stop, the way Airflow does it: ``on_kill`` in a signal handler, and SIGKILL five seconds later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from tools.servers import S3Server
from tools.waiting import wait_until

pytestmark = pytest.mark.processes

#: Airflow kills a task after so long ([core] killed_task_cleanup_time).
UNTIL_AIRFLOW_KILLS_SECONDS = 60


def start(code: str) -> subprocess.Popen[bytes]:
    """A process that answers SIGTERM as Airflow's task runner does."""
    prologue = """
        import signal, sys
        def run(operator):
            signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
            operator.execute({})
    """
    text = textwrap.dedent(prologue) + textwrap.dedent(code)
    return subprocess.Popen([sys.executable, "-c", text], env=dict(os.environ), stderr=subprocess.PIPE)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM, and wait for the end, which has to come before Airflow's patience ends."""
    process.send_signal(signal.SIGTERM)
    process.wait(UNTIL_AIRFLOW_KILLS_SECONDS)


@pytest.fixture
def slow_tenant(tenant: CustobarSandbox) -> CustobarSandbox:
    """Answers a first page at once, and then takes its time."""
    tenant.faults.add(Fault("delay", seconds=300, times=None, after=2, method="GET"))
    return tenant


def test_an_export_to_a_file_leaves_nothing(slow_tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: an export that is told to stop ends before it is killed, and takes its unfinished file with it."""
    process = start(f"""
        from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
        run(CustobarToObjectStorageOperator(
            task_id="x", resource="customers", file_format="jsonl", page_size=50, path="file://{tmp_path}/out.jsonl"))
    """)
    wait_until("the export begins", lambda: any(tmp_path.iterdir()))
    stop(process)
    assert process.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_an_export_to_s3_leaves_no_upload(
    custobar_sandbox_factory: Callable[..., CustobarSandbox],
    aws: S3Server,
    s3_bucket: str,
    connect: Callable[[str, str], None],
) -> None:
    """Rule: neither an object nor a multipart upload stays behind."""
    sandbox = custobar_sandbox_factory(generate=False)
    sandbox.load("customers", ({"external_id": f"{n:05}", "city": "x" * 2_000} for n in range(12_000)))
    sandbox.faults.add(Fault("delay", seconds=300, times=None, after=8, method="GET"))
    connect("custobar_default", sandbox.airflow_connection(requests_per_minute=600_000))
    process = start(f"""
        from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator
        run(CustobarToS3Operator(
            task_id="x", resource="customers", file_format="jsonl", page_size=1000,
            s3_bucket="{s3_bucket}", s3_key="out.jsonl"))
    """)
    client = aws.client()
    wait_until("the upload begins", lambda: "Uploads" in client.list_multipart_uploads(Bucket=s3_bucket))
    stop(process)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=s3_bucket)
    assert "Contents" not in client.list_objects_v2(Bucket=s3_bucket)


def test_an_upload_stops_sending(tenant: CustobarSandbox) -> None:
    """Rule: an upload that is told to stop sends nothing more."""
    tenant.faults.add(Fault("delay", seconds=0.2, times=None, method="POST"))
    process = start("""
        from airflow_provider_custobar.operators.custobar import CustobarUploadOperator
        rows = [{"external_id": str(n)} for n in range(200)]
        run(CustobarUploadOperator(task_id="x", records=rows, batch_size=1))
    """)
    wait_until("batches are sent", lambda: len(tenant.uploads) >= 2)
    stop(process)
    sent = len(tenant.uploads)
    time.sleep(1)
    assert len(tenant.uploads) <= sent + 1 < 200
    assert b"told to stop" in (process.stderr.read() if process.stderr else b"")


def test_an_upload_of_events_that_was_stopped_is_not_retried(tenant: CustobarSandbox) -> None:
    """Rule: SystemExit is a failure that Airflow retries from the first row, so events that went out end the task for good."""
    tenant.faults.add(Fault("delay", seconds=0.2, times=None, method="POST"))
    process = start("""
        from airflow_provider_custobar.operators.custobar import CustobarUploadOperator
        rows = [{"type": "BROWSE", "date": "2026-02-10", "customer_id": str(n)} for n in range(200)]
        run(CustobarUploadOperator(task_id="x", records=rows, resource="events", batch_size=1))
    """)
    wait_until("batches are sent", lambda: len(tenant.uploads) >= 2)
    stop(process)
    errors = (process.stderr.read() if process.stderr else b"").decode()
    assert "PartlySentError" in errors
    assert "of 200 rows were sent before" in errors
    assert "have no identifier of their own" in errors
