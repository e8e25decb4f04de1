"""An export that starts only when the day has brought clicks, and holds no worker while it waits."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_custobar.sensors.custobar import CustobarEventSensor
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator

with DAG(
    dag_id="custobar_wait_for_events",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    clicks_are_there = CustobarEventSensor(
        task_id="clicks_are_there",
        event_types=["MAIL_CLICK"],
        date="{{ ds }}",
        min_events=1,
        deferrable=True,
        poke_interval=300,
        timeout=timedelta(hours=12),
    )

    clicks_to_s3 = CustobarToS3Operator(
        task_id="clicks_to_s3",
        resource="events",
        event_types=["MAIL_CLICK"],
        date="{{ ds }}",
        file_format="csv",
        fields=["type", "date", "customer_id", "email"],
        s3_bucket="custobar-exports",
        s3_key="custobar/clicks/ds={{ ds }}/clicks.csv",
    )

    clicks_are_there >> clicks_to_s3
