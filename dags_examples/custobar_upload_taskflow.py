"""Rows that a function makes, sent to Custobar: here the loyalty level of each customer of the shop, from what was bought."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pendulum
from airflow.sdk import dag, task

from airflow_provider_custobar.hooks.custobar import CustobarHook


@dag(
    dag_id="custobar_upload_taskflow",
    schedule="0 5 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["custobar", "example"],
    doc_md=__doc__,
)
def custobar_upload_taskflow() -> None:
    @task.custobar_upload(resource="customers", batch_size=200)
    def loyalty(day: str) -> Iterator[dict[str, Any]]:
        spent: dict[str, int] = {}
        for sale in CustobarHook().get_records("sales", date=day):
            if sale.get("sale_customer_id"):
                spent[sale["sale_customer_id"]] = spent.get(sale["sale_customer_id"], 0) + (sale.get("total") or 0)
        # In the same order each time, a retry goes on where it stopped.
        for customer, total in sorted(spent.items()):
            # Money is whole hundredths in Custobar.
            yield {"external_id": customer, "tags.add": ["big-spender" if total >= 100_00 else "buyer"]}

    loyalty("{{ ds }}")


custobar_upload_taskflow()
