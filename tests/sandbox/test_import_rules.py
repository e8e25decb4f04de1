"""What uploaded rows do to the data (S3, S12, S13, S17, S20)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


EVENT = {"type": "X", "date": "2026-02-01T10:00:00Z"}


def _accepted(client: Client, resource: str, *rows: dict[str, Any]) -> None:
    assert client.upload(resource, list(rows)).status_code == 200
    assert client.sandbox.uploads[-1].errors == []


def _customers(client: Client) -> list[dict[str, Any]]:
    return list(client.sandbox.records("customers"))


def test_creation_defaults(empty: Client) -> None:
    """A new customer's permissions are false unless given (S3)."""
    _accepted(empty, "customers", {"external_id": "a", "can_sms": True})
    customer = empty.one("customers", "a")
    assert customer is not None
    assert customer.pop("cb_token")
    assert customer == {
        "external_id": "a",
        "can_sms": True,
        "registered_user": True,
        **dict.fromkeys(("can_email", "can_post", "can_profile", "can_push"), False),
    }


def test_update_of_a_generated_customer(client: Client) -> None:
    """Only supplied keys change; an empty string removes a key, null does nothing (S3; null: our choice)."""
    before = next(record for record in client.sandbox.records("customers") if "city" in record)
    _accepted(client, "customers", {"external_id": before["external_id"], "first_name": "Uusi", "city": "", "last_name": None})
    expected = {name: value for name, value in before.items() if name != "city"} | {"first_name": "Uusi"}
    assert client.one("customers", before["external_id"]) == expected
    assert client.data("customers").json()["count"] == 200


def test_lists_are_edited(empty: Client) -> None:
    """``.add`` and ``.remove`` edit lists, the plain name replaces them; an emptied list is no value."""
    steps: list[tuple[dict[str, Any], list[str] | None]] = [
        ({"tags": ["a", "b"]}, ["a", "b"]),
        ({"tags.add": ["c", "a"]}, ["a", "b", "c"]),
        ({"tags.add": "d", "tags.remove": ["a", "x"]}, ["b", "c", "d"]),
        ({"tags": "e"}, ["e"]),
        ({"tags.remove": ["e"]}, None),
    ]
    for change, expected in steps:
        _accepted(empty, "customers", {"external_id": "x"} | change)
        customer = empty.one("customers", "x")
        assert customer is not None
        assert customer.get("tags") == expected
    _accepted(empty, "customers", {"external_id": "x", "mailing_lists": "news", "mailing_lists.add": ["vip"]})
    assert (empty.one("customers", "x") or {})["mailing_lists"] == ["news", "vip"]


def test_email_row_updates_everybody_with_it(empty: Client) -> None:
    """A row identified by e-mail only updates every customer with that e-mail (S17), in any case."""
    _accepted(empty, "customers", *({"external_id": name, "email": "a@b.example"} for name in "xy"))
    _accepted(empty, "customers", {"external_id": "z", "email": "other@b.example"})
    _accepted(empty, "customers", {"email": "A@b.example", "external_id": "", "city": "Oulu"})
    assert [row.get("city") for row in _customers(empty)] == ["Oulu", "Oulu", None]
    assert [row["external_id"] for row in _customers(empty)] == ["x", "y", "z"]


def test_email_row_finds_generated_customers(client: Client) -> None:
    """Generated customers that share an e-mail are both updated."""
    shared = next(
        one["email"]
        for one in _customers(client)
        if sum(other.get("email") == one.get("email") for other in _customers(client)) == 2
    )
    _accepted(client, "customers", {"email": shared, "city": "Kemi"})
    assert [row["city"] for row in client.rows("customers", email=shared)] == ["Kemi", "Kemi"]


def test_row_without_a_match_is_a_new_customer(empty: Client) -> None:
    """Without a match a customer is created, without external id where none is given; the second row finds it."""
    _accepted(empty, "customers", {"phone_number": "+358401"}, {"phone_number": "+358401", "city": "Oulu"})
    assert len(_customers(empty)) == 1
    assert "external_id" not in _customers(empty)[0]
    assert _customers(empty)[0]["city"] == "Oulu"


