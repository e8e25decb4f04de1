"""The day's events and sales into PostgreSQL, and a look at whether they make sense before anybody counts on them."""

from __future__ import annotations

import pendulum
from airflow.providers.common.sql.operators.sql import SQLColumnCheckOperator, SQLTableCheckOperator
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_custobar.transfers.custobar_to_sql import CustobarToSqlOperator

with DAG(
    dag_id="custobar_to_warehouse",
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 3},
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    # Tables are made if they are missing. A day that runs again replaces its own rows and no others.
    events = CustobarToSqlOperator(
        task_id="events",
        resource="events",
        event_types=["BROWSE", "MAIL_OPEN", "MAIL_CLICK"],
        date="{{ ds }}",
        fields=["type", "date", "customer_id", "product_id", "path", "utm_campaign"],
        column_mapping={"date": "happened_at"},
        conn_id="postgres_default",
        table="custobar_events",
    )

    sales = CustobarToSqlOperator(
        task_id="sales",
        resource="sales",
        date="{{ ds }}",
        fields=["sale_external_id", "sale_date", "sale_customer_id", "product_id", "quantity", "total"],
        conn_id="postgres_default",
        table="custobar_sales",
    )

    events_make_sense = SQLColumnCheckOperator(
        task_id="events_make_sense",
        conn_id="postgres_default",
        table="custobar_events",
        partition_clause="happened_at >= '{{ ds }}'",
        column_mapping={"type": {"null_check": {"equal_to": 0}}, "happened_at": {"null_check": {"equal_to": 0}}},
    )

    sales_make_sense = SQLTableCheckOperator(
        task_id="sales_make_sense",
        conn_id="postgres_default",
        table="custobar_sales",
        partition_clause="sale_date >= '{{ ds }}'",
        checks={
            "there_are_some": {"check_statement": "COUNT(*) > 0"},
            "no_line_twice": {"check_statement": "COUNT(*) = COUNT(DISTINCT external_id)"},
        },
    )

    events >> events_make_sense
    sales >> sales_make_sense
