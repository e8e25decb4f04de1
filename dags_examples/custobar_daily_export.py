"""Every day, all four Custobar resources to S3 and GCS, one partition a day.

Needs the connections ``custobar_default``, ``aws_default`` and ``google_cloud_default``, and the two buckets.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_custobar.transfers.custobar_to_gcs import CustobarToGCSOperator
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator

S3_BUCKET = "custobar-exports"
GCS_BUCKET = "custobar-exports"

with DAG(
    dag_id="custobar_daily_export",
    # With a data interval, ds is the day that has just ended. Plain "@daily" would make it the day that has just begun.
    # 02:00 leaves two hours for events that arrive late.
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    # Each task keeps its own pace, and Custobar limits them all together: let them come one after the other.
    max_active_tasks=1,
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    # The API cannot filter customers and products by date: these two are snapshots of the day they are taken.
    CustobarToS3Operator(
        task_id="customers_to_s3",
        resource="customers",
        fields=["external_id", "email", "first_name", "last_name", "city", "country", "can_email", "date_joined"],
        s3_bucket=S3_BUCKET,
        s3_key="custobar/customers/ds={{ ds }}/customers.csv.gz",
    )

    CustobarToGCSOperator(
        task_id="products_to_gcs",
        resource="products",
        file_format="jsonl",
        bucket_name=GCS_BUCKET,
        object_name="custobar/products/ds={{ ds }}/products.jsonl.gz",
    )

    # Sales and events: exactly the day, in the time zone that the Custobar connection names.
    CustobarToS3Operator(
        task_id="sales_to_s3",
        resource="sales",
        date="{{ ds }}",
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
        s3_key="custobar/sales/ds={{ ds }}/sales.csv",
    )

    CustobarToS3Operator(
        task_id="events_to_s3",
        resource="events",
        event_types=["MAIL_OPEN", "MAIL_CLICK", "BROWSE", "BASKET_ADD"],
        date="{{ ds }}",
        file_format="jsonl",
        s3_bucket=S3_BUCKET,
        s3_key="custobar/events/ds={{ ds }}/events.jsonl.gz",
    )

    # A day without anyone unsubscribing is a good day: no empty object is wanted for it.
    CustobarToGCSOperator(
        task_id="unsubscribes_to_gcs",
        resource="events",
        event_types="MAIL_UNSUBSCRIBE",
        date="{{ ds }}",
        file_format="json",
        on_empty="skip",
        bucket_name=GCS_BUCKET,
        object_name="custobar/unsubscribes/ds={{ ds }}/unsubscribes.json",
    )
