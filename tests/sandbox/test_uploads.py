"""POST /api/<resource>/upload/: bodies, answers, refusals (S3, S7, S10, S17)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


ROW = {"external_id": "c-1", "email": "a@b.example"}
CSV = {"Content-Type": "text/csv"}


@pytest.mark.parametrize("body", [[ROW], {"customers": [ROW]}])
def test_bare_and_wrapped_lists(empty: Client, body: Any) -> None:
    """A bare list (S10) and an object named after the resource (C1, C2) are both taken."""
    response = empty.upload("customers", body)
    assert response.status_code == 200
    assert response.json()["response"] == "ok"
    upload = empty.sandbox.uploads[0]
    assert upload.run_id == response.json()["run_id"]
    assert (upload.resource, upload.rows, upload.accepted, upload.errors) == ("customers", [ROW], 1, [])
    found = empty.one("customers", "c-1")
    assert found is not None
    assert found["email"] == "a@b.example"


def test_answers_by_setting(empty: Client) -> None:
    """Status and body of a success are settings, since sources disagree (S7, C1, C2)."""
    settings = empty.sandbox.settings
    settings.upload_status, settings.upload_body = 202, "run_id"
    response = empty.upload("customers", [ROW])
    assert response.status_code == 202
    assert list(response.json()) == ["run_id"]
    settings.upload_body = "ok"
    assert empty.upload("customers", [ROW]).json() == {"response": "ok"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[NaN]", "not valid JSON"),
        ("null", "must be a list"),
        ('[{"external_id": "a"}, 1]', "must be a list"),
        ('{"products": []}', "'customers'"),
        ('{"customers": {}}', "must be a list"),
        ('{"customers": [], "more": 1}', "must be a list"),
        (b'[{"external_id": "\xff"}]', "not valid JSON"),
    ],
)
def test_wrong_json(empty: Client, body: str | bytes, expected: str) -> None:
    """Bodies that are no list of objects are a 400, and nothing of them is taken."""
    response = empty.upload("customers", None, json=None, data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert expected in response.json()["error"]["reason"]
    assert empty.sandbox.uploads == []


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "text/plain"}, {}, {"Content-Type": "application/json", "Content-Encoding": "gzip"}],
)
def test_wrong_content_type(empty: Client, headers: dict[str, str]) -> None:
    """Other content types, and compressed bodies, are a 415 (our choice)."""
    body = gzip.compress(json.dumps([ROW]).encode())
    assert empty.upload("customers", None, json=None, data=body, headers=headers).status_code == 415


def test_too_large(empty: Client) -> None:
    """Bodies over the limit are a 413, chunked ones too; the connection stays usable."""
    empty.sandbox.settings.max_body_bytes = 1000
    rows = [ROW] * 100

    def chunks() -> Iterator[bytes]:
        yield json.dumps(rows).encode()

    headers = {"Content-Type": "application/json"}
    assert empty.upload("customers", rows).status_code == 413
    assert empty.upload("customers", None, json=None, data=chunks(), headers=headers).status_code == 413
    assert empty.upload("customers", [ROW]).status_code == 200
    empty.sandbox.settings.max_rows = 2
    assert empty.upload("customers", [ROW] * 3).status_code == 413


def test_chunked_body(empty: Client) -> None:
    """A body without a length is read to its end."""
    headers = {"Content-Type": "application/json"}
    data = iter([b'[{"external', b'_id": "x"}]'])
    assert empty.upload("customers", None, json=None, data=data, headers=headers).status_code == 200
    assert empty.one("customers", "x") is not None


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("charset", ["", "utf-8", "utf-16", "ISO-8859-1"])
def test_csv(empty: Client, delimiter: str, charset: str) -> None:
    """CSV: delimiter detected, three charsets, lists in a cell, quotes, texts become typed values (S10, S17)."""
    lines = [
        ["external_id", "first_name", "can_sms", "tags", "acme__note"],
        ["c-1", "Äijä", "true", '"x, y"', f'"a{delimiter}""b""\nc"'],
        ["c-2", "", "False", "", "z"],
    ]
    text = "\r\n".join(delimiter.join(line) for line in lines)
    headers = {"Content-Type": f"text/csv; charset={charset}" if charset else "text/csv"}
    response = empty.upload("customers", None, json=None, data=text.encode(charset or "utf-8"), headers=headers)
    assert response.status_code == 200, response.text
    one, two = empty.rows("customers")
    assert (one["first_name"], one["can_sms"], one["tags"]) == ("Äijä", True, ["x", "y"])
    assert one["acme__note"] == f'a{delimiter}"b"\nc'
    assert two["can_sms"] is False
    assert "first_name" not in two


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "text/csv"),
        (b"external_id,email\nx", "text/csv"),
        (b'external_id\n"x', "text/csv"),
        (b"external_id\n\xff", "text/csv"),
        (b"external_id\nx", "text/csv; charset=koi8-r"),
    ],
)
def test_wrong_csv(empty: Client, body: bytes, content_type: str) -> None:
    """CSV that cannot be read whole is a 400."""
    response = empty.upload("customers", None, json=None, data=body, headers={"Content-Type": content_type})
    assert response.status_code == 400
    assert response.json()["error"]["reason"]


def test_csv_types_in_strict_mode(empty: Client) -> None:
    """A CSV holds texts only, so even strict mode converts them."""
    empty.sandbox.settings.strict_rows = True
    text = "external_id,price,in_stock,weight\np-1,1290,true,0.5\n"
    assert empty.upload("products", None, json=None, data=text, headers=CSV).status_code == 200
    product = empty.one("products", "p-1")
    assert product == {"external_id": "p-1", "price": 1290, "in_stock": True, "weight": 0.5}


@pytest.mark.parametrize(
    ("resource", "row", "expected"),
    [
        ("customers", {"first_name": "x"}, "no identifier"),
        ("customers", {"external_id": ""}, "no identifier"),
        ("customers", {"external_id": None}, "no identifier"),
        ("customers", {"external_id": "a b"}, "letters, digits and dashes"),
        ("customers", {"external_id": "a", "date_joined": "soon"}, "date_joined='soon'"),
        ("customers", {"external_id": "a", "birth_date": "2000-13-01"}, "birth_date="),
        ("customers", {"external_id": "a", "can_sms": "maybe"}, "can_sms='maybe'"),
        ("customers", {"external_id": "a", "tags": [1]}, "tags=[1]"),
        ("products", {"external_id": "a"}, "no price"),
        ("products", {"external_id": "a", "price": 12.5}, "price=12.5"),
        ("products", {"external_id": "a", "price": 1, "stock": "x"}, "stock='x'"),
        ("shops", {"name": "x"}, "no identifier"),
        ("sales", {"sale_external_id": "t", "sale_date": "2026-02-01"}, "no identifier"),
        ("sales", {"sale_external_id": "t", "sale_email": "a@b.c"}, "no sale_date"),
        ("sales", {"sale_external_id": "s", "sale_date": ""}, "no sale_date"),
        ("sales", {"sale_email": "a@b.c", "sale_date": "2026-02-01"}, "no sale_external_id"),
        ("events", {"type": "X", "customer_id": "c"}, "no date"),
        ("events", {"type": "browse", "customer_id": "c", "date": "2026-02-01"}, "upper case"),
    ],
)
def test_wrong_rows_are_skipped(empty: Client, resource: str, row: dict[str, Any], expected: str) -> None:
    """A wrong row is skipped and logged with its position; the rest is taken, the answer is a success."""
    good = {
        "customers": {"external_id": "ok"},
        "products": {"external_id": "ok", "price": 1},
        "shops": {"external_id": "ok"},
        "sales": {"external_id": "ok", "sale_external_id": "s", "sale_date": "2026-02-01", "sale_email": "a@b.c"},
        "events": {"type": "X", "date": "2026-02-01", "customer_id": "c"},
    }
    assert empty.upload(resource, [good[resource], row, good[resource]]).status_code == 200
    upload = empty.sandbox.uploads[-1]
    assert upload.accepted == 2
    assert [position for position, _ in upload.errors] == [1]
    assert expected in upload.errors[0][1]


@pytest.mark.parametrize("row", [{"email": "nobody"}, {"phone_number": "0401234567"}, {"external_id": 7}])
def test_strict_rows(empty: Client, row: dict[str, Any]) -> None:
    """Malformed e-mails and phones, and values of a wrong JSON type, are taken unless rows are strict."""
    empty.upload("customers", [row])
    empty.sandbox.settings.strict_rows = True
    empty.upload("customers", [row])
    lax, strict = empty.sandbox.uploads
    assert (lax.accepted, strict.accepted) == (1, 0)


def test_unknown_fields_are_dropped_and_logged(empty: Client) -> None:
    """Unknown fields without the tenant's prefix are ignored with a log entry; custom ones stay (S18)."""
    empty.upload("customers", [{"external_id": "a", "shoe_size": 44, "acme__size": 44}])
    assert empty.sandbox.uploads[0].ignored == ["shoe_size"]
    assert empty.rows("customers", fields="shoe_size,acme__size") == [{"external_id": "a", "acme__size": 44}]


