"""What the warehouse knows about customers, back into Custobar as tags, for campaigns to use."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_custobar.transfers.sql_to_custobar import SqlToCustobarOperator

with DAG(
    dag_id="custobar_upload_segments",
    schedule="0 4 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    SqlToCustobarOperator(
        task_id="segments",
        conn_id="postgres_default",
        # Also the name of a .sql file beside this one. In the same order each time, a retry goes on where it stopped.
        sql="""
            SELECT sale_customer_id AS external_id,
                   ARRAY[CASE WHEN SUM(total) >= %(gold)s THEN 'segment-gold' ELSE 'segment-silver' END] AS "tags.add"
            FROM custobar_sales
            WHERE sale_customer_id IS NOT NULL
            GROUP BY sale_customer_id
            ORDER BY sale_customer_id
        """,
        # Money is whole hundredths in Custobar.
        parameters={"gold": 100_00},
    )
