"""Customers from files to Custobar, every night: only those that have changed, and the bad rows in a file of their own."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_custobar.transfers.s3_to_custobar import S3ToCustobarOperator

# Where the bad rows go, and what is remembered from night to night: in production, an object store's URL.
STATE = "{{ var.value.get('custobar_state', 'file:///tmp/custobar') }}"

with DAG(
    dag_id="custobar_upload_files",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    S3ToCustobarOperator(
        task_id="customers",
        s3_bucket="custobar-exports",
        # All files of the night, in the order of their names; CSV, JSON Lines or Parquet, plain or packed, by their endings.
        s3_key="incoming/customers/*.csv.gz",
        field_mapping={"Member": "external_id", "Mail": "email", "Newsletter": "can_email"},
        on_invalid="skip",
        rejects_path=STATE + "/rejected-customers.jsonl",
        # A digest of each row from night to night: what is as it was is not sent again.
        only_changed=True,
        state_path=STATE + "/customers.sqlite",
        # Twenty of them are read back and compared. Custobar imports later than it answers, so a minute is a better choice.
        verify="sample",
        verify_delay=1,
    )
