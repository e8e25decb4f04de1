"""What the warehouse knows about customers, back into Custobar as tags; who leaves a segment loses its tag."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_custobar.transfers.sql_to_custobar import SqlToCustobarOperator

# Money is whole hundredths in Custobar.
SEGMENTS = {"silver": (0, 100_00), "gold": (100_00, 1_000_000_000_00)}

with DAG(
    dag_id="custobar_upload_segments",
    schedule="0 4 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    for segment, (least, below) in SEGMENTS.items():
        SqlToCustobarOperator(
            task_id=segment,
            conn_id="postgres_default",
            # Also the name of a .sql file beside this one. In the same order each time, a retry goes on where it stopped.
            sql="""
                SELECT sale_customer_id AS external_id, ARRAY[%(tag)s] AS "tags.add"
                FROM custobar_sales
                WHERE sale_customer_id IS NOT NULL
                GROUP BY sale_customer_id
                HAVING SUM(total) >= %(least)s AND SUM(total) < %(below)s
                ORDER BY sale_customer_id
            """,
            parameters={"tag": f"segment-{segment}", "least": least, "below": below},
            # Who was there the last time is kept here: with more than one worker, a place that all of them can reach (s3://...).
            only_changed=True,
            state_path="{{ var.value.get('custobar_state', 'file:///tmp/custobar') }}" + f"/segment-{segment}.sqlite",
            when_removed={"tags.remove": [f"segment-{segment}"]},
            max_removed="20%",
        )