def test_external_id_alone_decides(empty: Client) -> None:
    """With an external id only that is matched, so equal e-mails make two customers (our choice)."""
    _accepted(empty, "customers", *({"external_id": name, "email": "a@b.example"} for name in "xy"))
    assert len(_customers(empty)) == 2


def test_deletion_is_for_good(client: Client) -> None:
    """``is_deleted`` removes the customer; later rows do not bring it back (S3)."""
    name = _customers(client)[0]["external_id"]
    _accepted(client, "customers", {"external_id": name, "is_deleted": True})
    assert client.one("customers", name) is None
    client.upload("customers", [{"external_id": name, "is_deleted": False, "city": "Oulu"}])
    assert "deleted" in client.sandbox.uploads[-1].errors[0][1]
    _accepted(client, "events", EVENT | {"customer_id": name})
    assert client.one("customers", name) is None
    assert client.data("customers").json()["count"] == 199


def test_forgetting_cannot_be_undone(empty: Client) -> None:
    """``is_forgotten`` makes the customer anonymous; later personal data is not kept (S3)."""
    _accepted(empty, "customers", {"external_id": "x", "email": "a@b.example", "can_email": True, "acme__note": "n"})
    _accepted(empty, "customers", {"external_id": "x", "is_forgotten": True})
    _accepted(empty, "customers", {"external_id": "x", "email": "a@b.example", "is_forgotten": False})
    customer = _customers(empty)[0]
    assert customer["is_forgotten"] is True
    assert customer["can_email"] is False
    assert not {"email", "acme__note"} & customer.keys()
    assert empty.rows("customers", email="a@b.example") == []


@pytest.mark.parametrize(
    ("resource", "row"),
    [
        ("events", EVENT | {"customer_id": "new", "email": "a@b.example"}),
        (
            "sales",
            {
                "sale_external_id": "s",
                "sale_date": "2026-02-01",
                "sale_customer_id": "new",
                "sale_email": "a@b.example",
            },
        ),
    ],
)
def test_unknown_customer_is_made_up(empty: Client, resource: str, row: dict[str, Any]) -> None:
    """A sale or event of an unknown customer makes an unregistered one, which real data promotes (S20)."""
    _accepted(empty, resource, row)
    customer = empty.one("customers", "new")
    assert customer is not None
    assert (customer["registered_user"], customer["email"]) == (False, "a@b.example")
    _accepted(empty, resource, row)
    assert len(_customers(empty)) == 1
    _accepted(empty, "customers", {"external_id": "new", "city": "Oulu"})
    assert [row["registered_user"] for row in _customers(empty)] == [True]


def test_made_up_customer_without_id_is_promoted(empty: Client) -> None:
    """An unregistered customer known by e-mail gets the external id of the row that has the e-mail."""
    _accepted(empty, "events", EVENT | {"email": "a@b.example"})
    assert "external_id" not in _customers(empty)[0]
    _accepted(empty, "customers", {"external_id": "x", "email": "a@b.example"})
    assert [(row["external_id"], row["registered_user"]) for row in _customers(empty)] == [("x", True)]


@pytest.mark.parametrize(
    ("kind", "extra", "expected"),
    [
        ("MAIL_SUBSCRIBE", {"mailing_lists": ["news"]}, {"can_email": True, "mailing_lists": ["vip", "news"]}),
        ("MAIL_UNSUBSCRIBE", {}, {"can_email": False, "mailing_lists": ["vip"]}),
        ("MAIL_UNSUBSCRIBE", {"mailing_lists": ["vip"]}, {"can_email": True, "mailing_lists": None}),
        ("SMS_SUBSCRIBE", {}, {"can_sms": True}),
        ("SMS_UNSUBSCRIBE", {}, {"can_sms": False}),
    ],
)
def test_permission_events(empty: Client, kind: str, extra: dict[str, Any], expected: dict[str, Any]) -> None:
    """Subscribing and unsubscribing change permissions and lists (S13)."""
    _accepted(empty, "customers", {"external_id": "x", "can_email": True, "can_sms": True, "mailing_lists": "vip"})
    _accepted(empty, "events", EVENT | {"type": kind, "customer_id": "x"} | extra)
    customer = _customers(empty)[0]
    assert {name: customer.get(name) for name in expected} == expected


