"""Customers from anywhere to Custobar: a task returns rows, the operator checks and sends them."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_custobar.operators.custobar import CustobarUploadOperator

with DAG(
    dag_id="custobar_upload_customers",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    tags=["custobar", "example"],
    doc_md=__doc__,
):

    @task
    def new_members() -> list[dict[str, object]]:
        """Stands for your own source; XCom is for small lists."""
        return [
            {"member_no": "M-1001", "mail": "aino@example.com", "city": "Turku", "can_email": True},
            {"member_no": "M-1002", "mail": "väinö@example.com", "city": "Oulu", "can_email": False},
            # Without a member number this row would change every customer who has that address: it is set aside.
            {"mail": "shared@example.com", "city": "Espoo"},
        ]

    CustobarUploadOperator(
        task_id="upload",
        records=new_members(),
        field_mapping={"member_no": "external_id", "mail": "email"},
        # The default, "fail", sends nothing at all while any row is bad. The reasons are in the log; with rejects_path, the
        # rejected rows and their reasons are written to an object as well.
        on_invalid="skip",
    )
