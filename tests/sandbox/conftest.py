"""A small client for the sandbox's real port; nothing of the provider under test is used here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings


class Client:
    """Requests to one sandbox with its unscoped token."""

    def __init__(self, sandbox: CustobarSandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Token {sandbox.token}"

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.session.get(self.sandbox.url + path, params=params, timeout=10)

    def data(self, resource: str, query: str = "", **params: Any) -> requests.Response:
        """Ask for a page; ``query`` is sent as it is, ``date__gte`` stands for ``date.gte``."""
        named = {re.sub("__(gte|lte)$", r".\1", name): value for name, value in params.items()}
        return self.get(f"/api/data/{resource}/{query}", **named)

    def rows(self, resource: str, query: str = "", **params: Any) -> list[dict[str, Any]]:
        response = self.data(resource, query, **params)
        assert response.status_code == 200, response.text
        return response.json()[resource]

    def pages(self, resource: str, query: str = "", **params: Any) -> Iterator[list[dict[str, Any]]]:
        """Follow next_url until there is none."""
        response = self.data(resource, query, **params)
        while True:
            assert response.status_code == 200, response.text
            page = response.json()
            yield page[resource]
            if "next_url" not in page:
                return
            response = self.session.get(requests.compat.urljoin(response.url, page["next_url"]), timeout=10)

    def upload(self, resource: str, rows: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("json", rows)
        return self.session.post(f"{self.sandbox.url}/api/{resource}/upload/", timeout=10, **kwargs)

    def one(self, resource: str, external_id: str) -> dict[str, Any] | None:
        found = self.rows(resource, external_id=external_id)
        return found[0] if found else None


@pytest.fixture
def client(custobar_sandbox: CustobarSandbox) -> Client:
    return Client(custobar_sandbox)


@pytest.fixture
def make_client(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> Callable[..., Client]:
    """Make a client of a sandbox with given settings; other arguments go to the sandbox."""
    names = {name for name, _ in SandboxSettings().items()}

    def make(**arguments: Any) -> Client:
        settings = SandboxSettings(**{name: arguments.pop(name) for name in names & arguments.keys()})
        return Client(custobar_sandbox_factory(settings, **arguments))

    return make


@pytest.fixture
def empty(make_client: Callable[..., Client]) -> Client:
    """A client of an empty tenant."""
    return make_client(generate=False)
