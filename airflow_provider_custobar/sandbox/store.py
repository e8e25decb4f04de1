"""All data of the simulated tenant: reading it in order, and taking records in."""

from __future__ import annotations

import functools
import gzip
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_custobar.sandbox.catalogue import RESOURCES, TIMELINES, resource_named
from airflow_provider_custobar.sandbox.data.customers import Customers
from airflow_provider_custobar.sandbox.data.protocol import Generated, Record, Wanted
from airflow_provider_custobar.sandbox.instants import parse_instant, stored, stored_micros
from airflow_provider_custobar.sandbox.table import Table

#: Sorts after every external id that the API allows (letters, digits, dashes).
_LAST = "\uffff"


def instant(timeline: str | None, record: Record) -> int:
    """Return a record's own date in microseconds since 1970; 0 for what has none."""
    return stored_micros(record[timeline]) if timeline in record else 0


def order_key(resource: str, record: Record) -> Any:
    """Return the default order: date for events, else external id, records without one last (our choice)."""
    if resource == "events":
        return instant("date", record)
    return str(record.get("external_id", _LAST))


class Store:
    """The tables, under one lock."""

    def __init__(self, generated: Mapping[str, Generated]) -> None:
        self.lock = threading.RLock()
        self.tables = {
            name: Table(
                generated[name],
                order_key=functools.partial(order_key, name),
                instant=functools.partial(instant, TIMELINES.get(name)),
                known=spec.fields,
            )
            for name, spec in RESOURCES.items()
        }
        #: External ids of customers that were deleted for good (S3).
        self.deleted: set[str] = set()
        self._generated_customers = generated["customers"]
        self._campaigns: dict[str, frozenset[str]] = {}

    def records(self, resource: str) -> Iterator[Record]:
        """Yield the present records in default order; copies, so that nothing can be changed by accident."""
        table = self.tables[resource_named(resource).name]
        with self.lock:
            refs = table.refs(Wanted(), keep=None)
        for ref in refs:
            yield dict(table.resolve(ref))

    def load(self, resource: str, records: Iterable[Mapping[str, Any]], zone: ZoneInfo) -> int:
        """Take records as they are, unknown fields included; a known external id is replaced.

        Values of datetime fields keep their instant and are stored in UTC. A customer's ``campaign_key``
        (a text or a list) is what the filter of that name finds, and is never shown.
        """
        spec = resource_named(resource)
        table = self.tables[resource]
        datetimes = [name for name, kind in spec.fields.items() if kind == "datetime"]
        count = 0
        for count, given in enumerate(records, start=1):
            record = {name: value for name, value in given.items() if value is not None and value != ""}
            for name in datetimes:
                if name in record:
                    record[name] = _stored_datetime(resource, count, name, record[name], zone)
            campaigns = record.pop("campaign_key", None) if resource == "customers" else None
            external_id = record.get("external_id")
            with self.lock:
                if external_id is None or resource == "events":
                    table.add(record)
                else:
                    table.put(str(external_id), record)
                    if campaigns is not None:
                        names = [campaigns] if isinstance(campaigns, str) else campaigns
                        self._campaigns[str(external_id)] = frozenset(map(str, names))
        return count

    def load_lines(self, resource: str, lines: Iterable[str], zone: ZoneInfo, *, source: str) -> int:
        """Load JSON Lines; ``source`` names them in errors."""
        return self.load(resource, _json_lines(source, lines), zone)

    def load_file(self, resource: str, path: Path, zone: ZoneInfo) -> int:
        """Load JSON Lines, gzip-compressed if the name ends in ``.gz``."""
        resource_named(resource)
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as lines:
            return self.load_lines(resource, lines, zone, source=str(path))

    def campaigns_of(self, customer: Record) -> frozenset[str]:
        """Campaigns that a customer took part in."""
        external_id = str(customer.get("external_id", ""))
        if external_id in self._campaigns:
            return self._campaigns[external_id]
        index = self._generated_customers.find(external_id)
        if index is None or not isinstance(self._generated_customers, Customers):
            return frozenset()
        return self._generated_customers.campaigns(index)


def _stored_datetime(resource: str, number: int, name: str, value: Any, zone: ZoneInfo) -> str:
    try:
        return stored(parse_instant(value, zone))
    except (TypeError, ValueError) as err:
        where = f"{resource} record {number}: {name}={value!r}"
        raise ValueError(f"{where}: expected a date or an ISO 8601 datetime") from err


def _json_lines(source: str, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as err:
            raise ValueError(f"{source}, line {number}: not JSON: {err}") from err
        if not isinstance(record, dict):
            raise ValueError(f"{source}, line {number}: expected an object")
        yield record
