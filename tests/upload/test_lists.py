"""Lists where a source has no type for them: what a person means by the cell, in every kind of source."""

from __future__ import annotations

import csv
import io
import json
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_custobar.upload.rows import GoodRow, Rejected, TextRow, check_row
from airflow_provider_custobar.upload.sql_rows import SqlRows
from tests.upload.file_help import csv_bytes, parquet_bytes, read
from tests.upload.support import GOOD, build_plan

#: A cell, and the texts that it is a list of.
CELLS: list[tuple[str, list[str]]] = [
    ("a, b,c", ["a", "b", "c"]),
    ("a,,b,", ["a", "b"]),
    ('"vip","new"', ["vip", "new"]),
    ('"Jazz, Vinyl",vip', ["Jazz, Vinyl", "vip"]),
    ('vip , "Jazz, Vinyl" ', ["vip", "Jazz, Vinyl"]),
    ('"say ""hi"", ok"', ['say "hi", ok']),
    ('"a\nb",c', ["a\nb", "c"]),
    ('""', []),
    ('"","a", "" ', ["a"]),
    # Quotes that hold nothing together are part of a text.
    ('5" vinyl, 7" vinyl', ['5" vinyl', '7" vinyl']),
    ('"old" vinyl, new', ['"old" vinyl', "new"]),
    ('"open, new', ['"open', "new"]),
    # JSON, and Python's own form, which pandas writes.
    ('["vip", "Jazz, Vinyl"]', ["vip", "Jazz, Vinyl"]),
    (' [ "caf\\u00e9" ]\n', ["café"]),
    ("[1, 2.50, 3.00, 12345678901234567890]", ["1", "2.50", "3", "12345678901234567890"]),
    ("[]", []),
    ("['vip', 'Jazz, Vinyl']", ["vip", "Jazz, Vinyl"]),
    ("[\"it's\", 'b']", ["it's", "b"]),
    # What only looks like a list.
    ("[sic] tag", ["[sic] tag"]),
    ("[sic] tag, b", ["[sic] tag", "b"]),
    ("[VIP], b", ["[VIP]", "b"]),
    ('["a"] b', ['["a"] b']),
    ("['a' 'b'], c", ["['a' 'b']", "c"]),
    ("{a}", ["{a}"]),
]


def sent(resource: str, row: dict[str, Any]) -> Any:
    checked = check_row(0, row, build_plan(resource))
    assert isinstance(checked, GoodRow), checked
    return json.loads(checked.data)


@pytest.mark.parametrize(("cell", "texts"), CELLS)
@pytest.mark.parametrize(
    ("resource", "name"),
    [("customers", "tags"), ("customers", "mailing_lists.add"), ("sales", "sale_coupon_codes"), ("products", "tags")],
)
def test_a_cell_of_csv_is_the_list_that_is_meant(resource: str, name: str, cell: str, texts: list[str]) -> None:
    """Rule: commas part texts, quotes hold them together, and JSON is JSON."""
    (row,) = read("a.csv", csv_bytes([{k: str(v) for k, v in GOOD[resource].items()} | {name: cell}]))
    assert sent(resource, row)[name] == texts


@pytest.mark.parametrize("name", ["category", "category_id"])
@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("Shoes, men", "Shoes, men"), ("Shoes", "Shoes"), ('"Shoes"', '"Shoes"'), ('5" vinyl, 7"', '5" vinyl, 7"'),
        ("[sic] a, b", "[sic] a, b"), ("[VIP]", "[VIP]"), ('"Shoes, men","New"', ["Shoes, men", "New"]),
        ('New,"Shoes, men"', ["New", "Shoes, men"]),
        ('["Shoes, men"]', ["Shoes, men"]), ("[12, 13]", ["12", "13"]), ("['a', 'b']", ["a", "b"]),
    ],
)  # fmt: skip
def test_a_cell_that_may_be_one_text_is_a_list_only_plainly(name: str, cell: str, value: Any) -> None:
    """Rule: a comma alone parts nothing where a text may stand alone."""
    row = TextRow({"external_id": "1", "price": "1", name: cell})
    assert sent("products", row)[name] == value


