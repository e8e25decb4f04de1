"""Uploaded rows become records, at once or after the delay of the settings (S3, S7, S12, S13, S14)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from airflow_provider_custobar.sandbox.catalogue import Resource
from airflow_provider_custobar.sandbox.clock import Clock
from airflow_provider_custobar.sandbox.customer_changes import CustomerChanges
from airflow_provider_custobar.sandbox.data.protocol import Record
from airflow_provider_custobar.sandbox.rows import Change, RowError, check_identity, read_row
from airflow_provider_custobar.sandbox.settings import SandboxSettings
from airflow_provider_custobar.sandbox.store import Store

#: Events that turn a permission on or off (S13): type -> permission, and whether it is allowed.
_PERMISSION_EVENTS = {
    "MAIL_SUBSCRIBE": ("can_email", True),
    "MAIL_UNSUBSCRIBE": ("can_email", False),
    "SMS_SUBSCRIBE": ("can_sms", True),
    "SMS_UNSUBSCRIBE": ("can_sms", False),
}


@dataclass
class UploadRecord:
    """One scheduled import; ``accepted``, ``errors`` and ``ignored`` are filled in when it has run."""

    run_id: str
    resource: str
    rows: list[Record]
    accepted: int = 0
    #: Position in the upload and the reason.
    errors: list[tuple[int, str]] = field(default_factory=list)
    #: Field names that were dropped because nobody configured them.
    ignored: list[str] = field(default_factory=list)
    done: bool = False


@dataclass(frozen=True)
class _Scheduled:
    due_at: float
    resource: Resource
    as_text: bool
    record: UploadRecord


class Imports:
    """The queue of imports and the log of all of them."""

    def __init__(self, store: Store, clock: Clock, settings: SandboxSettings, *, salt: str) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._salt = salt
        self._customers = CustomerChanges(store)
        self._queue: list[_Scheduled] = []
        self.log: list[UploadRecord] = []
        self._runs = 0

    def schedule(self, resource: Resource, rows: list[Record], *, as_text: bool) -> UploadRecord:
        """Queue an upload; with no delay it runs before this returns."""
        with self._store.lock:
            self._runs += 1
            run_id = hashlib.sha256(f"{self._salt}:run {self._runs}".encode()).hexdigest()[:16]
            record = UploadRecord(run_id, resource.name, rows)
            due_at = self._clock.monotonic() + self._settings.import_delay_s
            self._queue.append(_Scheduled(due_at, resource, as_text, record))
            self.log.append(record)
        self.run_due()
        return record

    def run_due(self) -> None:
        """Run every import whose time has come, in order of arrival."""
        with self._store.lock:
            now = self._clock.monotonic()
            due = [scheduled for scheduled in self._queue if scheduled.due_at <= now]
            self._queue = [scheduled for scheduled in self._queue if scheduled.due_at > now]
            for scheduled in due:
                self._run(scheduled)

    def clear_log(self) -> None:
        """Forget the imports that have run."""
        with self._store.lock:
            self.log = [record for record in self.log if not record.done]

    def _run(self, scheduled: _Scheduled) -> None:
        log, resource, settings = scheduled.record, scheduled.resource, self._settings
        zone, ignored = ZoneInfo(settings.tenant_timezone), set()
        changes: list[tuple[int, Change]] = []
        for position, row in enumerate(log.rows):
            try:
                change = read_row(resource, row, zone=zone, strict=settings.strict_rows, as_text=scheduled.as_text)
            except RowError as err:
                log.errors.append((position, str(err)))
            else:
                changes.append((position, change))
        self._fill_in_what_is_common(resource, [change for _, change in changes])
        for position, change in changes:
            try:
                check_identity(resource, change)
                self._apply(resource, change)
            except RowError as err:
                log.errors.append((position, str(err)))
            else:
                log.accepted += 1
                ignored.update(change.ignored)
        log.errors.sort()
        log.ignored = sorted(ignored)
        log.done = True

    def _fill_in_what_is_common(self, resource: Resource, changes: list[Change]) -> None:
        """Give each row of a sale what any row of the upload, or the sale as it is known from before, has for all of them."""
        by, table = resource.common_by, self._store.tables[resource.name]
        if by is None:
            return
        prefix = by[: by.index("_") + 1]
        common: dict[str, Record] = {}
        mine = [(change.values[by], change) for change in changes if by in change.values]
        for name in dict.fromkeys(name for name, _ in mine):
            known = [table.get(key) or {} for key in table.keys_with(by, name)]
            common[name] = {field: record[field] for record in known for field in record if field.startswith(prefix)}
        for name, change in mine:
            common[name] |= {field: value for field, value in change.values.items() if field.startswith(prefix)}
        for name, change in mine:
            change.values = {
                field: value for field, value in common[name].items() if field not in change.removed
            } | change.values

    def _apply(self, resource: Resource, change: Change) -> None:
        if resource.name == "customers":
            self._customers.upsert(change)
        elif resource.name == "events":
            self._event(resource, change)
        elif resource.name == "sales":
            self._sale(resource, change)
        else:
            self._keyed(resource, change)

    def _event(self, resource: Resource, change: Change) -> None:
        """Append; events have no id, so that sending one twice makes two."""
        values = change.values
        _require(resource, values)
        if values["type"] != values["type"].upper():
            raise RowError(f"type={values['type']!r}: expected upper case")
        self._store.tables["events"].add(values)
        if "customer_token" in values and len(values.keys() & set(resource.identifiers)) == 1:
            keys = self._customers.with_token(values["customer_token"])
        else:
            keys = self._customers.touch(
                external_id=values.get("customer_id"),
                email=values.get("email"),
                phone_number=values.get("phone_number"),
            )
        if values["type"] not in _PERMISSION_EVENTS:
            return
        permission, allowed = _PERMISSION_EVENTS[values["type"]]
        lists = values.get("mailing_lists")
        # Leaving single lists keeps the permission, leaving without naming one withdraws it (our choice).
        if allowed or not lists:
            self._customers.set_permission(keys, permission, allowed=allowed)
        if lists:
            self._customers.edit_lists(keys, lists, subscribe=allowed)

    def _sale(self, resource: Resource, change: Change) -> None:
        """Upsert by row id; a row without one is a new row each time (our choice)."""
        values, table = change.values, self._store.tables["sales"]
        _require(resource, values)
        external_id = values.get("external_id")
        if external_id is None:
            table.add(change.applied_to({}))
        else:
            table.put(external_id, change.applied_to(table.get(external_id) or {}))
        self._customers.touch(
            external_id=values.get("sale_customer_id"),
            email=values.get("sale_email"),
            phone_number=values.get("sale_phone_number"),
        )

    def _keyed(self, resource: Resource, change: Change) -> None:
        """Upsert a product or a shop; a product without external id is looked for by SKU, then EAN (S12)."""
        values, table = change.values, self._store.tables[resource.name]
        key = values.get("external_id")
        for name in ("sku", "ean"):
            if key is None and name in values:
                key = next(iter(table.keys_with(name, values[name])), None)
        present = table.get(key) if key is not None else None
        if present is None:
            _require(resource, values)
        record = change.applied_to(present or {})
        if key is None:
            table.add(record)
        else:
            table.put(key, record)


def _require(resource: Resource, values: Record) -> None:
    for name in resource.mandatory:
        if name not in values:
            raise RowError(f"no {name}, which is mandatory for {resource.name}")
