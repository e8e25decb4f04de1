"""Who has unsubscribed, for other systems to know: starts by itself, a minute or so after it happened."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_custobar.retry_policy import CustobarRetryPolicy
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator
from airflow_provider_custobar.triggers.custobar import CustobarNewEventsTrigger

unsubscribes = Asset(
    "custobar_unsubscribes",
    watchers=[
        AssetWatcher(
            name="new_unsubscribes",
            # Runs in the triggerer. What happens while that is down is found when it is back.
            trigger=CustobarNewEventsTrigger(event_types=["MAIL_UNSUBSCRIBE", "SMS_UNSUBSCRIBE"], poke_interval=60),
        )
    ],
)

with DAG(
    dag_id="custobar_new_unsubscribes",
    schedule=[unsubscribes],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["custobar", "example"],
    doc_md=__doc__,
):

    @task
    def periods(triggering_asset_events: Any = None) -> list[dict[str, str]]:
        """The period of each batch of new events that this run is for: there may be several."""
        batches = [event.extra["payload"] for events in triggering_asset_events.values() for event in events]
        return [{"window_start": batch["window_start"], "window_end": batch["window_end"]} for batch in batches]

    # Late events may lie among earlier ones, which are then exported once more, into another object.
    CustobarToS3Operator.partial(
        task_id="unsubscribes_to_s3",
        resource="events",
        event_types=["MAIL_UNSUBSCRIBE", "SMS_UNSUBSCRIBE"],
        file_format="jsonl",
        fields=["type", "date", "customer_id"],
        s3_bucket="custobar-exports",
        s3_key="custobar/unsubscribes/{window_start}-{window_end}.jsonl",
        map_index_template="{{ task.window_start }}",
        retries=3,
        retry_policy=CustobarRetryPolicy(),
    ).expand_kwargs(periods())
