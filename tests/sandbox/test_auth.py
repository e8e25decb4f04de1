"""Who may call (S4, S5, S8, S9; statuses are our choice)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_custobar.sandbox import CustobarSandbox

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


CUSTOMERS = "/api/data/customers/"
EVENTS = "/api/data/events/?type=BROWSE"


def _get(sandbox: CustobarSandbox, path: str, authorization: str | None) -> requests.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return requests.get(sandbox.url + path, headers=headers, timeout=10)


@pytest.mark.parametrize("scheme", ["Bearer", "Token", "bearer", "TOKEN"])
def test_token_schemes(custobar_sandbox: CustobarSandbox, scheme: str) -> None:
    """Bearer (S4) and Token (S1) both work, in any case (our choice)."""
    assert _get(custobar_sandbox, CUSTOMERS, f"{scheme} {custobar_sandbox.token}").status_code == 200


def test_basic(custobar_sandbox: CustobarSandbox) -> None:
    """A user's name and password work (S3, S8), wrong ones do not."""
    sandbox = custobar_sandbox
    for password, status in ((sandbox.password, 200), ("wrong", 401)):
        response = requests.get(sandbox.url + CUSTOMERS, auth=(sandbox.user, password), timeout=10)
        assert response.status_code == status


def test_schemes_can_be_taken_away(custobar_sandbox: CustobarSandbox) -> None:
    """A setting names the schemes that are accepted."""
    custobar_sandbox.settings.auth_schemes = ("bearer",)
    assert _get(custobar_sandbox, CUSTOMERS, f"Bearer {custobar_sandbox.token}").status_code == 200
    assert _get(custobar_sandbox, CUSTOMERS, f"Token {custobar_sandbox.token}").status_code == 401


@pytest.mark.parametrize(
    "authorization", [None, "", "Token", "Token wrong", "Digest x", "Basic ???", "Basic eA==", "Token \xe4"]
)
def test_refusals(custobar_sandbox: CustobarSandbox, authorization: str | None) -> None:
    """Missing or wrong credentials are a 401 with WWW-Authenticate and a reason."""
    response = _get(custobar_sandbox, CUSTOMERS, authorization)
    assert response.status_code == 401
    assert "WWW-Authenticate" in response.headers
    assert response.json()["error"]["reason"]


def test_expiry(custobar_sandbox: CustobarSandbox) -> None:
    """An expired token is a 401; a token expires when the clock says so."""
    sandbox = custobar_sandbox
    assert _get(sandbox, CUSTOMERS, f"Token {sandbox.expired_token}").status_code == 401
    token = sandbox.create_token(None, expires_in_s=60)
    assert _get(sandbox, CUSTOMERS, f"Token {token}").status_code == 200
    sandbox.clock.advance(60)
    response = _get(sandbox, CUSTOMERS, f"Token {token}")
    assert response.status_code == 401
    assert "expired" in response.json()["error"]["reason"]


@pytest.mark.parametrize("status", [401, 403])
def test_scopes_match_exactly(custobar_sandbox: CustobarSandbox, status: int) -> None:
    """A scoped token is good for its method and path only."""
    sandbox = custobar_sandbox
    sandbox.settings.scope_status = status
    assert _get(sandbox, CUSTOMERS + "?limit=1", f"Token {sandbox.scoped_token}").status_code == 200
    response = _get(sandbox, EVENTS, f"Token {sandbox.scoped_token}")
    assert response.status_code == status
    assert "/api/data/events/" in response.json()["error"]["reason"]
    headers = {"Authorization": f"Token {sandbox.upload_token}"}
    assert _get(sandbox, CUSTOMERS, headers["Authorization"]).status_code == status
    for path in ("customers/upload/", "events/"):
        url = f"{sandbox.url}/api/{path}"
        assert requests.post(url, json=[], headers=headers, timeout=10).status_code == 200


def test_token_form(custobar_sandbox: CustobarSandbox) -> None:
    """Tokens look like API and 37 upper-case letters and digits (S5), and differ."""
    sandbox = custobar_sandbox
    tokens = {sandbox.token, sandbox.scoped_token, sandbox.upload_token, sandbox.expired_token}
    assert len(tokens) == 4
    assert all(re.fullmatch(r"API[A-Z0-9]{37}", token) for token in tokens)


def _post(client: Client, path: str, body: Any) -> Any:
    response = client.session.post(client.sandbox.url + path, json=body, timeout=10)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("body", [{"parameters": {"name": "Nightly", "description": "x"}}, {"name": "Nightly"}])
def test_integration_and_its_token(client: Client, body: dict[str, Any]) -> None:
    """An integration is made in the new (S6) or the old form (C1); its scoped token then works."""
    integration = _post(client, "/api/integrations/", body)["integration"]
    assert re.fullmatch("[0-9a-z]{12}", integration["id"])
    assert integration["name"] == integration["parameters"]["name"] == "Nightly"
    scopes = [{"method": "GET", "path": EVENTS.partition("?")[0]}]
    owner = f"integrations/{integration['id']}"
    made = _post(client, "/api/access-tokens/", {"name": "t", "owner_id": owner, "scopes": scopes})["access_token"]
    assert made["owner_id"] == owner
    assert made["scopes"] == scopes
    assert made["hint"] == f"API***{made['token'][-3:]}"
    assert _get(client.sandbox, EVENTS, f"Bearer {made['token']}").status_code == 200
    assert _get(client.sandbox, CUSTOMERS, f"Bearer {made['token']}").status_code == 403
    client.sandbox.clock.advance(9 * 3600)
    assert _get(client.sandbox, EVENTS, f"Bearer {made['token']}").status_code == 200


def test_personal_token_lives_eight_hours(client: Client) -> None:
    """An empty body makes a personal token (S8), which expires after eight hours (S9)."""
    made = client.session.post(client.sandbox.url + "/api/access-tokens/", timeout=10).json()["access_token"]
    assert _get(client.sandbox, CUSTOMERS, f"Token {made['token']}").status_code == 200
    client.sandbox.clock.advance(8 * 3600)
    assert _get(client.sandbox, CUSTOMERS, f"Token {made['token']}").status_code == 401


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("integrations", {}),
        ("integrations", []),
        ("integrations", {"parameters": "x"}),
        ("access-tokens", {"owner_id": "integrations/nobody", "scopes": [{"method": "GET", "path": "/"}]}),
        ("access-tokens", {"scopes": []}),
        ("access-tokens", {"scopes": [{"method": "LOOK", "path": "/"}]}),
        ("access-tokens", {"scopes": ["GET /"]}),
    ],
)
def test_wrong_accounts(client: Client, path: str, body: Any) -> None:
    """Wrong bodies are a 400 with a reason."""
    response = client.session.post(f"{client.sandbox.url}/api/{path}/", json=body, timeout=10)
    assert response.status_code == 400
    assert response.json()["error"]["reason"]


def test_integration_tokens_must_be_scoped(client: Client) -> None:
    """A token owned by an integration needs scopes (S9)."""
    number = _post(client, "/api/integrations/", {"name": "x"})["integration"]["id"]
    body = {"owner_id": f"integrations/{number}"}
    response = client.session.post(f"{client.sandbox.url}/api/access-tokens/", json=body, timeout=10)
    assert response.status_code == 400
