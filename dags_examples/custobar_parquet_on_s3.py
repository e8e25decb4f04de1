"""The day's sales as Parquet on S3, read where they lie by DuckDB and by ClickHouse's engine (``pip install duckdb chdb``)."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.sdk import DAG, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator

with DAG(
    dag_id="custobar_parquet_on_s3",
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    sales = CustobarToS3Operator(
        task_id="sales",
        resource="sales",
        date="{{ ds }}",
        file_format="parquet",
        s3_bucket="custobar-exports",
        s3_key="custobar/parquet/sales/ds={{ ds }}/{part}.parquet",
        max_rows_per_file=10,
    )

    @task
    def best_customers(uris: list[str]) -> list[list[Any]]:
        """The ten customers who bought for most, and for how much, by DuckDB over all files."""
        import duckdb
        from fsspec.implementations.arrow import ArrowFSWrapper
        from pyarrow.fs import S3FileSystem

        hook = S3Hook()
        keys = hook.get_credentials()
        files = S3FileSystem(
            access_key=keys.access_key,
            secret_key=keys.secret_key,
            session_token=keys.token,
            region=hook.region_name,
            endpoint_override=hook.conn_config.endpoint_url,
        )
        with duckdb.connect() as connection:
            # Where DuckDB may fetch its extension httpfs, a secret of type S3 does as well.
            connection.register_filesystem(ArrowFSWrapper(files))
            query = """
                SELECT sale_customer_id, sum(total)::BIGINT AS spent FROM read_parquet(?)
                WHERE sale_customer_id IS NOT NULL GROUP BY 1 ORDER BY spent DESC, 1 LIMIT 10
            """
            return [list(row) for row in connection.execute(query, [uris]).fetchall()]

    @task
    def each(names: list[str]) -> list[str]:
        """Airflow maps over what a task returns, and not over one of its keys: this makes the one the other."""
        return names

    @task
    def look_into(bucket: str, name: str) -> dict[str, Any]:
        """One file's rows and its first and last sale, by ClickHouse's engine."""
        import json

        import chdb

        hook = S3Hook()
        keys = hook.get_credentials()
        place = hook.conn_config.endpoint_url or f"https://s3.{hook.region_name}.amazonaws.com"
        table = f"s3('{place}/{bucket}/{name}', '{keys.access_key}', '{keys.secret_key}', 'Parquet')"
        query = f"SELECT count() AS n, toString(min(sale_date)) AS first, toString(max(sale_date)) AS last FROM {table}"  # noqa: S608
        return json.loads(str(chdb.query(query, "JSONEachRow")))

    best_customers(sales.output["uris"])
    look_into.partial(bucket=sales.output["bucket"]).expand(name=each(sales.output["objects"]))
