"""Events that reach Custobar days late: each night the last three days are exported again, each into its own partition."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator

with DAG(
    dag_id="custobar_late_events",
    schedule=CronDataIntervalTimetable("0 3 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    CustobarToS3Operator(
        task_id="clicks_to_s3",
        resource="events",
        event_types=["MAIL_CLICK"],
        date="{{ ds }}",
        # The API knows when an event happened, not when it arrived. An object is replaced whole, so doing it again is safe.
        lookback=3,
        file_format="jsonl",
        s3_bucket="custobar-exports",
        s3_key="custobar/late/ds={date}/clicks.jsonl",
    )
