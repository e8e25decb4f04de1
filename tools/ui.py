"""``make ui``: Airflow's UI with sandboxes, real servers, connections to all of them and the example DAGs, until Ctrl-C."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from datetime import date

from tools.airflow_home import AirflowError
from tools.airflow_server import AirflowServer, check_port
from tools.stage import POOL, DemoError, ExamplesStage, run_to_the_end, set_examples_stage, step

_SECONDS_BETWEEN_EVENTS = 60.0


def start(stack: ExitStack) -> tuple[ExamplesStage, AirflowServer]:
    """All of it, ready to be looked at, at the port that ``PORT`` names."""
    try:
        port = check_port(os.environ.get("PORT", "0"))
    except AirflowError as error:
        raise DemoError(f"PORT: {error}") from error
    # The day that the person at this machine calls today.
    stage = set_examples_stage(stack, date.today())  # noqa: DTZ011
    with step("start Airflow (its own home, SQLite)"):
        airflow = stack.enter_context(AirflowServer(stage.connections, stage.environment, port=port))
        airflow.home.call([sys.executable, "-m", "airflow", "pools", "set", *POOL])
    return stage, airflow


def serve(stack: ExitStack) -> int:
    stage, airflow = start(stack)
    print(f"\nAirflow  {airflow.url}  (no login; DAGs are paused until you switch them on; data up to the end of today)")
    print(f"Custobar {stage.sandbox.url}   S3 {stage.s3.endpoint_url}   GCS {stage.gcs.endpoint_url}")
    print(f"Shop     {stage.shop.url}   PostgreSQL in {stage.postgres.data}   Ctrl-C stops all")
    print(f"Log      {airflow.log_path}", flush=True)
    try:
        while True:
            airflow.wait(_SECONDS_BETWEEN_EVENTS)
            stage.unsubscribe_somebody()
    except AirflowError as error:
        raise DemoError(str(error)) from error


if __name__ == "__main__":
    sys.exit(run_to_the_end(serve))
