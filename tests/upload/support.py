"""Small helpers for the upload tests: a list in place of a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import PayloadTooLargeError
from airflow_provider_custobar.api.flow import FlowContext, Pacer, Request, upload
from airflow_provider_custobar.api.resources import Resource
from airflow_provider_custobar.upload import plan
from airflow_provider_custobar.upload.changes import Changes
from airflow_provider_custobar.upload.journal import Journal
from airflow_provider_custobar.upload.options import UploadOptions
from airflow_provider_custobar.upload.plan import UploadPlan
from airflow_provider_custobar.upload.results import UploadResult
from airflow_provider_custobar.upload.rows import Rejected
from airflow_provider_custobar.upload.uploader import Upload

#: The smallest good row of each resource.
GOOD: dict[str, dict[str, Any]] = {
    "customers": {"external_id": "1"},
    "events": {"type": "BROWSE", "date": "2026-02-01T10:00:00Z", "customer_id": "1"},
    "sales": {"sale_external_id": "1000", "sale_date": "2026-02-01", "sale_customer_id": "1"},
    "products": {"external_id": "1", "price": 1990},
    "shops": {"external_id": "1"},
}


def customer(number: int, **values: Any) -> dict[str, Any]:
    return {"external_id": f"C-{number}", **values}


class Sent:
    """A list of batches in place of a server; refuses bodies over ``most_bytes`` with 413, as a server does."""

    def __init__(self, most_bytes: int | None = None) -> None:
        self.batches: list[list[bytes]] = []
        self.refused: list[int] = []
        self.most_bytes = most_bytes

    def __call__(self, rows: Sequence[bytes], may_repeat: bool = True) -> str | None:
        assert rows, "an empty batch"
        if self.most_bytes is not None and sum(map(len, rows)) > self.most_bytes:
            self.refused.append(len(rows))
            raise PayloadTooLargeError("too large", status=413, reason="too large")
        self.batches.append(list(rows))
        return f"run-{len(self.batches)}"

    @property
    def rows(self) -> list[Any]:
        return [json.loads(row) for batch in self.batches for row in batch]

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


class Store:
    """Airflow's store as far as tasks see it: JSON values, copied."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str) -> Any:
        return json.loads(self.values[key]) if key in self.values else None

    def set(self, key: str, value: Any) -> None:
        assert len(json.dumps(value)) < 65_535
        self.values[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


def build_plan(resource: str = "customers", **options: Any) -> UploadPlan:
    return plan.build_plan(UploadOptions(resource=resource, **options))


def run(
    rows: Iterable[object] | Callable[[], Iterable[object]],
    *,
    send: Any = None,
    journal: Journal | None = None,
    changes: Changes | None = None,
    destination: str = "https://acme.custobar.com",
    **options: Any,
) -> tuple[UploadResult, Sent, list[Rejected]]:
    """Upload ``rows`` with a plan of these options; return the result, what was sent and what was rejected."""
    send = Sent() if send is None else send
    rejected: list[Rejected] = []
    upload = Upload(
        rows=rows() if callable(rows) else rows,
        place_of=getattr(rows, "place_of", None),
        plan=build_plan(**options),
        destination=destination,
        send=send,
        reject=rejected.append,
        journal=journal or Journal(None),
        changes=changes,
    )
    return upload.run(), send, rejected


def body_of(resource: Resource, rows: Sequence[bytes]) -> bytes:
    """The body that the client's own flow makes of a batch."""
    context = FlowContext(
        ClientConfig(base_url="https://acme.custobar.com", authorization="Token x"), Pacer(60_000), lambda: 0.0
    )
    steps = upload(context, resource, rows)
    step = next(steps)
    while not isinstance(step, Request):
        step = steps.send(None)
    assert step.body is not None
    return step.body
