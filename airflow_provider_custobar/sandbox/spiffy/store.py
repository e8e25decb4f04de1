"""The customers of a store, by id."""

from __future__ import annotations

import bisect
import copy
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_custobar.sandbox.clock import Clock
from airflow_provider_custobar.sandbox.spiffy.times import moment_of, written

Customer = dict[str, Any]

_FIRST_ID = 1001
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class CustomerStore:
    """Customers are replaced, never changed in place, so whoever read one may keep it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Held over a check and the change that depends on it.
        self.lock = threading.RLock()
        self._customers: dict[int, Customer] = {}
        self._ids: list[int] = []
        self._last_id = _FIRST_ID - 1
        self._last_address_id = 0

    def load(self, customers: Iterable[Mapping[str, Any]]) -> list[int]:
        """Take customers as they are; return their ids."""
        with self.lock:
            return [self._take(copy.deepcopy(dict(customer))) for customer in customers]

    def _take(self, customer: Customer) -> int:
        number = customer.get("id")
        if number is None:
            number = self._last_id + 1
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"id={number!r}: expected a whole number of at least 1")
        now = written(self._clock.now())
        self._put(
            {"id": number}
            | customer
            | {
                "id": number,
                "created_at": customer.get("created_at") or customer.get("updated_at") or now,
                "updated_at": customer.get("updated_at") or customer.get("created_at") or now,
            }
        )
        return number

    def create(self, fields: Mapping[str, Any]) -> Customer:
        """Add a customer of now."""
        with self.lock:
            return self._customers[self._take(dict(fields))]

    def change(self, number: int, fields: Mapping[str, Any]) -> Customer:
        """Change fields, and updated_at unless it is one of them; KeyError for an unknown id."""
        with self.lock:
            customer = self._customers[number] | {"updated_at": written(self._clock.now())} | copy.deepcopy(dict(fields))
            self._put(customer | {"id": number})
            return self._customers[number]

    def delete(self, number: int) -> None:
        """Remove a customer, whose id is not given again; KeyError for an unknown id."""
        with self.lock:
            del self._customers[number]
            self._ids.remove(number)

    def get(self, number: int) -> Customer:
        """Return a customer; KeyError for an unknown id."""
        with self.lock:
            return self._customers[number]

    def all(self, order: str = "id", after: int = 0) -> list[Customer]:
        """Return the customers with ids greater than ``after``, ordered by ``id``, ``-id`` or ``updated_at``."""
        with self.lock:
            found = [self._customers[number] for number in self._ids[bisect.bisect_right(self._ids, after) :]]
        if order == "-id":
            found.reverse()
        elif order == "updated_at":
            found.sort(key=lambda customer: (moment_of(customer["updated_at"]) or _LONG_AGO, customer["id"]))
        return found

    def owner_of(self, email: str) -> int | None:
        """Return the id of the customer with this e-mail, whatever the case of its letters."""
        wanted = email.strip().lower()
        with self.lock:
            for number, customer in self._customers.items():
                if str(customer.get("email") or "").strip().lower() == wanted:
                    return number
        return None

    def next_address_id(self) -> int:
        """Return a number that no address has yet."""
        with self.lock:
            self._last_address_id += 1
            return self._last_address_id

    def _put(self, customer: Customer) -> None:
        number = customer["id"]
        if number not in self._customers:
            bisect.insort(self._ids, number)
        self._customers[number] = customer
        self._last_id = max(self._last_id, number)
        for address in (customer.get("default_address"), *(customer.get("addresses") or ())):
            given = address.get("id") if isinstance(address, Mapping) else None
            if isinstance(given, int):
                self._last_address_id = max(self._last_address_id, given)
