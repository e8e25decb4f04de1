"""Parquet files: one schema, whatever the pages; nothing lost; the same bytes; flat memory."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_custobar.api.errors import InvalidArgumentError, ProtocolError
from airflow_provider_custobar.api.resources import READABLE, RESOURCES, FieldType
from airflow_provider_custobar.export import parquet
from airflow_provider_custobar.export.encoders import make_encoder, page_format_for
from tests.export.parquet_files import file_of, records, rows_of, table_of
from tests.export.support import csv_page, json_page
from tests.python_process import output_of

ROOT = Path(__file__).parents[2]
MIB = 1 << 20

ARROW = {
    FieldType.MONEY: "int64",
    FieldType.INTEGER: "int64",
    FieldType.NUMBER: "double",
    FieldType.BOOLEAN: "bool",
    FieldType.DATETIME: "timestamp[us, tz=UTC]",
    FieldType.DATE: "date32[day]",
    FieldType.STRINGS: "list<element: string>",
    FieldType.STRING_OR_STRINGS: "list<element: string>",
}


@pytest.mark.parametrize("resource", READABLE)
def test_the_schema_is_the_catalogue(resource: str) -> None:
    """Every documented field is a column of its own type, in the catalogue's order, and ``_extra`` is last."""
    expected = [(name, ARROW.get(kind, "string")) for name, kind in RESOURCES[resource].read_fields.items()]
    schema = table_of(resource).schema
    assert [(field.name, str(field.type)) for field in schema] == [*expected, ("_extra", "string")]


def test_the_schema_of_named_fields() -> None:
    """Named fields are the columns, in their order; the ones that the catalogue does not know are texts; no ``_extra``."""
    fields = ["total", "ACME__points", "external_id"]
    schema = table_of("sales", fields=fields).schema
    assert [(field.name, str(field.type)) for field in schema] == [
        ("total", "int64"), ("ACME__points", "string"), ("external_id", "string")
    ]  # fmt: skip


@pytest.mark.parametrize("resource", READABLE)
def test_the_schema_never_changes(resource: str) -> None:
    """No page, empty pages, records with one field or with unknown ones: the same schema, so that days fit together."""
    field = next(iter(RESOURCES[resource].read_fields))
    pages: list[list[Any]] = [[], [json_page()], [records({})], [records({field: "x"}), json_page()], [records({"new": [1]})]]
    schemas = [table_of(resource, *each).schema for each in pages]
    assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)


def test_fields_that_nobody_names_are_kept() -> None:
    """What the catalogue does not know lands in ``_extra`` digit for digit, sorted by name; null where there is none."""
    page = json_page(
        '{"b":1.10,"type":"BROWSE","ACME__a":"x","n":null}', '{"type":"BROWSE"}', '{"_extra":{"a":12345678901234567890}}'
    )
    assert [row["_extra"] for row in rows_of("events", page)] == [
        '{"ACME__a":"x","b":1.10,"n":null}', None, '{"_extra":{"a":12345678901234567890}}'
    ]  # fmt: skip


def test_extra_does_not_depend_on_the_way_it_was_read() -> None:
    """A record's ``_extra`` is the same beside usual records, unusual ones and after pages with other names."""
    record = '{"z":1,"type":"BROWSE","a":"ä\\n"}'
    alone = rows_of("events", json_page(record))[0]
    assert alone == rows_of("events", json_page(record, '{"type":5}'))[0]
    assert alone == rows_of("events", json_page('{"m":1}'), json_page(record))[1]
    many = records({f"x{number}": number for number in range(600)})
    assert alone == rows_of("events", many, json_page(record))[1]
    assert len(json.loads(rows_of("events", many)[0]["_extra"])) == 600


def test_columns_go_by_their_names() -> None:
    """The order of a CSV page's columns does not matter; one that it lacks is null, one that nobody named is left out."""
    pages = [csv_page("path,label", "p,l"), csv_page("label", "m"), csv_page(""), csv_page("x,label", "1,n")]
    assert rows_of("events", *pages, fields=["label", "path"]) == [
        {"label": "l", "path": "p"}, {"label": "m", "path": None}, {"label": "n", "path": None}
    ]  # fmt: skip
    with pytest.raises(ProtocolError, match="names a column twice"):
        rows_of("events", csv_page("label,label", "a,b"), fields=["label"])


def test_row_groups_do_not_depend_on_the_size_of_pages() -> None:
    """Small pages wait for each other: many of them make one row group; a large one is written at once."""
    page = records(*({"label": "x"} for _ in range(1000)))
    encoder = make_encoder("parquet", "json", ["label"], resource=RESOURCES["events"])
    pieces = [encoder.encode(page) for _ in range(250)]
    assert [number for number, piece in enumerate(pieces) if piece] == [99, 199]
    groups = pq.ParquetFile(pa.BufferReader(b"".join([*pieces, encoder.finish()]))).metadata
    assert [groups.row_group(number).num_rows for number in range(groups.num_row_groups)] == [100_000, 100_000, 50_000]
    wide = records({"label": "x" * (parquet._GROUP_BYTES + 1)})
    assert make_encoder("parquet", "json", ["label"], resource=RESOURCES["events"]).encode(wide)


