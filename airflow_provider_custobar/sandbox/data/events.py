"""Generated events (types and fields of S1, S13, S19; what MAIL_ events carry besides is our choice)."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Sequence
from typing import overload

from airflow_provider_custobar.sandbox.data.customers import Customers
from airflow_provider_custobar.sandbox.data.mixing import mix
from airflow_provider_custobar.sandbox.data.pools import CAMPAIGNS, MAILING_LISTS
from airflow_provider_custobar.sandbox.data.products import Products
from airflow_provider_custobar.sandbox.data.protocol import Record, Wanted
from airflow_provider_custobar.sandbox.data.timeline import Timeline

#: How often each type occurs in a cycle of 64 events.
_SHARES = {
    "MAIL_OPEN": 20,
    "BROWSE": 16,
    "MAIL_CLICK": 9,
    "BASKET_ADD": 7,
    "AUTOMATED_CAMPAIGN": 5,
    "ORDER_SHIPPED": 2,
    "MAIL_DEFERRED": 1,
    "MAIL_UNSUBSCRIBE": 1,
    "MAIL_BLOCKED": 1,
    "MAIL_SUBSCRIBE": 1,
    "SENTIMENT": 1,
}
_CYCLE = sum(_SHARES.values())
_CAMPAIGNS = tuple(CAMPAIGNS.items())


class Strided(Sequence[int]):
    """Indexes of one event type: the same places in every cycle, counted without visiting the others."""

    def __init__(self, places: Sequence[int], within: range) -> None:
        self._places = places
        self._first = self._ordinal(within.start)
        self._count = max(0, self._ordinal(within.stop) - self._first)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, item: int) -> int: ...
    @overload
    def __getitem__(self, item: slice) -> list[int]: ...
    def __getitem__(self, item: int | slice) -> int | list[int]:
        if isinstance(item, slice):
            return [self[number] for number in range(*item.indices(self._count))]
        if not 0 <= item < self._count:
            raise IndexError(item)
        cycle, place = divmod(self._first + item, len(self._places))
        return cycle * _CYCLE + self._places[place]

    def _ordinal(self, index: int) -> int:
        cycle, place = divmod(index, _CYCLE)
        return cycle * len(self._places) + bisect_left(self._places, place)


class Events:
    """Events of the given customers and products along a timeline."""

    extra_names: tuple[str, ...] = ()

    def __init__(self, timeline: Timeline, *, seed: int, customers: Customers, products: Products) -> None:
        self._timeline = timeline
        self._seed = seed * 16 + 7
        self._customers = customers
        self._products = products
        self._cycle = [kind for kind, share in _SHARES.items() for _ in range(share)]
        random.Random(seed).shuffle(self._cycle)  # noqa: S311 - repeatable, not secret
        self._places = {kind: [place for place, there in enumerate(self._cycle) if there == kind] for kind in _SHARES}

    def __len__(self) -> int:
        return len(self._timeline)

    def order_key(self, index: int) -> int:
        """Events come by date, then by arrival."""
        return self._timeline.seconds(index) * 1_000_000

    def find(self, external_id: str) -> int | None:
        """Events have no id (S1 by omission)."""
        return None

    def select(self, wanted: Wanted) -> Sequence[int]:
        """Narrow by date range and type; an external id fits no event."""
        if wanted.external_id is not None:
            return ()
        within = self._timeline.between(wanted.low, wanted.high)
        if wanted.type is None:
            return within
        places = self._places.get(wanted.type)
        return Strided(places, within) if places else ()

    def record(self, index: int) -> Record:
        """Compute an event."""
        kind = self._cycle[index % _CYCLE]
        draw = mix(self._seed, index)
        record: Record = {"type": kind, "date": self._timeline.text(index)}
        contacts = self._customers.contacts
        if contacts:
            contact = contacts[draw % len(contacts)]
            record["customer_id"] = contact.external_id
            if contact.email is not None:
                record["email"] = contact.email
        draw >>= 24
        if kind.startswith("MAIL_") or kind == "AUTOMATED_CAMPAIGN":
            record["utm_campaign"], record["label"] = _CAMPAIGNS[draw % len(_CAMPAIGNS)]
            if kind == "MAIL_CLICK":
                record["path"] = f"/c/{record['utm_campaign'].lower()}?from=mail"
            elif kind == "MAIL_SUBSCRIBE" or (kind == "MAIL_UNSUBSCRIBE" and draw & 64):
                record["mailing_lists"] = list(MAILING_LISTS[: 1 + draw % 2])
        elif kind in ("BROWSE", "BASKET_ADD"):
            offers = self._products.offers
            if offers:
                record["product_id"] = offers[draw % len(offers)][0]
            if kind == "BROWSE":
                record["path"] = f"/p/{record.get('product_id', '')}"
                if draw & 4096:
                    record["utm_source"], record["utm_medium"] = "newsletter", "email"
        elif kind == "ORDER_SHIPPED":
            record["sale_id"] = f"S-{1001 + draw % 5000:06}"
            record["tracking_number"] = f"JJFI{draw:012d}"
        else:
            record["sentiment_value"] = 1 + draw % 5
        return record
