"""Generated sales, one record per row: sale_ fields repeat in all rows of a sale (S1, S7, S11)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from airflow_provider_custobar.sandbox.data.customers import Customers
from airflow_provider_custobar.sandbox.data.mixing import mix
from airflow_provider_custobar.sandbox.data.pools import SHOPS
from airflow_provider_custobar.sandbox.data.products import Products
from airflow_provider_custobar.sandbox.data.protocol import NumberedIds, Record, Wanted, one_id
from airflow_provider_custobar.sandbox.data.timeline import Timeline

#: Rows of each sale in a cycle of sales.
_ROWS = (1, 2, 1, 3, 2, 4, 1, 2)
_CYCLE = sum(_ROWS)
#: Row of the cycle -> sale of the cycle and row of the sale.
_PLACES = tuple((sale, row) for sale, rows in enumerate(_ROWS) for row in range(rows))
_FIRST_ROWS = tuple(sum(_ROWS[:sale]) for sale in range(len(_ROWS)))
#: States of S1, by how often they occur.
_STATES = ("COMPLETE",) * 10 + ("NEW", "PROCESSING", "PENDING_PAYMENT", "CANCELLED", "CLOSED", "HOLDED")
_SEK_RATE = 0.088


class Sales:
    """Sales along a timeline; an index is a row, not a sale."""

    extra_names: tuple[str, ...] = ()

    def __init__(self, timeline: Timeline, *, seed: int, customers: Customers, products: Products) -> None:
        self._timeline = timeline
        self._seed = seed * 16 + 11
        self._customers = customers
        self._products = products
        self._ids = NumberedIds("S-", len(timeline))
        self._size = _first_row(len(timeline)) if len(products) else 0
        # Neighbouring rows belong to the same sale.
        self._sale = functools.lru_cache(maxsize=64)(self._make_sale)

    def __len__(self) -> int:
        return self._size

    def order_key(self, index: int) -> str:
        """Sales come by row id."""
        sale, row = _sale_of(index)
        return f"{self._ids[sale]}-{row + 1}"

    def find(self, external_id: str) -> int | None:
        """Return the index of a row id."""
        sale_id, _, number = external_id.rpartition("-")
        sale = self._ids.find(sale_id)
        if sale is None or not number.isdecimal():
            return None
        row = int(number) - 1
        index = _first_row(sale) + row
        return index if self._size and 0 <= row < _ROWS[sale % len(_ROWS)] else None

    def select(self, wanted: Wanted) -> Sequence[int]:
        """Narrow by row id or by sale date."""
        if not self._size:
            return ()
        if wanted.external_id is not None:
            return one_id(self.find(wanted.external_id))
        sales = self._timeline.between(wanted.low, wanted.high)
        return range(_first_row(sales.start), _first_row(sales.stop))

    def record(self, index: int) -> Record:
        """Compute a row."""
        sale, row = _sale_of(index)
        return self._sale(sale)[row]

    def _make_sale(self, sale: int) -> list[Record]:
        draw = mix(self._seed, sale)
        in_sek = draw >> 40 & 7 == 0
        rows = [self._make_row(sale, row) for row in range(_ROWS[sale % len(_ROWS)])]
        shipping = (0, 490, 690)[(draw >> 32) % 3]
        head: Record = {"sale_external_id": self._ids[sale], "sale_date": self._timeline.text(sale)}
        contacts = self._customers.contacts
        if contacts:
            contact = contacts[draw % len(contacts)]
            head["sale_customer_id"] = contact.external_id
            if contact.email is not None:
                head["sale_email"] = contact.email
            if contact.phone_number is not None and draw >> 43 & 1:
                head["sale_phone_number"] = contact.phone_number
        head |= {
            "sale_shop_id": SHOPS[(draw >> 24) % len(SHOPS)],
            "sale_state": _STATES[draw >> 28 & 15],
            "sale_payment_method": ("card", "invoice", "cash")[(draw >> 34) % 3],
            "sale_total": sum(row["total"] for row in rows) + shipping,
            "sale_shipping": shipping,
        }
        if in_sek:
            head |= {
                "sale_currency": "SEK",
                "sale_exchange_rate": _SEK_RATE,
                "sale_shipping_in_currency": round(shipping / _SEK_RATE),
            }
        if draw >> 46 & 3 == 0:
            head["sale_coupon_codes"] = ["WELCOME10", "FRIENDS, FAMILY"][: 1 + (draw >> 48 & 1)]
        if in_sek:
            for row in rows:
                row["unit_price_in_currency"] = round(row["unit_price"] / _SEK_RATE)
        return [head | row for row in rows]

    def _make_row(self, sale: int, row: int) -> Record:
        draw = mix(self._seed + 1, sale * 4 + row)
        product_id, sku, price = self._products.offers[draw % len(self._products)]
        quantity = 1 + (draw >> 24) % 3
        discount = 100 if draw >> 28 & 7 == 0 else 0
        record: Record = {
            "external_id": f"{self._ids[sale]}-{row + 1}",
            "product_id": product_id,
            "product_sku": sku,
            "quantity": quantity,
            "unit_price": price,
            "total": price * quantity - discount,
        }
        if discount:
            record["discount"] = discount
        return record


def _first_row(sale: int) -> int:
    cycle, place = divmod(sale, len(_ROWS))
    return cycle * _CYCLE + _FIRST_ROWS[place]


def _sale_of(index: int) -> tuple[int, int]:
    cycle, place = divmod(index, _CYCLE)
    sale, row = _PLACES[place]
    return cycle * len(_ROWS) + sale, row