@pytest.mark.parametrize(("codec", "name"), [("zstd", "ZSTD"), ("gzip", "GZIP"), (None, "UNCOMPRESSED")])
def test_columns_are_compressed_within(codec: Any, name: str) -> None:
    """The codec is that of the columns; the file is a Parquet file from its first byte to its last."""
    content = file_of("events", records({"label": "x" * 1000}), codec=codec)
    assert content[:4] == content[-4:] == b"PAR1"
    group = pq.ParquetFile(pa.BufferReader(content)).metadata.row_group(0)
    assert {group.column(number).compression for number in range(group.num_columns)} == {name}


@pytest.mark.processes
def test_the_same_pages_make_the_same_file(tmp_path: Path) -> None:
    """A retry makes the same object byte for byte, in another process too."""
    code = "from tests.export.test_parquet import *; import hashlib; print(hashlib.sha256(sample()).hexdigest())"
    digests = {output_of(code) for _ in range(2)}
    assert len(digests) == 1


def sample() -> bytes:
    chance = random.Random(1)
    rows = [{"customer_id": str(chance.random()), "b": chance.random(), "a": 1, "date": "2026-02-01"} for _ in range(5000)]
    return file_of("events", *(records(*rows) for _ in range(30)))


def test_other_readers_agree(tmp_path: Path) -> None:
    """DuckDB and pandas, which read Parquet each in its own way, see the same values."""
    import pandas as pd

    path = tmp_path / "a.parquet"
    sale = {"sale_date": "2026-02-01T08:00:00+02:00", "total": 1990, "quantity": 2.5, "tags": ["a", "b"], "ACME__x": "a"}
    path.write_bytes(file_of("sales", records(sale, {})))
    found = duckdb.sql(f"SELECT epoch_us(sale_date), total, quantity, tags, _extra FROM '{path}'").fetchall()
    instant = int(datetime(2026, 2, 1, 6, tzinfo=UTC).timestamp() * 1_000_000)
    assert found == [(instant, 1990, 2.5, ["a", "b"], '{"ACME__x":"a"}'), (None, None, None, None, None)]
    first = pd.read_parquet(path, dtype_backend="numpy_nullable").iloc[0]
    assert (first["sale_date"], first["total"], list(first["tags"])) == (pd.Timestamp("2026-02-01T06:00Z"), 1990, ["a", "b"])


EVENTS = RESOURCES["events"]


@pytest.mark.parametrize(
    ("api_format", "fields", "expected"),
    [("auto", (), "json"), ("auto", ("type", "date"), "csv"), ("auto", ("type", "mailing_lists"), "json"),
     ("auto", ("type", "ACME__x"), "json"), ("json", ("type",), "json"), ("csv", ("type", "ACME__x"), "csv")],
)  # fmt: skip
def test_the_format_of_pages(api_format: Any, fields: tuple[str, ...], expected: str) -> None:
    """``auto`` asks for CSV where the catalogue types every named field as a flat value; an explicit choice stands."""
    assert page_format_for("parquet", api_format, EVENTS, fields) == expected


@pytest.mark.parametrize("fields", [(), ("type", "mailing_lists")])
def test_no_lists_of_csv_pages(fields: tuple[str, ...]) -> None:
    """CSV pages with lists are refused, the field named: nothing documents how a cell holds a list."""
    with pytest.raises(InvalidArgumentError, match="api_format='csv' is not accepted.*mailing_lists"):
        page_format_for("parquet", "csv", EVENTS, fields)


@pytest.mark.processes
def test_without_pyarrow_the_message_has_the_pip_line() -> None:
    """Without its package Parquet tells what to install, and the other formats work."""
    code = """if True:
        import sys
        sys.modules["pyarrow"] = None
        from airflow_provider_custobar.api.resources import RESOURCES
        from airflow_provider_custobar.export.encoders import make_encoder
        make_encoder("jsonl", "json", ())
        try:
            make_encoder("parquet", "json", (), resource=RESOURCES["events"])
        except Exception as error:
            print(type(error).__name__, error)
    """
    said = output_of(code)
    assert said.startswith("MissingExtraError ")
    assert "pip install 'airflow-provider-custobar[parquet]'" in said


MEASURE = """if True:
    import json, re, sys
    from pathlib import Path
    from airflow_provider_custobar.api.resources import RESOURCES
    from airflow_provider_custobar.export.encoders import make_encoder
    from tests.export.parquet_files import csv_of, records
    kind, count = sys.argv[1], int(sys.argv[2])
    encoder = make_encoder("parquet", kind, ["customer_id", "label", "date"], resource=RESOURCES["events"], codec="zstd")
    size = 0
    for page in range(count):
        rows = [{"customer_id": f"{page}-{n}", "label": f"{n * page}" * 20, "date": "2026-02-01"} for n in range(5000)]
        made = records(*rows) if kind == "json" else csv_of(list(rows[0]), [list(row.values()) for row in rows])
        size += len(encoder.encode(made))
    size += len(encoder.finish())
    peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
    print(json.dumps([size, int(peak) * 1024]))
"""


@pytest.mark.processes
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_memory_does_not_grow_with_pages(kind: str) -> None:
    """Five times the rows take the same memory: nothing of a row group stays but its place in the footer."""
    small, large = (json.loads(output_of(MEASURE, kind, pages)) for pages in (20, 100))
    assert large[0] > 4 * small[0]
    assert large[1] - small[1] < 25 * MIB
