"""Tags for the best customers, after somebody has looked at how many that would change: exactly what was approved goes out."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG

from airflow_provider_custobar.transfers.sql_to_custobar import SqlToCustobarOperator

# The same twice, but for dry_run and expected_digest.
UPLOAD: dict[str, Any] = {
    "conn_id": "postgres_default",
    # In the same order each time: the digest tells one order from another.
    "sql": """
        SELECT sale_customer_id AS external_id, ARRAY['best'] AS "tags.add"
        FROM custobar_sales
        WHERE sale_customer_id IS NOT NULL
        GROUP BY sale_customer_id
        HAVING SUM(total) >= 10000
        ORDER BY sale_customer_id
    """,
    "only_changed": True,
    "state_path": "{{ var.value.get('custobar_state', 'file:///tmp/custobar') }}/best.sqlite",
    "when_removed": {"tags.remove": ["best"]},
    "max_removed": "50%",
}

with DAG(
    dag_id="custobar_upload_approval",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    preview = SqlToCustobarOperator(task_id="preview", dry_run=True, **UPLOAD)

    # Shown under Required Actions. Who rejects it skips the upload.
    approve = ApprovalOperator(
        task_id="approve",
        subject="Tag the best customers?",
        body="""{% set told = ti.xcom_pull(task_ids='preview') %}
| new | changed | no longer there | unchanged | set aside |
|---|---|---|---|---|
| {{ told['new'] }} | {{ told['changed'] }} | {{ told['removed'] }} | {{ told['unchanged'] }} | {{ told['rejected'] }} |

What has changed by the time of the upload is not sent: it fails, and says so.""",
    )

    upload = SqlToCustobarOperator(
        task_id="upload", expected_digest="{{ ti.xcom_pull(task_ids='preview')['digest'] }}", **UPLOAD
    )

    preview >> approve >> upload
