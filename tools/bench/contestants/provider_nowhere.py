"""This provider, resumable, with a store that counts the bytes and keeps none: what it costs without any store's part in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_custobar.stores.protocol import ObjectInfo, State
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator
from tools.bench.contestants.provider import arguments
from tools.bench.contestants.provider_resumable import TaskStateStore
from tools.bench.order import Order


class CountingSink:
    """Takes every write for durable."""

    def __init__(self) -> None:
        self._written = 0

    def write(self, data: bytes | memoryview) -> None:
        self._written += len(data)

    def durable(self) -> tuple[int, State]:
        return self._written, {"bytes": self._written}

    def end(self, metadata: Mapping[str, str]) -> None:
        pass

    def finish(self) -> State:
        return {"bytes": self._written}

    def publish(self) -> None:
        pass

    def abort(self) -> None:
        pass


class CountingTarget:
    uri = "null://object"

    def check(self) -> None:
        pass

    def open(self, info: ObjectInfo) -> CountingSink:
        return CountingSink()

    def reopen(self, info: ObjectInfo, state: State) -> CountingSink:
        raise NotImplementedError

    def sweep(self, info: ObjectInfo, state: State | None = None) -> None:
        pass


class CountingStore:
    def target(self, name: str) -> CountingTarget:
        return CountingTarget()

    def list(self, prefix: str, depth: int | None) -> list[Any]:
        return []

    def remove(self, name: str) -> None:
        pass


class Operator(CustobarToS3Operator):
    def make_store(self) -> Any:
        return CountingStore()


def prepare(order: Order) -> Callable[[], object]:
    operator = Operator(**arguments(order))
    return lambda: operator.execute({"task_state_store": TaskStateStore()})
