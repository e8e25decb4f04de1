"""Every night, everything of several tenants: a group of tasks for each, and a file for each tenant, resource and day.

Needs for each tenant a connection and a pool of two slots (both ``custobar_acme``), as Custobar limits each by itself.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_custobar.operators.export_group import custobar_export_group

with DAG(
    dag_id="custobar_tenants",
    # At midnight the day is over, and each group waits until it is complete.
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["custobar", "example"],
    doc_md=__doc__,
):
    for tenant in ("acme", "globex"):
        custobar_export_group(
            tenant,
            custobar_conn_id=f"custobar_{tenant}",
            pool=f"custobar_{tenant}",
            target="s3://custobar-exports/" + tenant + "/{resource}/ds={date}/{resource}.parquet",
            event_types=["BROWSE", "MAIL_OPEN", "MAIL_CLICK"],
            # Any argument of the exports, for all of them or by resource. A day without sales is no failure here.
            on_empty={"sales": "write"},
        )
