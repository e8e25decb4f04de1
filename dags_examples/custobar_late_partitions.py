"""Days that are counted again when, and only when, late events have come for them: a DAG for each day that has changed."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, task

from airflow_provider_custobar.retry_policy import CustobarRetryPolicy
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator

nightly: Any
each_day: Any

clicks = Asset("custobar_clicks", uri="s3://custobar-exports/custobar/partitions")

try:
    from airflow.sdk import CronPartitionTimetable, PartitionedAssetTimetable
except ImportError:  # Airflow 3.1: both have to be started by hand
    nightly = each_day = None
else:
    # The partition of a night's run is the day that has just ended. Take the time zone of the connection.
    nightly = CronPartitionTimetable("0 0 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d")
    each_day = PartitionedAssetTimetable(assets=clicks)

with DAG(
    dag_id="custobar_late_partitions",
    schedule=nightly,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    # One after the other, so that what a run compares with is what the run before it has told.
    max_active_runs=1,
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    CustobarToS3Operator(
        task_id="clicks_to_s3",
        resource="events",
        event_types=["MAIL_CLICK"],
        window="auto",
        # All four days are exported. With Airflow 3.3 the asset gets the partitions of the run's day, and of those that differ.
        lookback=3,
        file_format="jsonl",
        s3_bucket="custobar-exports",
        s3_key="custobar/partitions/ds={date}/clicks.jsonl",
        outlets=[clicks],
        retries=2,
        retry_policy=CustobarRetryPolicy(),
    )

with DAG(
    dag_id="custobar_clicks_of_a_day",
    schedule=each_day,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["custobar", "example"],
    doc_md=__doc__,
):

    @task
    def count_clicks(dag_run: Any = None) -> dict[str, Any]:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        day = dag_run.partition_key
        text = S3Hook().read_key(f"custobar/partitions/ds={day}/clicks.jsonl", "custobar-exports")
        return {"day": day, "clicks": len(text.splitlines())}

    count_clicks()