def test_customer_token_identifies(client: Client) -> None:
    """An event may name its customer by token (S13); an unknown token makes nobody up."""
    customer = next(record for record in client.sandbox.records("customers") if record["can_sms"])
    _accepted(client, "events", EVENT | {"type": "SMS_UNSUBSCRIBE", "customer_token": customer["cb_token"]})
    assert (client.one("customers", customer["external_id"]) or {})["can_sms"] is False
    _accepted(client, "events", EVENT | {"customer_token": "nobody"})
    assert client.data("customers").json()["count"] == 200


def test_events_are_appended(empty: Client) -> None:
    """Events have no id: sending one twice makes two (S1 by omission)."""
    _accepted(empty, "events", EVENT | {"customer_id": "x"})
    _accepted(empty, "events", EVENT | {"customer_id": "x"})
    assert len(empty.rows("events", type="X")) == 2


def test_sales_rows_are_updated_by_their_id(client: Client) -> None:
    """A row with a known id is updated, generated ones too, and is found by its new date."""
    row = next(client.sandbox.records("sales"))
    change = {name: row[name] for name in ("external_id", "sale_external_id", "sale_customer_id")}
    _accepted(client, "sales", change | {"sale_date": "2020-05-05T12:00:00Z", "total": 1})
    assert client.rows("sales", sale_date="2020-05-05") == [row | {"sale_date": "2020-05-05T12:00:00Z", "total": 1}]
    assert row["external_id"] not in [
        other["external_id"] for other in client.rows("sales", sale_date=row["sale_date"][:10], limit=1000)
    ]
    _accepted(client, "sales", {"sale_external_id": "n", "sale_date": "2026-02-01", "sale_email": "a@b.c"})
    assert len(client.rows("sales", sale_external_id="n")) == 1


@pytest.mark.parametrize("head", [0, 1])
def test_rows_of_a_sale_share_what_is_of_the_sale(empty: Client, head: int) -> None:
    """Date, customer and the like stand once in an upload, in any row, or are known from before (S7, S11)."""
    common = {"sale_date": "2026-02-01T00:00:00Z", "sale_email": "a@b.c", "sale_state": "NEW"}
    rows = [{"sale_external_id": "s", "external_id": f"s-{item}", **(common if item == head else {})} for item in range(2)]
    _accepted(empty, "sales", *rows)
    _accepted(empty, "sales", {"sale_external_id": "s", "external_id": "s-2", "quantity": 2})
    expected = [{"sale_external_id": "s", "external_id": f"s-{item}", **common} for item in range(3)]
    expected[2]["quantity"] = 2
    assert empty.rows("sales", sale_external_id="s") == expected
    empty.upload(
        "sales", [{"sale_external_id": "t", "external_id": "t-0"}, {"sale_external_id": "t", "sale_date": "2026-02-01"}]
    )
    assert [reason for _, reason in empty.sandbox.uploads[-1].errors] == [
        "no identifier: expected one of sale_customer_id, sale_phone_number, sale_email"
    ] * 2


def test_products_are_found_by_sku_then_ean(empty: Client) -> None:
    """A product row without external id updates the product with its SKU, else its EAN (S12)."""
    _accepted(empty, "products", {"external_id": "p", "sku": "s", "ean": "e", "price": 1, "category": ["a", "b"]})
    _accepted(empty, "products", {"sku": "s", "price": 2}, {"ean": "e", "title": "T", "category": "c"})
    expected = {"external_id": "p", "sku": "s", "ean": "e", "price": 2, "title": "T", "category": "c"}
    assert empty.rows("products") == [expected]


def test_shops_are_kept(empty: Client) -> None:
    """Shops are uploaded by id (S14) although no page shows them being read."""
    _accepted(empty, "shops", {"external_id": "s", "name": "A"}, {"external_id": "s", "is_hidden": True})
    assert list(empty.sandbox.records("shops")) == [{"external_id": "s", "name": "A", "is_hidden": True}]
