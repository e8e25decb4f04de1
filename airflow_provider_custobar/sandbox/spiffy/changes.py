"""Creating and changing customers (P1): what is taken, what is refused and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_custobar.sandbox.spiffy.answers import RefusedError
from airflow_provider_custobar.sandbox.spiffy.store import Customer, CustomerStore

_STATES = ("guest", "disabled", "invited", "enabled", "declined")
_TEXTS = ("title", "first_name", "last_name", "name", "company", "email", "note", "state", "accounting_id", "pos_id", "tags")
_FLAGS = ("accepts_marketing", "wholesale")
#: Everything else belongs to the store and is ignored in a request (our choice).
_WRITABLE = (*_TEXTS, *_FLAGS, "credit", "addresses", "default_address")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_NEW: Customer = {
    **dict.fromkeys(("title", "first_name", "last_name", "name", "company", "email")),
    "accepts_marketing": False,
    "note": None,
    "orders_count": 0,
    "state": "guest",
    "total_spent": "0.00",
    "sign_in_count": 0,
    **dict.fromkeys(
        ("current_sign_in_at", "current_sign_in_ip", "last_sign_in_at", "last_sign_in_ip", "last_order_id"),
    ),
    "wholesale": False,
    "credit": 0.0,
    "accounting_id": None,
    "pos_id": None,
    "tags": "",
    "default_address": None,
    "addresses": [],
}


def created(store: CustomerStore, given: Mapping[str, Any]) -> Customer:
    """Create a customer, or refuse it."""
    with store.lock:
        fields = _checked(store, given, None)
        if not (fields.get("email") or fields.get("name")):
            raise RefusedError(422, {"email": ["can't be blank"]})
        return store.create(_NEW | fields)


def changed(store: CustomerStore, number: int, given: Mapping[str, Any]) -> Customer:
    """Change the fields given of a known customer, or refuse it; KeyError for an unknown one."""
    with store.lock:
        return store.change(number, _checked(store, given, store.get(number)))


def _checked(store: CustomerStore, given: Mapping[str, Any], before: Customer | None) -> Customer:
    fields = {name: value for name, value in given.items() if name in _WRITABLE}
    errors: dict[str, list[str]] = {}
    for name, value in fields.items():
        message = _wrong(name, value)
        if message:
            errors[name] = [message]
    email = fields.get("email")
    if email and "email" not in errors:
        owner = store.owner_of(email)
        if not _EMAIL.fullmatch(email.strip()):
            errors["email"] = ["is invalid"]
        elif owner is not None and (before is None or owner != before["id"]):
            errors["email"] = ["has already been taken"]
    if errors:
        raise RefusedError(422, errors)
    parts = ("title", "first_name", "last_name")
    if "name" not in fields and any(name in fields for name in parts):
        texts = ({**(before or {}), **fields}.get(name) for name in parts)
        fields["name"] = " ".join(text for text in texts if text)
    return fields | _addresses(store, fields, before)


def _wrong(name: str, value: Any) -> str | None:
    if name in _FLAGS:
        fits, message = isinstance(value, bool), "must be true or false"
    elif name == "addresses":
        fits = isinstance(value, list) and all(isinstance(each, dict) for each in value)
        message = "must be a list of addresses"
    elif name == "default_address":
        fits, message = value is None or isinstance(value, dict), "must be an address"
    elif name == "credit":
        fits, message = isinstance(value, int | float) and not isinstance(value, bool), "is not a number"
    elif name == "state":
        fits, message = value in _STATES, f"must be one of {', '.join(_STATES)}"
    else:
        fits, message = value is None or isinstance(value, str), "must be text"
    return None if fits else message


def _addresses(store: CustomerStore, fields: Customer, before: Customer | None) -> Customer:
    """Give new addresses an id, and see that one is the default, in the list and by itself."""
    if "addresses" not in fields and "default_address" not in fields:
        return {}
    kept = fields["addresses"] if "addresses" in fields else (before or {}).get("addresses") or []
    addresses = [dict(each) for each in kept]
    chosen = fields.get("default_address")
    if chosen:
        addresses = [each for each in addresses if each.get("id") is None or each.get("id") != chosen.get("id")]
        addresses = [{**each, "default": False} for each in addresses] + [{**chosen, "default": True}]
    for address in addresses:
        if address.get("id") is None:
            address["id"] = store.next_address_id()
    default = next((each for each in addresses if each.get("default")), addresses[0] if addresses else None)
    for address in addresses:
        address["default"] = address is default
    return {"addresses": addresses, "default_address": default}
