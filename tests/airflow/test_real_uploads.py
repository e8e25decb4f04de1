"""Real customers of a shop to the sandbox, among hostile rows; what is there afterwards is what plain Python says.

The rows are those of "Online Retail", see test_real_rows.py.
"""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_custobar.operators.custobar import CustobarUploadOperator
from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.transfers.object_storage_to_custobar import ObjectStorageToCustobarOperator
from tests.airflow.test_real_rows import DATA, retail_rows

HOSTILE: list[tuple[dict[str, str], str | None]] = [
    ({"external_id": "h 1"}, "external_id"),
    ({"external_id": "", "email": "shared@example.com"}, "no external_id"),
    ({"external_id": "h-2", "is_deleted": "true"}, "cannot be undone"),
    ({"external_id": "h-3", "is_forgotten": "1"}, "cannot be undone"),
    ({"external_id": "h-4", "email": "a@b"}, "email"),
    ({"external_id": "h-5", "phone_number": "040 1234567"}, "phone_number"),
    ({"external_id": "h-6", "country": "Finland"}, "country"),
    ({"external_id": "h-7", "can_email": "perhaps"}, "can_email"),
    ({"external_id": "h-8", "birth_date": "31.12.1999"}, "birth_date"),
    ({"external_id": "h-9", "other__tier": "gold"}, None),
    ({"external_id": "h-10", "first_name": 'Robert"); DROP TABLE customers;--', "city": "Ää\n,\"x\""}, None),
    ({"external_id": "h-11", "is_deleted": "no", "tags": "a,b , c"}, None),
]  # fmt: skip
FIELDS = sorted({name for row, _ in HOSTILE for name in row} | {"acme__country", "acme__orders"})


@pytest.mark.skipif(not DATA.is_dir(), reason="the Online Retail rows are not here: set ONLINE_RETAIL_DIR")
def test_real_customers_and_hostile_rows(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: the tenant holds every good row exactly as it was meant, and nothing of the others, which are written down."""
    orders: dict[str, set[str]] = {}
    countries: dict[str, str] = {}
    for row in retail_rows():
        if customer := row["CustomerID"].removesuffix(".0"):
            orders.setdefault(customer, set()).add(row["InvoiceNo"])
            countries[customer] = row["Country"]
    rows = [
        {"external_id": customer, "acme__country": countries[customer], "acme__orders": str(len(orders[customer]))}
        for customer in sorted(countries)
    ]
    # Hostile rows between the others, also first and last.
    for number, (row, _) in enumerate(HOSTILE):
        rows.insert(number * len(rows) // (len(HOSTILE) - 1), row)
    with gzip.open(tmp_path / "customers.csv.gz", "wt", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    before = {record["external_id"] for record in tenant.records("customers")}
    result = ObjectStorageToCustobarOperator(
        task_id="upload",
        path=f"file://{tmp_path}/customers.csv.gz",
        on_invalid="skip",
        rejects_path=f"file://{tmp_path}/rejects.jsonl",
        verify="sample",
        verify_delay=0,
    ).execute({})
    expected: dict[str, dict[str, Any]] = {
        row["external_id"]: {name: value for name, value in row.items() if value} for row in rows if "acme__country" in row
    }
    expected["h-9"] = {"external_id": "h-9", "other__tier": "gold"}
    expected["h-10"] = dict(HOSTILE[10][0])
    expected["h-11"] = {"external_id": "h-11", "tags": ["a", "b", "c"]}
    stored = {record["external_id"]: record for record in tenant.records("customers") if record["external_id"] not in before}
    assert stored.keys() == expected.keys()
    for external_id, record in expected.items():
        assert record.items() <= stored[external_id].items()
    assert len(countries) > 500
    reasons = [reason for _, reason in HOSTILE if reason]
    rejected = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert len(rejected) == len(reasons) == result["rejected"]
    for found, reason in zip(rejected, reasons, strict=True):
        assert any(reason in told for told in found["reasons"])
        assert {name: value for name, value in found["row"].items() if value} == {
            name: value for name, value in rows[found["position"]].items() if value
        }
    assert result["verified"] == {"checked": 20, "missing": 0, "different": 0}


def test_what_is_uploaded_is_what_is_exported(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: customers through CSV, upload and export come back as they were."""
    from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator

    names = ["external_id", "first_name", "last_name", "email", "city", "tags"]
    records = [
        {
            "external_id": f"round-{n}",
            "first_name": f'Ä "{n}",\n',
            "last_name": "O'Neil",
            "email": f"r{n}@example.com",
            "city": "São",
            "tags": ["a", "b"],
        }
        for n in range(50)
    ]
    CustobarUploadOperator(task_id="upload", records=records).execute({})
    path = f"file://{tmp_path}/customers.csv"
    CustobarToObjectStorageOperator(task_id="export", resource="customers", fields=names, file_format="csv", path=path).execute(
        {}
    )
    uploads = len(tenant.uploads)
    result = ObjectStorageToCustobarOperator(task_id="again", path=path, on_invalid="skip", batch_size=5000).execute({})
    assert result["rejected"] == 0
    sent = {row["external_id"]: row for entry in tenant.uploads[uploads:] for row in entry.rows}
    assert [sent[record["external_id"]] for record in records] == records


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the Online Retail rows are not here: set ONLINE_RETAIL_DIR")
def test_real_invoices_are_whole_or_not_there(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: invoices of many lines, of which only the first has date and customer, arrive whole; those of nobody do not."""
    rows = list(retail_rows())
    lines: dict[str, list[tuple[str, int]]] = {}
    people: dict[str, set[str]] = {}
    with gzip.open(tmp_path / "sales.csv.gz", "wt", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            invoice = row["InvoiceNo"]
            people.setdefault(invoice, set()).update([row["CustomerID"]] if row["CustomerID"] else [])
            writer.writerow(row if invoice not in lines else row | {"InvoiceDate": "", "CustomerID": ""})
            lines.setdefault(invoice, []).append((row["StockCode"], int(row["Quantity"])))
    before, uploads = len(list(tenant.records("sales"))), len(tenant.uploads)
    result = ObjectStorageToCustobarOperator(
        task_id="upload",
        path=f"file://{tmp_path}/sales.csv.gz",
        resource="sales",
        field_mapping={
            "InvoiceNo": "sale_external_id",
            "InvoiceDate": "sale_date",
            "CustomerID": "sale_customer_id",
            "StockCode": "product_id",
            "Quantity": "quantity",
            "UnitPrice": None,
        },
        unknown_fields="drop",
        on_invalid="skip",
        rejects_path=f"file://{tmp_path}/rejects.jsonl",
    ).execute({})
    whole = {invoice: items for invoice, items in lines.items() if people[invoice]}
    stored: dict[str, list[tuple[str, int]]] = {}
    for record in list(tenant.records("sales"))[before:]:
        stored.setdefault(record["sale_external_id"], []).append((record["product_id"], record["quantity"]))
        assert {record["sale_customer_id"]} <= people[record["sale_external_id"]]
    assert stored == whole
    assert (len(whole), len(lines) - len(whole)) > (1_000, 100)
    assert result["rejected"] == sum(map(len, lines.values())) - sum(map(len, whole.values()))
    requests = [{row["sale_external_id"] for row in entry.rows} for entry in tenant.uploads[uploads:]]
    short = {invoice for invoice, items in whole.items() if len(items) <= 500}
    assert all(sum(invoice in request for request in requests) == 1 for invoice in short)
