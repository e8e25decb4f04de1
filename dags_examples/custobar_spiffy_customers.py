"""The customers of a shop at Spiffy Stores who changed, every day into Custobar."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_custobar.transfers.spiffy_stores_to_custobar import SpiffyStoresToCustobarOperator

with DAG(
    dag_id="custobar_spiffy_customers",
    schedule=CronDataIntervalTimetable("0 3 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    # For all customers, once: leave date out.
    SpiffyStoresToCustobarOperator(
        task_id="customers",
        date="{{ ds }}",
        # So that they cannot be taken for customers of another shop.
        id_prefix="spiffy-",
        # The shop's fields to Custobar's, beside those that are mapped anyway.
        field_mapping={"title": "ACME__title", "last_sign_in_at": None},
        company="acme",
        company_fields=["total_spent", "wholesale"],
        on_invalid="skip",
        retries=3,
    )
