"""How uploads, sales and events change customers (S3, S13, S17, S20)."""

from __future__ import annotations

import hashlib
from typing import Any

from airflow_provider_custobar.sandbox.data.protocol import Record
from airflow_provider_custobar.sandbox.rows import Change, RowError
from airflow_provider_custobar.sandbox.store import Store

#: Permissions are false unless given when a customer is created (S3).
_PERMISSIONS = ("can_email", "can_post", "can_profile", "can_push", "can_sms")
#: What remains of a customer made anonymous; S3 names the effect, not the fields (our choice).
_ANONYMOUS = ("external_id", "cb_token", "registered_user", "date_joined", "is_forgotten")


class CustomerChanges:
    """Changes customers of a store; the caller holds the store's lock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._table = store.tables["customers"]
        self._created = 0

    def upsert(self, change: Change) -> None:
        """Apply a row: to the customer with its external id, else to every one with its e-mail (S17)."""
        external_id = change.values.get("external_id")
        if external_id is None:
            keys = self._matching(change.values)
        elif external_id in self._store.deleted:
            raise RowError(f"external_id={external_id!r}: the customer was deleted for good")
        elif self._table.get(external_id) is not None:
            keys = [external_id]
        else:
            # Real data promotes a customer that a sale or an event made up (S20).
            keys = self._made_up(change.values)[:1]
        for key in keys or [""]:
            self._write(key, change)

    def touch(self, *, external_id: str | None, email: str | None, phone_number: str | None) -> list[str]:
        """Return the keys of a sale's or event's customer; an unknown one is made up, unregistered (S20)."""
        given = {"external_id": external_id, "email": email, "phone_number": phone_number}
        values = {name: value for name, value in given.items() if value is not None}
        if external_id is not None:
            if external_id in self._store.deleted:
                return []
            if self._table.get(external_id) is not None:
                return [external_id]
        else:
            keys = self._matching(values)
            if keys:
                return keys
        if not values:
            return []
        return [self._put("", self._new(values) | {"registered_user": False})]

    def with_token(self, token: str) -> list[str]:
        """Return the customer that an event's customer_token names (S13)."""
        return self._table.keys_with("cb_token", token)

    def set_permission(self, keys: list[str], name: str, *, allowed: bool) -> None:
        """Turn a permission on or off."""
        for key in keys:
            self._put(key, (self._table.get(key) or {}) | {name: allowed})

    def edit_lists(self, keys: list[str], names: list[str], *, subscribe: bool) -> None:
        """Put customers on mailing lists or take them off."""
        change = Change()
        (change.added if subscribe else change.taken_out)["mailing_lists"] = names
        for key in keys:
            self._put(key, change.applied_to(self._table.get(key) or {}))

    def _matching(self, values: Record) -> list[str]:
        # By e-mail as documented; by phone number for rows without a known e-mail (our choice).
        for name in ("email", "phone_number"):
            keys = self._table.keys_with(name, values[name]) if name in values else []
            if keys:
                return keys
        return []

    def _made_up(self, values: Record) -> list[str]:
        return [
            key
            for key in self._matching(values)
            if (record := self._table.get(key)) is not None
            and "external_id" not in record
            and record.get("registered_user") is False
        ]

    def _write(self, key: str, change: Change) -> None:
        present = self._table.get(key) if key else None
        record = change.applied_to(self._new({}) if present is None else present)
        if record.pop("is_deleted", False) is True:
            if present is not None:
                self._table.remove(key)
            if "external_id" in record:
                self._store.deleted.add(record["external_id"])
            return
        if record.get("is_forgotten") is True or (present or {}).get("is_forgotten") is True:
            record = {name: value for name, value in record.items() if name in _ANONYMOUS}
            record |= {"is_forgotten": True, **dict.fromkeys(_PERMISSIONS, False)}
        else:
            record.pop("is_forgotten", None)
            record["registered_user"] = True
        self._put(key, record)

    def _put(self, key: str, record: Record) -> str:
        external_id = record.get("external_id")
        if external_id is None:
            if not key:
                return self._table.add(record)
            external_id = key
        elif key and key != external_id:
            self._table.remove(key)
        self._table.put(external_id, record)
        return str(external_id)

    def _new(self, values: dict[str, Any]) -> Record:
        self._created += 1
        digest = hashlib.sha256(f"customer {self._created}".encode()).hexdigest()
        return {**values, **dict.fromkeys(_PERMISSIONS, False), "cb_token": digest[:12]}
