"""Sales as one record per transaction with nested products, as C3 reads them; S1 shows rows."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_custobar.sandbox.data.protocol import Record


def as_transactions(rows: Iterable[Record]) -> list[Record]:
    """Group rows by sale: ``sale_date`` becomes ``date`` and so on, rows go to ``products``."""
    sales: dict[str, Record] = {}
    for row in rows:
        number = str(row.get("sale_external_id"))
        sale = sales.get(number)
        if sale is None:
            sale = {name.removeprefix("sale_"): value for name, value in row.items() if name.startswith("sale_")}
            sale["products"] = []
            sales[number] = sale
        sale["products"].append({name: value for name, value in row.items() if not name.startswith("sale_")})
    return list(sales.values())
