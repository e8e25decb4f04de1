"""``make ui``: Airflow's UI with sandboxes, real servers, connections to all of them and the example DAGs, until Ctrl-C."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from datetime import date

from airflow_provider_custobar.sandbox import CustobarSandbox, SpiffyStoresSandbox
from tools.airflow_home import AirflowError
from tools.airflow_server import AirflowServer
from tools.servers import PostgresServer
from tools.stage import DemoError, run_to_the_end, set_stage, step


def serve(stack: ExitStack) -> int:
    today = date.today()  # noqa: DTZ011 - the day that the person at this machine calls today
    stage = set_stage(stack, CustobarSandbox(customers=2_000, events=30_000, sales=6_000, end_date=today))
    with step("start PostgreSQL"):
        postgres = stack.enter_context(PostgresServer())
    with step("start the Spiffy Stores sandbox"):
        shop = stack.enter_context(SpiffyStoresSandbox())
    connections = {
        **stage.connections,
        "postgres_default": postgres.airflow_connection(),
        "spiffy_stores_default": shop.airflow_connection(),
    }
    with step("start Airflow (its own home, SQLite)"):
        port = int(os.environ.get("PORT", "0"))
        airflow = stack.enter_context(AirflowServer(connections, stage.gcs.environment(), port=port))
        # The mapped example wants it.
        airflow.home.call([sys.executable, "-m", "airflow", "pools", "set", "custobar", "2", "Custobar's rate limit"])
    print(f"\nAirflow  {airflow.url}  (no login; DAGs are paused until you switch them on; data up to {today})")
    print(f"Custobar {stage.sandbox.url}   S3 {stage.s3.endpoint_url}   GCS {stage.gcs.endpoint_url}")
    print(f"Shop     {shop.url}   PostgreSQL in {postgres.data}   Ctrl-C stops all")
    print(f"Log      {airflow.log_path}", flush=True)
    try:
        airflow.wait()
    except AirflowError as error:
        raise DemoError(str(error)) from error
    return 0


if __name__ == "__main__":
    sys.exit(run_to_the_end(serve))
