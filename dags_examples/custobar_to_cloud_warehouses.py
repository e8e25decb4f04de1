"""The day's files into Redshift, Snowflake and BigQuery, with the tables and schemas that the exports' manifests hold.

Keep the part that you use. Redshift needs the connections ``redshift_default`` and ``aws_redshift_role``; Snowflake needs its
provider, ``snowflake_default``, and a storage integration called ``CUSTOBAR`` that may read the bucket.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pendulum
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.transfers.s3_to_redshift import S3ToRedshiftOperator
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.google.cloud.hooks.gcs import GCSHook
from airflow.providers.google.cloud.transfers.gcs_to_bigquery import GCSToBigQueryOperator
from airflow.sdk import DAG, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_custobar.transfers.custobar_to_gcs import CustobarToGCSOperator
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator

with DAG(
    dag_id="custobar_to_cloud_warehouses",
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 3},
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    sales = CustobarToS3Operator(
        task_id="sales_to_s3",
        resource="sales",
        date="{{ ds }}",
        fields=["external_id", "sale_external_id", "sale_date", "sale_customer_id", "quantity", "total", "tags"],
        file_format="parquet",
        # What Redshift documents for Parquet.
        compression="gzip",
        s3_bucket="custobar-exports",
        s3_key="custobar/warehouse/ds={{ ds }}/sales.parquet",
        manifest="custobar/warehouse/ds={{ ds }}/manifest-of-sales.json",
    )

    @task(multiple_outputs=True)
    def statements(manifest: str) -> dict[str, list[str]]:
        """What makes the tables and removes the day's rows, so that a day may run again; for Snowflake, what loads them too."""
        told = json.loads(S3Hook().read_key(manifest))
        start, end = (
            f"{datetime.fromisoformat(told['window'][edge]).astimezone(UTC):%Y-%m-%d %H:%M:%S}" for edge in ("start", "end")
        )
        redshift, snowflake = told["warehouses"]["redshift"], told["warehouses"]["snowflake"]
        delete = f"DELETE FROM custobar_sales WHERE sale_date >= '{start}' AND sale_date < '{end}'"  # noqa: S608 - both are dates
        return {
            "redshift": [redshift["create_table"], delete],
            "snowflake": [
                "ALTER SESSION SET TIMEZONE = 'UTC'",
                snowflake["create_table"],
                delete,
                # By default, Snowflake skips a file that it has loaded before.
                *(f"{copy} FORCE = TRUE" for copy in snowflake["copy"]),
            ],
        }

    of_sales = statements(sales.output["manifest"])

    prepare_redshift = SQLExecuteQueryOperator(
        task_id="prepare_redshift", conn_id="redshift_default", sql=of_sales["redshift"], split_statements=False
    )

    load_redshift = S3ToRedshiftOperator(
        task_id="load_redshift",
        table="custobar_sales",
        s3_bucket=sales.output["bucket"],
        s3_key="{{ ti.xcom_pull(task_ids='sales_to_s3', key='objects')[0] }}",
        copy_options=["FORMAT AS PARQUET", "SERIALIZETOJSON"],
        # A connection whose extra names a role_arn. Keys, where it has such, would stand in the statement, and in the log.
        aws_conn_id="aws_redshift_role",
    )

    load_snowflake = SQLExecuteQueryOperator(
        task_id="load_snowflake", conn_id="snowflake_default", sql=of_sales["snowflake"], split_statements=False
    )

    events = CustobarToGCSOperator(
        task_id="events_to_gcs",
        resource="events",
        event_types=["BROWSE", "MAIL_OPEN", "MAIL_CLICK"],
        date="{{ ds }}",
        fields=["type", "date", "customer_id", "product_id", "path", "mailing_lists"],
        file_format="jsonl",
        bucket_name="custobar-exports",
        object_name="custobar/warehouse/ds={{ ds }}/events-{part}.jsonl.gz",
        max_rows_per_file=1_000_000,
        manifest="custobar/warehouse/ds={{ ds }}/manifest-of-events.json",
    )

    @task
    def schema_fields(bucket: str, manifest: str) -> list[dict[str, Any]]:
        """The schema as BigQuery has it."""
        told = json.loads(GCSHook().download(bucket, manifest.removeprefix(f"gs://{bucket}/")))
        return told["warehouses"]["bigquery"]["schema_fields"]

    load_bigquery = GCSToBigQueryOperator(
        task_id="load_bigquery",
        bucket=events.output["bucket"],
        # It wants names of objects, and makes the URIs itself.
        source_objects=events.output["objects"],
        schema_fields=schema_fields(events.output["bucket"], events.output["manifest"]),
        autodetect=False,
        source_format="NEWLINE_DELIMITED_JSON",
        compression="GZIP",
        # One partition for each run's day, which is replaced as a whole.
        destination_project_dataset_table="custobar.events${{ ds_nodash }}",
        time_partitioning={"type": "DAY"},
        write_disposition="WRITE_TRUNCATE",
    )

    prepare_redshift >> load_redshift
