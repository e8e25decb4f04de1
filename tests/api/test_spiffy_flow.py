"""The client of a Spiffy Stores shop: reading everybody once, writing, and being refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.config import ClientConfig, config_from_connection
from airflow_provider_custobar.api.messages import Request
from airflow_provider_custobar.api.responses import Response
from airflow_provider_custobar.api.spiffy import flow
from airflow_provider_custobar.api.spiffy.client import SpiffyStoresClient
from airflow_provider_custobar.api.spiffy.service import SPIFFY_STORES
from airflow_provider_custobar.sandbox import Fault, SpiffyStoresSandbox
from airflow_provider_custobar.sandbox.log import RequestRecord
from tests.api.conftest import Answers, FlowRunner

PASSWORD = "secretsecretsecret"
CUSTOMERS = "/api/customers.json"


def config_for(host: str, password: str = PASSWORD, login: str | None = "key", **extra: Any) -> ClientConfig:
    extra = {"requests_per_minute": 600_000, "timeout": 10, **extra}
    return config_from_connection(host=host, login=login, password=password, extra=extra, service=SPIFFY_STORES)


class Shop:
    """A store of customers 1 to ``size``, and its client, whose sleeps are kept and not slept."""

    def __init__(self, store: SpiffyStoresSandbox, size: int) -> None:
        self.store = store
        self.slept: list[float] = []
        minutes = {n: f"2026-01-01T00:{n:02}:00+10:00" for n in range(1, size + 1)}
        store.load({"id": n, "email": f"{n}@example.com", "updated_at": at} for n, at in minutes.items())

    def client(self, **extra: Any) -> SpiffyStoresClient:
        config = config_for(self.store.url, self.store.password, self.store.key, **extra)
        return SpiffyStoresClient(config, sleep=self.slept.append, clock=lambda: sum(self.slept))

    def pages(self, size: int = 10, **parameters: str) -> list[list[int]]:
        with self.client() as client:
            return [[customer["id"] for customer in page] for page in client.pages(parameters, size)]

    def read(self, size: int = 10, **parameters: str) -> list[int]:
        return [number for page in self.pages(size, **parameters) for number in page]

    def before_page(self, number: int, change: Callable[[], object]) -> None:
        """Change the store before the ``number``-th page of customers is answered."""
        seen: list[RequestRecord] = []

        def called(request: RequestRecord) -> None:
            if request.path == CUSTOMERS:
                seen.append(request)
                if len(seen) == number:
                    change()

        self.store.before_answer(called)

    @property
    def asked(self) -> list[tuple[str, str]]:
        """How each page was asked for, by ``since_id`` or ``page``, or that it was the count."""
        queries = [{name: r.query[name][0] for name in ("since_id", "page") if name in r.query} for r in self.store.requests]
        return [next(iter(query.items()), ("count", "")) for query in queries]


@pytest.fixture
def open_shop(spiffy_sandbox_factory: Callable[..., SpiffyStoresSandbox]) -> Callable[[int], Shop]:
    return lambda size: Shop(spiffy_sandbox_factory(generate=False), size)


@pytest.fixture
def shop(open_shop: Callable[[int], Shop]) -> Shop:
    return open_shop(25)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20])
def test_pages_end_with_an_empty_one(open_shop: Callable[[int], Shop], size: int) -> None:
    """Rule: neither a short page nor a full one is the last; an empty one is, and nobody gets to see it."""
    shop = open_shop(size)
    pages = shop.pages()
    assert [number for page in pages for number in page] == list(range(1, size + 1))
    assert all(pages)
    rows = [record.rows for record in shop.store.requests if record.path == CUSTOMERS]
    assert rows.index(0) == len(rows) - 1


def test_each_page_is_asked_for_by_the_id_before_it(shop: Shop) -> None:
    """Rule: ascending ids are followed by since_id, each request with its limit and its filters."""
    assert [len(page) for page in shop.pages(size=10, marketing_status="rejects_marketing")] == [10, 10, 5]
    assert shop.asked == [("since_id", "0"), ("since_id", "10"), ("since_id", "20"), ("since_id", "25"), ("count", "")]
    *pages, count = ({name: r.query.get(name) for name in ("limit", "marketing_status")} for r in shop.store.requests)
    assert pages == [{"limit": ["10"], "marketing_status": ["rejects_marketing"]}] * 4
    assert count == {"limit": None, "marketing_status": ["rejects_marketing"]}


def test_a_store_that_gives_less_than_asked_for(shop: Shop) -> None:
    """Rule: a store with smaller pages than were asked for gives everybody all the same."""
    shop.store.settings.limit_max = 3
    assert shop.read(size=50) == list(range(1, 26))


CHANGES: dict[str, Callable[[Shop], object]] = {
    "created": lambda shop: shop.store.load([{"email": "new@example.com"}]),
    "deleted before": lambda shop: shop.store.delete(3),
    "deleted after": lambda shop: shop.store.delete(24),
    "the last id deleted": lambda shop: shop.store.delete(10),
    "touched before": lambda shop: shop.store.touch(3, note="changed"),
    "touched after": lambda shop: shop.store.touch(24, note="changed"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_by_id_nobody_is_missed_whatever_happens(shop: Shop, change: str) -> None:
    """Rule: whoever comes, goes or changes between pages, everybody who stays is there once."""
    shop.before_page(2, lambda: CHANGES[change](shop))
    ids = shop.read()
    assert len(ids) == len(set(ids))
    assert set(ids) >= {customer["id"] for customer in shop.store.customers()}


@pytest.mark.parametrize("size", [10, 25, 50])
@pytest.mark.parametrize("order", ["-id", "updated_at"])
def test_other_orders_are_read_by_page_number(shop: Shop, order: str, size: int, caplog: pytest.LogCaptureFixture) -> None:
    """Rule: where ids do not ascend, pages are read by number, and once more to see that nobody was passed over."""
    shop.store.settings.order = order
    shop.store.touch(1, updated_at="2026-02-01T00:00:00+10:00")
    shop.store.touch(7, updated_at="2025-12-01T00:00:00+10:00")
    ids = shop.read(size)
    assert sorted(ids) == list(range(1, 26))
    assert shop.asked[0] == ("since_id", "0")
    by_number = [pair for pair in shop.asked if pair[0] == "page"]
    assert by_number[: len(by_number) // 2] == by_number[len(by_number) // 2 :] == shop.asked[-len(by_number) // 2 :]
    assert "reading pages by number" in caplog.text


def test_who_moves_to_the_last_place_is_not_missed(shop: Shop) -> None:
    """Rule: an order by the last change, in which only the newest stands out of place, loses nobody."""
    shop.store.settings.order = "updated_at"
    shop.store.touch(3)
    assert sorted(shop.read()) == list(range(1, 26))


def test_an_order_that_shows_late_repeats_nobody(shop: Shop) -> None:
    """Rule: customers that came before the order was seen through do not come again."""
    shop.store.settings.order = "updated_at"
    shop.store.touch(15, updated_at="2026-01-01T00:11:30+10:00")
    assert sorted(shop.read()) == list(range(1, 26))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("order", ["-id", "updated_at"])
def test_by_number_a_miss_is_an_error(shop: Shop, order: str, change: str) -> None:
    """Rule: by page number everybody who stays is there once, or the reading fails as one to be tried again."""
    shop.store.settings.order = order
    # The oldest first, so that no page begins with ascending ids.
    for number in range(1, 26):
        shop.store.touch(number, updated_at=f"2026-01-01T00:{59 - number}:00+10:00")
    # The first page is asked for twice, as it shows the order.
    shop.before_page(3, lambda: CHANGES[change](shop))
    try:
        ids = shop.read()
    except flow.StoreChangedError:
        return
    assert len(ids) == len(set(ids))
    assert set(ids) >= {customer["id"] for customer in shop.store.customers()}


def by_hand(answers: Iterator[Response] | list[Response], **parameters: str) -> FlowRunner:
    """Read with these answers; after them there is nobody more, and the count says so, too."""
    runner = FlowRunner(config_for("mystore", max_attempts=3))
    scripted = iter(answers)

    def answer(request: Request) -> Response:
        return next(scripted, None) or (number(0) if "/count.json" in request.url else page())

    runner.run(flow.customers(runner.context, parameters, 2), answer)
    return runner


def page(*ids: object) -> Response:
    return Answers.page("customers", [{"id": number} for number in ids])


def number(count: int) -> Response:
    return Answers.raw(json.dumps({"count": count}).encode())


def test_who_was_passed_over_is_read_by_number() -> None:
    """Rule: where the store counts more than came, pages are read by number until nobody turns up who was passed over."""
    again = [page(1, 2), page(3, 5), page()]
    runner = by_hand([page(1, 2), page(5), page(), number(4), *again, *again])
    assert runner.pages == [[{"id": 1}, {"id": 2}], [{"id": 5}], [{"id": 3}]]
    assert len(runner.sent) == 10


def test_newcomers_are_not_passed_over() -> None:
    """Rule: who comes while others are read is read, too, and is no reason to read once more."""
    runner = by_hand([page(1, 2), page(), number(3), page(1, 2), page(3), page()])
    assert runner.pages == [[{"id": 1}, {"id": 2}], [{"id": 3}]]
    assert len(runner.sent) == 6


def test_a_store_that_changes_all_the_time_is_an_error() -> None:
    """Rule: where every reading finds somebody who was passed over, that is an error, and may pass."""
    readings = [each for missed in (3, 4, 5, 6) for each in (page(missed), page())]
    with pytest.raises(flow.StoreChangedError, match=r"Try again\.") as caught:
        by_hand([page(9), page(), number(2), *readings])
    assert caught.value.fate is errors.Fate.TRANSIENT


def test_by_number_nobody_comes_twice() -> None:
    """Rule: a customer that slides to the next page is handed on once, and a page of none but known ones is none."""
    first = [page(4, 3), page(3, 2), page(3, 2), page(1), page()]
    runner = by_hand([page(4, 3), *first, page(4, 3), page(2, 1), page()])
    assert [[customer["id"] for customer in found] for found in runner.pages] == [[4, 3], [2], [1]]
    places = [place for url in runner.urls for place in url.partition("?")[2].split("&") if "limit" not in place]
    assert places == ["since_id=0", *(f"page={n}" for n in (1, 2, 3, 4, 5, 1, 2, 3))]


def test_a_search_has_its_own_path_and_no_count(shop: Shop) -> None:
    """Rule: a search is paged like the rest, by id or by number, and never counted, as the API cannot."""
    assert shop.read(query="-email:3@example.com", ids="1,2,3,4") == [1, 2, 4]
    assert {r.path for r in shop.store.requests} == {"/api/customers/search.json"}
    runner = by_hand([page(3, 2), page(3, 2), page()], query="smith")
    assert [url.partition("?")[0].rpartition("/api/")[2] for url in runner.urls] == ["customers/search.json"] * 4


MALFORMED = {
    "no customers": (b'{"clients": []}', "KeyError"),
    "no list": (b'{"customers": {}}', "TypeError"),
    "null": (b'{"customers": null}', "TypeError"), "a list": (b"[]", "TypeError"), "a text": (b'"customers"', "TypeError"),
    "no id": (b'{"customers": [{"email": "a@example.com"}]}', "KeyError"),
    "an id that is text": (b'{"customers": [{"id": "7"}]}', "TypeError"),
    "no record": (b'{"customers": [7]}', "TypeError"),
    "a proxy": (b"<html>", "DecodeError"), "cut": (b'{"customers": [{"id"', "DecodeError"), "nothing": (b"", "DecodeError"),
    "no UTF-8": (b'{"customers": [{"id": 1, "email": "\xff"}]}', "DecodeError|UnicodeDecodeError"),
    "nested too deeply": (b'{"customers": [' + b"[" * 100_000, "RecursionError"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_answers_are_tried_again(kind: str) -> None:
    """Rule: an answer without the documented shape is asked for again, and what comes then is used; else it is named."""
    body, said = MALFORMED[kind]
    runner = by_hand([Answers.raw(body), Answers.raw(body), page(1), page()])
    assert runner.pages == [[{"id": 1}]]
    assert len(runner.explained) == 2
    said = rf"about customers .*\(({said})\).*Given up after 3 attempts"
    with pytest.raises(errors.MalformedResponseError, match=said) as caught:
        by_hand([Answers.raw(body)] * 3)
    assert "a@example.com" not in str(caught.value)


def test_numbers_keep_their_digits() -> None:
    """Rule: amounts come as they were written, not as the nearest binary fraction."""
    body = b'{"customers": [{"id": 9007199254740993, "total_spent": 12345678901234.10, "credit": 0.1, "n": 100}]}'
    ((customer,),) = by_hand([Answers.raw(body), page()]).pages
    assert {name: str(value) for name, value in customer.items()} == {
        "id": "9007199254740993", "total_spent": "12345678901234.10", "credit": "0.1", "n": "100"
    }  # fmt: skip


def test_every_request_says_json(shop: Shop) -> None:
    """Rule: both Accept and Content-Type are application/json on every request, as the API asks."""
    shop.store.settings.accept, shop.store.settings.content_type = "strict", "always"
    with shop.client() as client:
        assert client.store()["name"] == "Sandbox Outfitters"
        assert client.count({}) == 25
        made = client.create({"email": "new@example.com"})
        assert client.update(made["id"], {"first_name": "N"})["first_name"] == "N"
        assert client.get(made["id"])["name"] == "N"
        client.delete(made["id"])
        assert len(list(client.pages({}))) == 1
    runner = by_hand([page()])
    assert runner.sent[0].headers == {"Accept": "application/json", "Content-Type": "application/json"}


def test_what_was_read_can_be_written(shop: Shop) -> None:
    """Rule: an amount goes to the store as it came from there, as a number."""
    shop.store.touch(1, credit=12.5)
    with shop.client() as client:
        assert client.update(1, {"credit": client.get(1)["credit"]})["credit"] == Decimal("12.5")


@pytest.mark.parametrize("kind", ["drop", "drop_after", "status"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_only_creating_is_not_repeated(shop: Shop, method: str, kind: str) -> None:
    """Rule: what may have arrived is sent again, but a POST, which would be refused as its own duplicate."""
    shop.store.faults.add(Fault(kind, method=method))
    with shop.client() as client:
        if method == "POST":
            with pytest.raises((errors.TransportError, errors.ServerError)):
                client.create({"email": "new@example.com"})
        else:
            assert (client.get(1) if method == "GET" else client.update(1, {"note": "x"}))["id"] == 1
    assert len(shop.store.requests) == (1 if method == "POST" else 2)
    assert sum(c["email"] == "new@example.com" for c in shop.store.customers()) == (method == "POST" and kind == "drop_after")


@pytest.mark.parametrize("kind", ["drop", "status", "drop_after"])
def test_deleting_is_repeated(shop: Shop, kind: str) -> None:
    """Rule: a DELETE is sent again, and has succeeded also where the first one did its work and the answer was lost."""
    shop.store.faults.add(Fault(kind, method="DELETE"))
    with shop.client() as client:
        client.delete(1)
    assert [r.method for r in shop.store.requests] == ["DELETE", "DELETE"]
    assert 1 not in [customer["id"] for customer in shop.store.customers()]


def test_a_post_that_was_refused_for_its_pace_is_repeated(shop: Shop) -> None:
    """Rule: after a 429 nothing can have been made, so a POST is sent again."""
    shop.store.faults.add(Fault("status", status=429, retry_after=0, method="POST"))
    with shop.client() as client:
        assert client.create({"email": "new@example.com"})["email"] == "new@example.com"


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, {"errors": "Denied."}, errors.AuthenticationError, r'401 for customers \("Denied."\): check the API key in'),
        (403, {"errors": ["No", "way"]}, errors.AccessDeniedError, r"No.*way.*the private app may not do this"),
        (404, {"errors": "Not Found"}, errors.NotFoundError, r"Not Found.*check the connection's host, and the customer's id"),
        (422, {"errors": {"email": ["is bad", "is taken"], "state": "x"}}, errors.BadRequestError,
         r'\("email is bad, is taken; state x"\): the store does not take this customer'),
        (422, {"errors": "Nothing given"}, errors.BadRequestError, r'\("Nothing given"\)'),
        (400, {"errors": {}}, errors.BadRequestError, "400 for customers"),
        (400, {"errors": 7}, errors.BadRequestError, "400 for customers: the request is refused as it stands"),
        (418, ["errors"], errors.BadRequestError, "418 for customers: the request"),
    ],
)  # fmt: skip
def test_refusals(status: int, body: object, kind: type[errors.ResponseError], said: str) -> None:
    """Rule: a refusal is raised at once as its kind, with what the store said, as a map or a text, and what to do."""
    with pytest.raises(kind, match=rf"Spiffy Stores answered .*{said}") as caught:
        by_hand([Answers.raw(json.dumps(body).encode(), status)])
    assert (caught.value.status, caught.value.fate) == (status, errors.Fate.FINAL)


@pytest.mark.parametrize("style", ["json", "text", "html", "empty"])
@pytest.mark.parametrize("login", ["key", None])
def test_credentials_are_in_no_message(shop: Shop, style: str, login: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """Rule: whatever fails, neither the password, nor the token, nor what they become in a header is told."""
    caplog.set_level(logging.DEBUG)
    shop.store.settings.auth_failure_body = style
    config = config_for(shop.store.url, PASSWORD, login, max_attempts=2)
    secrets = [PASSWORD, config.authorization.partition(" ")[2]]
    shop.store.faults.add(Fault("status", status=500, reason=f"Wrong: {' '.join(secrets)}", path=CUSTOMERS, times=None))
    said = []
    with SpiffyStoresClient(config, sleep=shop.slept.append) as client:
        for kind, call in ((errors.AuthenticationError, client.store), (errors.ServerError, lambda: list(client.pages({})))):
            with pytest.raises(kind) as caught:
                call()
            said.append(f"{caught.value!r} {vars(caught.value)} {client!r} {config!r}")
    assert not [secret for secret in secrets if secret in "".join(said) + caplog.text]
