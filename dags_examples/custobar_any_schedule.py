"""New events every hour, whatever makes the run: the clock, a person, an asset or a backfill."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator

with DAG(
    dag_id="custobar_any_schedule",
    # Airflow 3 gives runs of "@hourly" a data interval of no length. window="auto" knows that and takes the hour before.
    schedule="@hourly",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    CustobarToS3Operator(
        task_id="events_to_s3",
        resource="events",
        event_types=["BROWSE", "BASKET_ADD"],
        # The partition, the data interval, the schedule's last period, or the day before: the log tells which, and why.
        window="auto",
        file_format="jsonl",
        s3_bucket="custobar-exports",
        # {date} and {window_start} are filled in by the operator, so they are there in runs that have no ds.
        s3_key="custobar/hourly/ds={date}/events-{window_start}.jsonl",
    )
