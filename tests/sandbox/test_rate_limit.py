"""So many requests per token and window (180 is known to C1, the rest is our choice)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


def test_window(make_client: Callable[..., Client]) -> None:
    """The request over the limit is a 429 with Retry-After; after that time the next one is answered."""
    client = make_client(rate_limit=3, rate_window_s=30)
    assert [client.data("customers").status_code for _ in range(4)] == [200, 200, 200, 429]
    client.sandbox.clock.advance(10)
    response = client.data("customers")
    assert "3 requests" in response.json()["error"]["reason"]
    assert 15 <= int(response.headers["Retry-After"]) <= 20
    client.sandbox.clock.advance(int(response.headers["Retry-After"]))
    assert [client.data("customers").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_window_is_the_tokens_own(make_client: Callable[..., Client]) -> None:
    """Each token has its own window; requests without one are not counted."""
    client = make_client(rate_limit=1)
    url = client.sandbox.url + "/api/data/customers/"
    assert [client.data("customers").status_code for _ in range(2)] == [200, 429]
    headers = {"Authorization": f"Token {client.sandbox.scoped_token}"}
    assert requests.get(url, headers=headers, timeout=10).status_code == 200
    assert [requests.get(url, timeout=10).status_code for _ in range(2)] == [401, 401]


def test_retry_after_styles(make_client: Callable[..., Client]) -> None:
    """Retry-After may be an HTTP date, or missing."""
    client = make_client(rate_limit=1, retry_after="date")
    client.data("customers")
    until = parsedate_to_datetime(client.data("customers").headers["Retry-After"])
    assert timedelta(0) < until - client.sandbox.clock.now() <= timedelta(seconds=62)
    client.sandbox.settings.retry_after = False
    assert "Retry-After" not in client.data("customers").headers


def test_limit_can_be_lifted(make_client: Callable[..., Client]) -> None:
    """None means no limit; the setting takes effect at once."""
    client = make_client(rate_limit=1)
    assert [client.data("customers").status_code for _ in range(2)] == [200, 429]
    client.sandbox.settings.rate_limit = None
    assert client.data("customers").status_code == 200