JSON_LISTS = [(cell, texts) for cell, texts in CELLS if cell.strip().startswith("[") and cell.strip().endswith("]")]


@pytest.mark.parametrize(("cell", "texts"), JSON_LISTS)
@pytest.mark.parametrize("source", ["jsonl", "json", "parquet", "sql"])
def test_a_text_that_is_a_list_is_read_alike_from_every_source(source: str, cell: str, texts: list[str]) -> None:
    """Rule: a list in a text is that list, whether it comes from a file or a query."""
    row = {"external_id": "1", "tags": cell}
    rows: list[Any]
    if source == "sql":
        rows = list(SqlRows(lambda: nullcontext((list(row), [list(row.values())])), resource="customers"))
    elif source == "parquet":
        rows = read("a.parquet", parquet_bytes([row]))
    else:
        rows = read(f"a.{source}", json.dumps([row] if source == "json" else row).encode())
    assert sent("customers", rows[0])["tags"] == texts


@pytest.mark.parametrize(
    "cell", ['["a", null]', '["a", true]', '["a", ["b"]]', '[{"a": 1, "a": 2}]', "[" * 200_000 + "]" * 200_000, "[NaN]"]
)
def test_a_list_of_anything_else_is_refused(cell: str) -> None:
    """Rule: what is no list of texts is a reason against its row, which does not show it."""
    for row in (TextRow({"external_id": "1", "tags": cell}), {"external_id": "1", "tags": cell}):
        checked = check_row(0, row, build_plan())
        assert isinstance(checked, Rejected)
        assert checked.reasons[0].startswith("tags must be a list of texts")


@pytest.mark.parametrize("cell", ["[vip, new]", "['vip', None]", "['vip', 1.5]", '["vip", "new"', "[1,2", " [vip,new] "])
def test_a_list_of_another_form_is_not_torn_at_its_commas(cell: str) -> None:
    """Rule: a cell in brackets that is a list of nobody's we know is refused, instead of a tag that begins with a bracket."""
    checked = check_row(0, TextRow({"external_id": "1", "tags": cell}), build_plan())
    assert isinstance(checked, Rejected)
    assert checked.reasons == ["tags must be a list of texts"]


@pytest.mark.parametrize("space", ["", " ", "\t", "\n", "\r\n"])
def test_a_member_of_an_object_in_a_text_has_its_name_alone(space: str) -> None:
    """Rule: of two members of one name neither is lost, however the text is laid out."""
    text = f'[{{"shop_id"{space}: "1", "shop_id"{space}: "2"}}]'
    for row in (TextRow({"external_id": "1", "price": "1", "stock": text}), {"external_id": "1", "price": 1, "stock": text}):
        checked = check_row(0, row, build_plan("products"))
        assert isinstance(checked, Rejected)
        assert checked.reasons[0].startswith("stock must be a list of objects with shop_id and quantity")


@pytest.mark.parametrize(
    "text", ['[{"shop_id": "1", "quantity": 2.50}]', '[{"shop_id": "1", "quantity": 12345678901234567.89}]']
)
def test_objects_in_a_text_keep_their_digits(text: str) -> None:
    """Rule: numbers in a list of objects keep their digits, from a cell and from a text."""
    for row in (TextRow({"external_id": "1", "price": "1", "stock": text}), {"external_id": "1", "price": 1, "stock": text}):
        checked = check_row(0, row, build_plan("products"))
        assert isinstance(checked, GoodRow)
        assert text.replace(" ", "") in checked.data.decode()


TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip() == text), min_size=1
)


@given(TEXTS)
@example(["[", "0"])
def test_lists_written_as_csv_or_json_come_back(texts: list[str]) -> None:
    """Rule: whatever the texts are, a list of them that was written by a program is that list."""
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="").writerow(texts)
    for cell in (out.getvalue(), json.dumps(texts), json.dumps(texts, ensure_ascii=False, indent=1)):
        (row,) = read("a.csv", csv_bytes([{"external_id": "1", "tags": cell}]))
        assert sent("customers", row)["tags"] == texts
