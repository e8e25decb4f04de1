"""Any days, any event types: one mapped task for each pair of them, together no faster than Custobar allows.

Needs a pool, since each task keeps only its own pace: ``airflow pools set custobar 2 "Custobar's rate limit"``.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Param, task

from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator

with DAG(
    dag_id="custobar_mapped_export",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={
        "first_day": Param(None, type=["null", "string"], format="date", description="Three days, if left empty"),
        "last_day": Param(None, type=["null", "string"], format="date", description="Yesterday, if left empty"),
    },
    tags=["custobar", "example"],
    doc_md=__doc__,
):

    @task
    def days(params: dict[str, str | None]) -> list[str]:
        """Every day from the first to the last."""
        last = pendulum.parse(params["last_day"]) if params["last_day"] else pendulum.yesterday("UTC")
        first = pendulum.parse(params["first_day"]) if params["first_day"] else last.subtract(days=2)
        return [day.to_date_string() for day in pendulum.interval(first, last).range("days")]

    CustobarToS3Operator.partial(
        task_id="events_to_s3",
        resource="events",
        file_format="jsonl",
        s3_bucket="custobar-exports",
        s3_key="custobar/mapped/type={event_types}/ds={date}/events.jsonl.gz",
        # What tells the mapped tasks apart in the UI: "MAIL_CLICK 2026-02-18".
        map_index_template="{{ task.event_types[0] }} {{ task.date }}",
        # Two tasks at 60 requests a minute each stay under the 180 a minute that Custobar is known to allow.
        pool="custobar",
    ).expand(event_types=[["MAIL_OPEN"], ["MAIL_CLICK"]], date=days())
