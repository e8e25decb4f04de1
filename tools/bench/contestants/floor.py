"""The floor: the pages' bytes as they come, handed to boto3. A result nobody could use, for the least that a copy costs."""

from __future__ import annotations

from collections.abc import Callable

from tools.bench.contestants import s3
from tools.bench.contestants.raw_pages import RawPages
from tools.bench.order import Order


def prepare(order: Order) -> Callable[[], object]:
    return lambda: s3.client(order).upload_fileobj(RawPages(order), order.bucket, order.key)
