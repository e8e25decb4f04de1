"""This provider, through ``execute`` of its operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# What the operator imports when it runs.
import boto3.s3.transfer  # noqa: F401
from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # noqa: F401

from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator
from tools.bench.event_rows import FIELDS
from tools.bench.order import Order


def prepare(order: Order) -> Callable[[], object]:
    return prepare_with_context(order, {})


def prepare_with_context(order: Order, context: dict[str, Any]) -> Callable[[], object]:
    operator = CustobarToS3Operator(
        task_id="export",
        resource="events",
        event_types="BROWSE",
        date=order.day,
        fields=FIELDS if order.page_format == "csv" else None,
        file_format=order.file_format,
        api_format=order.page_format,
        s3_bucket=order.bucket,
        s3_key=order.key,
    )
    return lambda: operator.execute(context)