def test_import_delay(make_client: Callable[..., Client]) -> None:
    """An upload is only scheduled (S7): with a delay it shows later, and its log fills then."""
    client = make_client(generate=False, import_delay_s=5, run_status=True)
    run_id = client.upload("customers", [ROW]).json()["run_id"]
    assert client.rows("customers") == []
    assert not client.sandbox.uploads[0].done
    assert client.get(f"/api/runs/{run_id}/").json()["status"] == "pending"
    client.sandbox.clock.advance(5)
    assert [row["external_id"] for row in client.rows("customers")] == ["c-1"]
    assert client.get(f"/api/runs/{run_id}/").json() == {
        "run_id": run_id,
        "status": "done",
        "accepted": 1,
        "errors": [],
    }


def test_run_status_is_off(empty: Client) -> None:
    """No source shows an endpoint for a run, so it is off unless a setting invents it."""
    run_id = empty.upload("customers", [ROW]).json()["run_id"]
    assert empty.get(f"/api/runs/{run_id}/").status_code == 404


@pytest.mark.parametrize("path", ["/api/events/upload/", "/api/events/"])
def test_events_on_both_paths(empty: Client, path: str) -> None:
    """Events go to the path of C2 or of S22."""
    body = [{"type": "X", "date": "2026-02-01", "customer_id": "c"}]
    assert empty.session.post(empty.sandbox.url + path, json=body, timeout=10).status_code == 200
    assert len(empty.rows("events", type="X")) == 1


def test_ten_thousand_rows(client: Client) -> None:
    """A large upload onto generated customers finds each by its id or e-mail without scanning them."""
    rows = [{"external_id": f"n-{number}", "email": f"n{number}@x.example"} for number in range(10_000)]
    assert client.upload("customers", rows).status_code == 200
    assert client.sandbox.uploads[-1].accepted == 10_000
