"""``make ui``: Airflow's UI with a sandbox, real S3 and GCS servers, connections and the example DAGs, until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

import requests

from airflow_provider_custobar.sandbox import CustobarSandbox
from tools.airflow_home import PROJECT, AirflowHome
from tools.stage import DemoError, run_to_the_end, set_stage, step


def serve(stack: ExitStack) -> int:
    today = date.today()  # noqa: DTZ011 - the day that the person at this machine calls today
    stage = set_stage(stack, CustobarSandbox(customers=2_000, events=30_000, sales=6_000, end_date=today))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(os.environ.get("PORT", probe.getsockname()[1]))
    url = f"http://127.0.0.1:{port}"
    with step("prepare Airflow (its own home, SQLite)"):
        home = stack.enter_context(
            AirflowHome(
                {},
                {
                    **stage.gcs.environment(),
                    "AIRFLOW__API__HOST": "127.0.0.1",
                    "AIRFLOW__API__PORT": str(port),
                    "AIRFLOW__API__BASE_URL": url,
                    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
                    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
                    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
                },
            )
        )
        for conn_id, document in stage.connections.items():
            # Kept in Airflow's database, because the UI does not show connections of the environment.
            home.call([sys.executable, "-m", "airflow", "connections", "add", conn_id, "--conn-json", document])
        # The mapped example wants it.
        home.call([sys.executable, "-m", "airflow", "pools", "set", "custobar", "2", "Custobar's rate limit"])
    with step("start Airflow"):
        log = home.directory / "standalone.log"
        process = _start_airflow(stack, home, log)
        _wait_for(url, process, log)
    print(f"\nAirflow  {url}  (no login; DAGs are paused until you switch them on; data up to {today})")
    print(f"Custobar {stage.sandbox.url}   S3 {stage.s3.endpoint_url}   GCS {stage.gcs.endpoint_url}   Ctrl-C stops all")
    print(f"Log      {log}", flush=True)
    process.wait()
    raise DemoError(f"Airflow ended by itself:\n{_tail(log)}")


def _start_airflow(stack: ExitStack, home: AirflowHome, log: Path) -> subprocess.Popen[bytes]:
    output = stack.enter_context(log.open("wb"))
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "airflow", "standalone"],
        env=home.environment,
        cwd=PROJECT,
        # A group of its own, so that every part of Airflow can be stopped together.
        start_new_session=True,
        stdout=output,
        stderr=subprocess.STDOUT,
    )
    stack.callback(_stop_group, process)
    return process


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    for sign, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path, limit: timedelta = timedelta(minutes=2)) -> None:
    ends = time.monotonic() + limit.total_seconds()
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise DemoError(f"Airflow ended with code {process.returncode}:\n{_tail(log)}")
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/api/v2/monitor/health", timeout=5).ok:
                return
        time.sleep(0.5)
    raise DemoError(f"Airflow did not answer at {url} within {limit}")


if __name__ == "__main__":
    sys.exit(run_to_the_end(serve))
