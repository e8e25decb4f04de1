"""Generated products (fields of S12 and S1)."""

from __future__ import annotations

import functools
from datetime import date

from airflow_provider_custobar.sandbox.data.mixing import mix
from airflow_provider_custobar.sandbox.data.pools import SHOPS, ascii_slug, pools
from airflow_provider_custobar.sandbox.data.protocol import Identified, Record

_BRANDS = ("Aamu", "Nørd & Co", "Kivi", "Blåbär", "Plain Goods")
#: Commas, quotes and characters outside ASCII, or outside 16 bits, are what breaks careless CSV readers.
_TITLES = (
    'Mug "{colour}", 0,3 l',
    "Tea, {taste}",
    "{colour} wool blanket 🧶",
    "Kynttilä {taste}",
    "Notebook A5, dotted, {colour}",
    "Jam of {taste}",
)
_CATEGORIES = ("Kitchen", "Food", "Home textiles", "Candles & scents", "Stationery, paper", "Food")


class Products(Identified):
    """``size`` products with prices in cents."""

    extra_names: tuple[str, ...] = ()

    def __init__(self, size: int, *, seed: int, first_day: date) -> None:
        super().__init__("P-", size)
        self._seed = seed * 16 + 5
        self._modified = f"{first_day.isoformat()}T03:00:00Z"

    @functools.cached_property
    def offers(self) -> list[tuple[str, str, int]]:
        """External id, SKU and price of all products, since events and sales repeat them."""
        return [(self._ids[index], self._sku(index), self._price(index)) for index in range(self._size)]

    def record(self, index: int) -> Record:
        """Compute a product."""
        draw = mix(self._seed, index)
        shape = draw % len(_TITLES)
        words = pools()
        colour = words.colours[(draw >> 8) % len(words.colours)]
        taste = words.tastes[(draw >> 16) % len(words.tastes)]
        title = _TITLES[shape].format(colour=colour, taste=taste)
        category = _CATEGORIES[shape]
        quantities = [(draw >> shift) % 40 for shift in (24, 30, 36)]
        record: Record = {
            "external_id": self._ids[index],
            "sku": self._sku(index),
            "title": title,
            "brand": _BRANDS[(draw >> 42) % len(_BRANDS)],
            # S12 allows one string or a list of them.
            "category": [category, "Gifts"] if draw >> 45 & 3 == 0 else category,
            "category_id": ascii_slug(category),
            "type": "bundle" if draw >> 47 & 7 == 0 else "simple",
            "price": self._price(index),
            "url": f"https://shop.example/{ascii_slug(title)}-{index + 1}",
            "image": f"https://shop.example/img/{index + 1}.jpg",
            "visible": bool(draw >> 50 & 7),
            "in_stock": any(quantities),
            "stock": [{"shop_id": shop, "quantity": quantity} for shop, quantity in zip(SHOPS, quantities, strict=True)],
            "language": "EN",
            "date": self._modified,
        }
        if draw >> 53 & 3:
            record["ean"] = f"64{10_000_000_000 + index}"
        if draw >> 55 & 3 == 0:
            record["sale_price"] = self._price(index) * 4 // 5
        if draw >> 57 & 1:
            record["description"] = f"{title}.\nMade to last; {taste.lower()} inspired."
        if draw >> 58 & 1:
            record["tags"] = ["new", "autumn, winter"][: 1 + (draw >> 59 & 1)]
        if draw >> 60 & 1:
            record["vendor"] = "Plain Goods Oy"
        return record

    def _sku(self, index: int) -> str:
        return f"SKU-{index + 1:05}"

    def _price(self, index: int) -> int:
        return 290 + mix(self._seed + 1, index) % 240 * 50
