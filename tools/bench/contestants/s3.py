"""The plain boto3 client that contestants without Airflow use."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from tools.bench.order import Order


def client(order: Order) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=order.s3_url,
        aws_access_key_id=order.s3_access_key,
        aws_secret_access_key=order.s3_secret_key,
        region_name=order.s3_region,
        config=Config(s3={"addressing_style": "path"}),
    )
