"""One tenant's generated data, put together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from airflow_provider_custobar.sandbox.data.customers import Customers
from airflow_provider_custobar.sandbox.data.events import Events
from airflow_provider_custobar.sandbox.data.products import Products
from airflow_provider_custobar.sandbox.data.protocol import Generated, Nothing
from airflow_provider_custobar.sandbox.data.sales import Sales
from airflow_provider_custobar.sandbox.data.timeline import Timeline


@dataclass(frozen=True)
class Sizes:
    """How much to generate; ``sales`` counts sales, of which each has one to four rows."""

    customers: int
    products: int
    events: int
    sales: int
    days: int

    def __post_init__(self) -> None:
        """Refuse what cannot be generated."""
        for name in ("customers", "products", "events", "sales", "days"):
            value, least = getattr(self, name), 1 if name == "days" else 0
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name}={value!r}: expected a whole number of at least {least}")


def generated_data(sizes: Sizes, *, seed: int, company: str, end: date, zone: ZoneInfo) -> dict[str, Generated]:
    """Describe the data of a tenant; records are computed when asked for."""
    first_day = end - timedelta(days=sizes.days - 1)
    customers = Customers(sizes.customers, seed=seed, company=company, first_day=first_day)
    products = Products(sizes.products, seed=seed, first_day=first_day)

    def timeline(size: int, salt: int) -> Timeline:
        return Timeline(size, days=sizes.days, end=end, zone=zone, seed=seed * 16 + salt)

    return {
        "customers": customers,
        "products": products,
        "events": Events(timeline(sizes.events, 13), seed=seed, customers=customers, products=products),
        "sales": Sales(timeline(sizes.sales, 15), seed=seed, customers=customers, products=products),
        "shops": Nothing(),
    }
