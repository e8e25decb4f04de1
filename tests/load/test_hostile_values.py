"""Values that would mean something in SQL, in CSV, in JSON or to a driver: they are only values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox
from tests.load.databases import Database, Postgres, as_loaded, in_order, load
from tests.windows.page_server import serving

TEXTS = [
    'say "hi"',
    '"',
    '""',
    "it's",
    "''",
    "back\\slash",
    "trailing\\",
    "\\.",
    "\\N",
    "a\n\\.\nb",
    "\n\\.\n",
    "\\.\r\n",
    "tab\there",
    "cr\rlf\r\nend\n",
    "\n",
    "x,y;z|w",
    " lead and trail ",
    "NULL",
    "null",
    "None",
    "true",
    "007",
    "1e5",
    "%s %(name)s %% %",
    ":name ::text ?1 $1 {x}",
    "'; DROP TABLE t; --",
    "Robert'); DROP TABLE t CASCADE;--",
    "' OR '1'='1",
    "/* x */ -- y",
    "{}",
    '{"a": "\\u0000"}',
    "[1]",
    "\\u0000",
    "\\\\u0000",
    "\\x00",
    "\x01\x1b\x7f\x85",
    "\u2028\u2029\ufeff",
    "Käyttäjä 用户 🎉 e\u0301 \u202e",
    "nul\x00nul",
    "\x00",
    "\\\x00",
    "\\u0000 and \x00",
    "x" * 1_000_000,
    '"\\\n\t%' * 200_000,
]
NUL, MARK = "\x00", "\N{REPLACEMENT CHARACTER}"
BATCH = 11


def without_nul(value: Any) -> Any:
    """The same with U+FFFD for NUL, which no database takes."""
    if isinstance(value, str):
        return value.replace(NUL, MARK)
    if isinstance(value, list):
        return [without_nul(each) for each in value]
    if isinstance(value, dict):
        return {without_nul(name): without_nul(each) for name, each in value.items()}
    return value


def compared(records: Iterable[Any]) -> Any:
    """Records in order, with digests for long texts: pytest would take minutes to tell how these differ."""

    def shortened(value: Any) -> Any:
        if isinstance(value, list):
            return [shortened(each) for each in value]
        is_long = isinstance(value, str) and len(value) > 1_000
        return f"{len(value)} {hashlib.sha256(value.encode()).hexdigest()}" if is_long else value

    return in_order({name: shortened(value) for name, value in record.items()} for record in records)


@pytest.mark.slow
@pytest.mark.parametrize("api_format", ["json", "csv"])
@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_texts(tenant: CustobarSandbox, database: Database, api_format: str, mode: str) -> None:
    """Rule: every text arrives as it is, but for NUL, which becomes U+FFFD; twice the same is no change."""
    tenant.load("customers", ({"external_id": f"{number}", "city": text} for number, text in enumerate(TEXTS)))
    expected = [without_nul(record) for record in tenant.records("customers")]
    assert len(expected) == len(TEXTS)
    arguments: dict[str, Any] = {"resource": "customers", "fields": ["city"], "api_format": api_format, "page_size": BATCH}
    load(**arguments, mode=mode)
    assert compared(database.records("customers")) == compared(expected)
    result = load(**arguments, mode="upsert")
    assert (result["inserted"], result["updated"]) == (0, 0)


@pytest.mark.parametrize("api_format", ["json", "csv"])
def test_keys(tenant: CustobarSandbox, database: Database, api_format: str) -> None:
    """Rule: texts are keys as they are, too."""
    short = [text for text in TEXTS if len(text) < 2_000 and NUL not in text]
    tenant.load("customers", ({"external_id": text, "city": "old"} for text in short))
    arguments: dict[str, Any] = {"resource": "customers", "fields": ["city"], "api_format": api_format, "page_size": BATCH}
    load(**arguments)
    tenant.load("customers", ({"external_id": text, "city": "new"} for text in short[::2]))
    result = load(**arguments)
    assert (result["inserted"], result["updated"]) == (0, len(short[::2]))
    assert in_order(database.records("customers")) == in_order(tenant.records("customers"))


def test_lists_and_objects(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: the same holds inside of lists and objects, and for the names of an object's members."""
    tenant.load("products", ({"external_id": f"{number}", "tags": [text, "x"]} for number, text in enumerate(TEXTS)))
    tenant.load(
        "products",
        (
            {"external_id": f"o{number}", "category": text, "stock": [{"shop_id": text, text: [text]}]}
            for number, text in enumerate(TEXTS)
            if len(text) < 1_000
        ),
    )
    expected = [without_nul(as_loaded(record)) for record in tenant.records("products")]
    load(resource="products", page_size=BATCH)
    assert compared(database.records("products")) == compared(expected)
    result = load(resource="products", page_size=BATCH)
    assert (result["inserted"], result["updated"]) == (0, 0)


