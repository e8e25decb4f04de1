"""A sandbox asked without a socket, through the same flow that both clients drive; time passes only where a flow waits."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from werkzeug import Request
from werkzeug.test import create_environ

from airflow_provider_custobar.api import flow, paging
from airflow_provider_custobar.api.config import ClientConfig, config_from_connection
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.api.query import Query, build_query
from airflow_provider_custobar.api.responses import Response
from airflow_provider_custobar.export.encoders import make_encoder
from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from tests.windows.scenarios import Piece, Raw, Scenario


@dataclass(frozen=True)
class Export:
    """``body`` is the file, ``marks`` the records in it, ``requests`` how many it took, ``fetched`` what the API sent."""

    body: bytes
    marks: list[str]
    requests: int
    fetched: int


class QuietTenant:
    """The tenant of one scenario."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        trust_day_filter: bool = False,
        arriving: Mapping[int, Sequence[Raw]] = MappingProxyType({}),
    ) -> None:
        """``arriving``: records that are there only after so many requests."""
        self._scenario = scenario
        settings = SandboxSettings(
            rate_limit=None,
            tenant_timezone=scenario.api_zone,
            datetime_style=scenario.style,
            **scenario.quirks,
        )
        self._sandbox = CustobarSandbox(settings, generate=False)
        self._arriving = arriving
        later = {raw.mark for raws in arriving.values() for raw in raws}
        self._sandbox.load(scenario.resource, [self._record(raw) for raw in scenario.raws if raw.mark not in later])
        extra = {"timezone": scenario.tenant_zone, "trust_day_filter": trust_day_filter}
        self._config = config_from_connection(host="https://acme.example", password=self._sandbox.token, extra=extra)

    def pages(self, piece: Piece, *, page_size: int | None = None, after: Position | None = None) -> list[Page]:
        self._sandbox.clear_log()
        return list(self._pages(self._query(piece, page_size), after))

    def _query(self, piece: Piece, page_size: int | None) -> Query:
        scenario = self._scenario
        return build_query(
            scenario.resource,
            fields=scenario.fields,
            event_types=scenario.event_types,
            page_size=page_size or scenario.page_size,
            api_format=scenario.api_format,
            timezone=self._config.timezone,
            trust_day_filter=self._config.trust_day_filter,
            **piece.arguments,
        )

    def export(self, piece: Piece, *, page_size: int | None = None) -> Export:
        scenario, query = self._scenario, self._query(piece, page_size)
        pages = self.pages(piece, page_size=page_size)
        encoder = make_encoder("csv" if scenario.api_format == "csv" else "jsonl", query.api_format, query.fields)
        body = b"".join(map(encoder.encode, pages)) + encoder.finish()
        marks = [self._mark(record) for record in self._read(body)]
        assert len(marks) == sum(page.rows for page in pages)
        return Export(body, marks, len(self._sandbox.requests), sum(page.fetched for page in pages))

    def _pages(self, query: Query, after: Position | None) -> Iterable[Page]:
        now = 0.0
        context = flow.FlowContext(self._config, flow.Pacer(self._config.requests_per_minute), lambda: now, lambda: 0.5)
        steps = paging.pages(context, query, after)
        outcome: flow.Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration:
                return
            outcome = None
            if isinstance(step, flow.Request):
                outcome = _answer(self._sandbox, self._config, step)
                arrived = self._arriving.get(len(self._sandbox.requests), ())
                self._sandbox.load(self._scenario.resource, map(self._record, arrived))
            elif isinstance(step, flow.Wait):
                assert not step.reason, step.reason
                now += step.seconds
            else:
                yield step

    def _record(self, raw: Raw) -> dict[str, Any]:
        when = raw.instant.isoformat()
        if self._scenario.resource == "events":
            return {"type": raw.kind, "date": when, "path": f"{raw.mark}|{raw.text}", "customer_id": "1"}
        text = f"{raw.mark}|{raw.text}"
        return {"external_id": raw.mark, "sale_external_id": raw.mark, "sale_date": when, "product_id": text, "total": 5}

    def _read(self, body: bytes) -> list[dict[str, Any]]:
        if self._scenario.api_format == "csv":
            return list(csv.DictReader(io.StringIO(body.decode(), newline="")))
        return [json.loads(line) for line in body.split(b"\n") if line]

    def _mark(self, record: dict[str, Any]) -> str:
        """A record's mark, once the record is found to be whole and to have no field that nobody asked for."""
        scenario = self._scenario
        mark, text = record["path" if scenario.resource == "events" else "product_id"].split("|", 1)
        assert text == scenario.raws[int(mark[1:])].text
        if scenario.fields is not None and not self._config.trust_day_filter:
            assert (scenario.timestamp in record) is (scenario.timestamp in scenario.fields)
        return mark


def _answer(sandbox: CustobarSandbox, config: ClientConfig, request: flow.Request) -> Response:
    parts = urlsplit(request.url)
    environ = create_environ(
        parts.path,
        f"{parts.scheme}://{parts.netloc}",
        query_string=parts.query,
        headers={"Authorization": config.authorization},
    )
    response = sandbox.handle(Request(environ))
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status_code, headers, response.get_data())
