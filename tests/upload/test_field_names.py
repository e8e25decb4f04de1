"""Names that came with the data: what they are in messages, and which of them go to Custobar."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest

from airflow_provider_custobar.api.errors import field_name, field_names
from airflow_provider_custobar.upload.files import File, FileRows
from airflow_provider_custobar.upload.results import InvalidRowsError
from airflow_provider_custobar.upload.rows import TextRow
from tests.upload.support import run

PERSON = [
    "C-1",
    "anna@example.com",
    "Anna",
    "Virtanen",
    "+358401234567",
    "0401234567",
    "Mannerheimintie 1",
    "1990-05-06",
    "€ 5",
]


@pytest.mark.parametrize("name", ["email", "ACME__shoe_size", "tags.add", "Notes", "_id", "x" * 60])
def test_what_looks_like_a_field_is_shown(name: str) -> None:
    """Rule: letters, digits, ``_`` and ``.`` make the name of a field."""
    assert field_name(name, 3) == repr(name)
    assert field_names([name]) == name


@pytest.mark.parametrize(
    "name", [*(name for name in PERSON if name not in ("Anna", "Virtanen")), "", "a b", "Ä", "x" * 61, None, 5]
)
def test_what_does_not_is_told_by_its_place(name: object) -> None:
    """Rule: anything else may be a person's: it is told by its place, or not at all."""
    assert field_name(name, 3) == "column 3"
    assert str(name) not in field_name(name) or not name
    assert field_names(["email", name]) == "email, 1 whose names are not shown"


@pytest.mark.parametrize(
    "options", [{"on_invalid": "fail"}, {"unknown_fields": "drop"}, {"company": "acme"}, {"resource": "sales"}]
)
def test_a_file_without_a_header_shows_nobody(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Rule: where the first line of a file is a person, no message shows anything of it, not even the first name."""
    caplog.set_level(logging.DEBUG)
    data = "\n".join([",".join(PERSON), ",".join("C-2 matti@example.com Matti Meikäläinen + 0 0 0 0".split())]).encode()
    with pytest.raises(InvalidRowsError) as caught:
        run(FileRows([File(name="people.csv", open=lambda: io.BytesIO(data))]), **options)
    told = str(caught.value) + caplog.text
    assert not [part for part in PERSON if part in told]
    assert "Matti" not in told
    assert options.get("unknown_fields") or "column 1 is not a field of" in told


def test_reserved_cells_show_where_a_column_is() -> None:
    """Rule: in a file with a header, a column with an odd name is told by its place; one with a plain name by that."""
    row = TextRow({"external_id": "1", "E-mail Address": "a@b.fi", "Notes": "x"})
    (rejected,) = run([row], on_invalid="skip")[2]
    assert [reason.split(".")[0] for reason in rejected.reasons] == [
        "column 2 is not a field of customers",
        "'Notes' is not a field of customers",
    ]


def test_unknown_fields_are_dropped_and_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    """Rule: ``drop`` leaves out what Custobar has no field for, and the log says once which fields, in how many rows."""
    rows = [
        {"external_id": "1", "Notes": "n", "First Name": "x", "city": "Turku", "ACME__size": 4},
        {"external_id": "2", "Notes": ""},
        {"external_id": "3", "Notes": None, "email": "anna@example.com"},
    ]
    _, sent, _ = run(rows, unknown_fields="drop")
    assert sent.rows == [
        {"external_id": "1", "city": "Turku", "ACME__size": 4},
        {"external_id": "2"},
        {"external_id": "3", "email": "anna@example.com"},
    ]
    (told,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert told.endswith("are left out: 'Notes' in 2 rows, column 3 in 1 row")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"external_id": "1", "other__size": 1}, "'other__size' is another company's field"),
        ({"external_id": "1", None: ["more", "cells"]}, "a field's name must be a text"),
        ({"Notes": "n", "emial": "a@b.fi"}, "at least one of external_id"),
        ({"external_id": "1", "Notes": "n", "country": "Finland"}, "country must be"),
    ],
)
def test_dropping_does_not_hide_mistakes(row: Any, reason: str) -> None:
    """Rule: another company's field, cells without a name, and rows that lose what they need are refused as ever."""
    (rejected,) = run([row], unknown_fields="drop", company="acme", on_invalid="skip")[2]
    assert rejected.reasons[0].startswith(reason)


@pytest.mark.parametrize("row_type", [dict, TextRow])
def test_a_mapping_leaves_a_field_out(row_type: Any) -> None:
    """Rule: None leaves one field out, known or not, and others are still refused."""
    mapping = {"Notes": None, "mail": "email", "city": None}
    rows = [row_type({"external_id": "1", "mail": "a@b.fi", "Notes": "n", "city": "x"})]
    assert run(rows, field_mapping=mapping)[1].rows == [{"external_id": "1", "email": "a@b.fi"}]
    (rejected,) = run([row_type({"external_id": "1", "Note": "n"})], field_mapping=mapping, on_invalid="skip")[2]
    assert rejected.reasons[0].startswith("'Note' is not a field")


def test_what_is_left_out_is_in_nobodys_way() -> None:
    """Rule: a field may take the name of one that is left out; two for one name are refused, with the name."""
    mapping = {"email": None, "mail": "email"}
    row = {"external_id": "1", "email": "wrong", "mail": "a@b.fi"}
    assert run([row], field_mapping=mapping)[1].rows == [{"external_id": "1", "email": "a@b.fi"}]
    (rejected,) = run([row], field_mapping={"mail": "email"}, on_invalid="skip")[2]
    assert rejected.reasons == ["field_mapping gives two of its fields the same name, 'email'"]


def test_a_row_of_a_file_is_told_by_file_and_row() -> None:
    """Rule: of several files, the error names the one, and which of its rows it is."""
    files = [
        File(name=f"{name}.csv", open=lambda name=name: io.BytesIO(f"external_id,country\n1,FI\n2,{name}\n".encode()))  # type: ignore[misc]
        for name in ("FI", "Suomi", "SE", "Ruotsi")
    ]
    with pytest.raises(InvalidRowsError) as caught:
        run(FileRows(files))
    lines = str(caught.value).splitlines()
    assert lines[1].startswith("row 2 of Suomi.csv: country must be")
    assert lines[2].startswith("row 2 of Ruotsi.csv: country must be")
