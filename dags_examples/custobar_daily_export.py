"""Every day, all four Custobar resources to S3 and GCS, one partition a day.

Needs the connections ``custobar_default``, ``aws_default`` and ``google_cloud_default``, and the two buckets. However a run is
started, by its schedule, the Trigger button, the API or an asset, it exports the last day that was over by then.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Asset
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_provider_custobar.retry_policy import CustobarRetryPolicy
from airflow_provider_custobar.sensors.custobar import CustobarEventSensor
from airflow_provider_custobar.transfers.custobar_to_gcs import CustobarToGCSOperator
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator

S3_BUCKET = "custobar-exports"
GCS_BUCKET = "custobar-exports"
# Where days begin and end: that of the Custobar connection.
TIMEZONE = "UTC"

with DAG(
    dag_id="custobar_daily_export",
    schedule=CronTriggerTimetable("@daily", timezone=TIMEZONE),
    start_date=pendulum.datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
    # Each task keeps its own pace, and Custobar limits them all together: let them come one after the other.
    max_active_tasks=1,
    # What may pass is tried again, when the server says so; the next attempt goes on where the last one stopped (Airflow 3.3).
    default_args={"retries": 3, "retry_policy": CustobarRetryPolicy()},
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    # The API cannot filter customers and products by date: these two are snapshots of the day they are taken.
    CustobarToS3Operator(
        task_id="customers_to_s3",
        resource="customers",
        fields=["external_id", "email", "first_name", "last_name", "city", "country", "can_email", "date_joined"],
        s3_bucket=S3_BUCKET,
        s3_key="custobar/customers/ds={{ (dag_run.logical_date or dag_run.run_after) | ds }}/customers.csv.gz",
        outlets=[Asset(f"s3://{S3_BUCKET}/custobar/customers")],
    )

    CustobarToGCSOperator(
        task_id="products_to_gcs",
        resource="products",
        file_format="jsonl",
        bucket_name=GCS_BUCKET,
        object_name="custobar/products/ds={{ (dag_run.logical_date or dag_run.run_after) | ds }}/products.jsonl.gz",
        outlets=[Asset(f"gs://{GCS_BUCKET}/custobar/products")],
    )

    # Events may arrive a little late: wait for one from behind the day's end, or for two hours.
    day_is_complete = CustobarEventSensor(
        task_id="day_is_complete",
        event_types=["MAIL_OPEN", "BROWSE"],
        window="auto",
        wait_for="complete",
        settle=timedelta(hours=2),
        deferrable=True,
        poke_interval=300,
        timeout=timedelta(hours=6),
    )

    # Sales and events: exactly the day.
    sales = CustobarToS3Operator(
        task_id="sales_to_s3",
        resource="sales",
        window="auto",
        fields=[
            "sale_external_id",
            "sale_date",
            "sale_customer_id",
            "external_id",
            "product_id",
            "quantity",
            "unit_price",
            "total",
        ],
        s3_bucket=S3_BUCKET,
        s3_key="custobar/sales/ds={date}/sales.csv",
        outlets=[Asset(f"s3://{S3_BUCKET}/custobar/sales")],
    )

    events = CustobarToS3Operator(
        task_id="events_to_s3",
        resource="events",
        event_types=["MAIL_OPEN", "MAIL_CLICK", "BROWSE", "BASKET_ADD"],
        window="auto",
        file_format="jsonl",
        s3_bucket=S3_BUCKET,
        s3_key="custobar/events/ds={date}/events.jsonl.gz",
        outlets=[Asset(f"s3://{S3_BUCKET}/custobar/events")],
    )

    # A day without anyone unsubscribing is a good day: no empty object is wanted for it.
    unsubscribes = CustobarToGCSOperator(
        task_id="unsubscribes_to_gcs",
        resource="events",
        event_types="MAIL_UNSUBSCRIBE",
        window="auto",
        file_format="json",
        on_empty="skip",
        bucket_name=GCS_BUCKET,
        object_name="custobar/unsubscribes/ds={date}/unsubscribes.json",
        outlets=[Asset(f"gs://{GCS_BUCKET}/custobar/unsubscribes")],
    )

    day_is_complete >> [sales, events, unsubscribes]
