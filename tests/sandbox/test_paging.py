"""next_url, cursors, snapshots (S1; everything but "follow it until it is gone" is our choice)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


def test_next_url_keeps_path_and_parameters(client: Client) -> None:
    """next_url is absolute, has the same path (scopes match it exactly), the same parameters, and a cursor."""
    response = client.data("customers", "?limit=30&can_email=true&fields=email%2Ccity")
    url = response.json()["next_url"]
    assert url == response.headers["X-Custobar-Next-Url"]
    assert url.startswith(f"{client.sandbox.url}/api/data/customers/?")
    query = parse_qs(urlsplit(url).query)
    assert len(query.pop("cursor")) == 1
    assert query == {"limit": ["30"], "can_email": ["true"], "fields": ["email,city"]}


def test_last_page_has_no_next_url(client: Client) -> None:
    """The key is absent, not null, on the last page; a page that ends exactly is the last."""
    assert len(list(client.pages("customers", limit=100))) == 2
    response = client.data("customers", limit=200)
    assert "next_url" not in response.json()
    assert "X-Custobar-Next-Url" not in response.headers


@pytest.mark.parametrize("style", ["absolute", "relative", "offset"])
@pytest.mark.parametrize("resource", ["customers", "sales", "products"])
def test_pages_join_to_everything(make_client: Callable[..., Client], style: str, resource: str) -> None:
    """Pages join to all records in order, in every style of next_url."""
    client = make_client(next_url_style=style, customers=40)
    pages = list(client.pages(resource, limit=17))
    assert [record for page in pages for record in page] == list(client.sandbox.records(resource))
    assert all(len(page) == 17 for page in pages[:-1])


def test_scoped_token_can_page(client: Client) -> None:
    """A token scoped to one path can follow next_url."""
    client.session.headers["Authorization"] = f"Bearer {client.sandbox.scoped_token}"
    assert sum(map(len, client.pages("customers", limit=60))) == 200


def test_empty_last_page_and_short_pages(make_client: Callable[..., Client]) -> None:
    """Only a missing next_url ends the paging: pages may be short, the last one empty."""
    client = make_client(empty_last_page=True, short_pages=True)
    assert [len(page) for page in client.pages("customers", limit=100)] == [50, 50, 50, 50, 0]


def test_snapshot(empty: Client) -> None:
    """Pages show the data as it was at the first request."""
    empty.sandbox.load("customers", [{"external_id": name, "city": "old"} for name in "bcde"])
    pages = empty.pages("customers", limit=2)
    seen = next(pages)
    empty.upload("customers", [{"external_id": name, "city": "new"} for name in "abcdef"])
    seen += next(pages)
    assert [(row["external_id"], row["city"]) for row in seen] == [(name, "old") for name in "bcde"]
    assert list(pages) == []


def test_without_snapshot_a_row_comes_twice(empty: Client) -> None:
    """Paging by position over changing data repeats rows, which a client must survive."""
    empty.sandbox.settings.cursor_snapshot = False
    empty.sandbox.load("customers", [{"external_id": name} for name in "bcde"])
    pages = empty.pages("customers", limit=2)
    seen = next(pages)
    empty.sandbox.load("customers", [{"external_id": "a"}])
    seen += [row for page in pages for row in page]
    assert [row["external_id"] for row in seen] == ["b", "c", "c", "d", "e"]


def test_cursors_expire(client: Client) -> None:
    """A cursor lives for its time, then it is a 400."""
    url = client.data("customers", limit=10).json()["next_url"]
    client.sandbox.clock.advance(599)
    assert client.session.get(url, timeout=10).status_code == 200
    client.sandbox.clock.advance(1)
    response = client.session.get(url, timeout=10)
    assert response.status_code == 400
    assert "expired" in response.json()["error"]["reason"]


def test_a_page_can_be_fetched_again(client: Client) -> None:
    """The same next_url gives the same page again."""
    url = client.data("sales", limit=10).json()["next_url"]
    first, again = (client.session.get(url, timeout=10).json()["sales"] for _ in range(2))
    assert first == again


@pytest.mark.parametrize("change", ["&limit=11", "&can_sms=true", "&cursor=x"])
def test_a_cursor_belongs_to_its_query(client: Client, change: str) -> None:
    """next_url is opaque: a client that adds parameters of its own is told so."""
    url = client.data("customers", limit=10).json()["next_url"]
    assert client.session.get(url + change, timeout=10).status_code == 400


def test_cursor_of_another_resource(client: Client) -> None:
    """A cursor is of no use on another path."""
    url = client.data("customers", limit=10).json()["next_url"]
    assert client.session.get(url.replace("customers", "products"), timeout=10).status_code == 400
    assert client.data("customers", cursor="made-up").status_code == 400


def test_raw_characters_survive_in_next_url(client: Client) -> None:
    """What a client sent unescaped comes back escaped, since a header cannot carry it."""
    client.sandbox.load("products", [{"external_id": str(n), "title": "ä b"} for n in range(3)])
    pages = list(client.pages("products", title="ä b", limit=1))
    assert len(pages) == 3


def test_events_pages_are_the_same_as_one(make_client: Callable[..., Client]) -> None:
    """Loaded events stand between generated ones on the right pages."""
    client = make_client(events=500)
    loaded = [{"type": "BROWSE", "date": f"2026-02-{day:02}T12:00:00Z", "label": "x"} for day in range(1, 28)]
    client.sandbox.load("events", reversed(loaded))
    whole = client.rows("events", type="BROWSE", limit=10000)
    assert [event for page in client.pages("events", type="BROWSE", limit=7) for event in page] == whole
    assert sum(event.get("label") == "x" for event in whole) == 27
    assert [event["date"] for event in whole] == sorted(event["date"] for event in whole)
