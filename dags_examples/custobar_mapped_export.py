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
        "first_day": Param("2026-02-18", type="string", format="date"),
        "last_day": Param("2026-02-20", type="string", format="date"),
    },
    tags=["custobar", "example"],
    doc_md=__doc__,
):

    @task
    def days(params: dict[str, str]) -> list[str]:
        """Every day from the first to the last."""
        first, last = pendulum.Date.fromisoformat(params["first_day"]), pendulum.Date.fromisoformat(params["last_day"])
        return [day.isoformat() for day in pendulum.interval(first, last).range("days")]

    CustobarToS3Operator.partial(
        task_id="events_to_s3",
        resource="events",
        file_format="jsonl",
        s3_bucket="custobar-exports",
        s3_key="custobar/mapped/type={event_types}/ds={date}/events.jsonl.gz",
        # Two tasks at 60 requests a minute each stay under the 180 a minute that Custobar is known to allow.
        pool="custobar",
    ).expand(event_types=[["MAIL_OPEN"], ["MAIL_CLICK"]], date=days())