@pytest.mark.parametrize("schema_change", ["add", "extra_column"])
def test_own_fields(tenant: CustobarSandbox, database: Database, schema_change: str) -> None:
    """Rule: the same holds for a tenant's own fields, in columns of their own and together."""
    short = [text for text in TEXTS if len(text) < 2_000]
    tenant.load("customers", ({"external_id": f"{number}", "COMPANY__x": text} for number, text in enumerate(short)))
    load(resource="customers", schema_change=schema_change, page_size=BATCH)
    rows = {int(row["external_id"]): row for row in database.rows()}
    if schema_change == "add":
        assert [rows[number]["COMPANY__x"] for number in range(len(short))] == without_nul(short)
    else:
        found = [rows[number]["_extra"] for number in range(len(short))]
        texts = [json.loads(text) if isinstance(text, str) else text for text in found]
        assert [each["COMPANY__x"] for each in texts] == without_nul(short)


def test_objects_of_own_fields_in_a_json_column(tenant: CustobarSandbox, postgres: Postgres) -> None:
    """Rule: an object of a tenant's own field fits a jsonb column that somebody has made for it."""
    postgres.query('CREATE TABLE t (external_id text, "COMPANY__x" jsonb)')
    tenant.load("customers", [{"external_id": "a", "COMPANY__x": {"k": ["ä", None, "\\"]}}])
    load(resource="customers")
    assert postgres.query("SELECT * FROM t") == [("a", {"k": ["ä", None, "\\"]})]


@pytest.mark.parametrize("api_format", ["json", "csv"])
def test_names_of_drivers_placeholders_with_values(tenant: CustobarSandbox, postgres: Postgres, api_format: str) -> None:
    """Rule: a value of a filter or a window that looks like a placeholder is a value."""
    tenant.load("events", [{"type": "50%", "date": "2026-02-10T12:00:00Z"}, {"type": "%s'", "date": "2026-02-10T13:00:00Z"}])
    for deleted in (0, 2):
        result = load(
            resource="events",
            event_types=["50%", "%s'"],
            allow_unknown_names=True,
            date="2026-02-10",
            fields=["type", "date"],
            api_format=api_format,
        )
        assert (result["inserted"], result["deleted"]) == (2, deleted)
    assert sorted(postgres.query("SELECT type FROM t")) == [("%s'",), ("50%",)]


def test_half_characters(database: Database, connect: Callable[[str, str], None]) -> None:
    """Rule: half of a character, which JSON can write and no text can hold, becomes U+FFFD; whole pairs stay."""
    cities = ["lone \ud83d", "\udc00 lone", "pair \U0001f389", "escaped \\ud83d"]
    rows = [{"external_id": f"{number}", "city": city, "tags": [city]} for number, city in enumerate(cities)]
    with serving({"": [rows[:2], rows[2:]]}) as server:
        connect("custobar_default", server.connection(requests_per_minute=600_000))
        load(resource="customers", mode="append")
    found = {row["external_id"]: (row["city"], *database.document(row["tags"])) for row in database.rows()}
    mended = [f"lone {MARK}", f"{MARK} lone", "pair \U0001f389", "escaped \\ud83d"]
    assert found == {str(number): (city, city) for number, city in enumerate(mended)}
