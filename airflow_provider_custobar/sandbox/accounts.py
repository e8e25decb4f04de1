"""POST /api/integrations/ and /api/access-tokens/ (S4, S5, S6, S8)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from werkzeug import Request

from airflow_provider_custobar.sandbox.auth import METHODS, PERSONAL_LIFETIME, Identities, Scope, Token
from airflow_provider_custobar.sandbox.errors import ApiError


class Accounts:
    """Integrations and the tokens made through the API."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self._integrations: dict[str, dict[str, Any]] = {}

    def create_integration(self, request: Request) -> dict[str, Any]:
        """Create an integration from ``parameters.name``, or from C1's older top-level ``name``."""
        body = json_object(request)
        parameters = body.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise ApiError(400, "'parameters' must be an object.")
        name = parameters.get("name") or body.get("name")
        if not isinstance(name, str) or not name:
            raise ApiError(400, "'parameters.name' is required.")
        description = parameters.get("description", "")
        number = self._identities.object_id()
        self._integrations[number] = {
            "id": number,
            "name": name,
            "integration_name": body.get("integration_name", ""),
            "enabled": True,
            "available_datasources": [],
            "created_at": self._identities.now().replace(tzinfo=None).isoformat(timespec="microseconds") + "Z",
            "datasources": [],
            "datatargets": [],
            "datatarget_templates": [],
            "description": description,
            "configuration": {},
            "parameters": {"name": name, "description": description},
        }
        return {"integration": self._integrations[number]}

    def create_token(self, request: Request, caller: Token) -> dict[str, Any]:
        """Create a token: an integration's must have scopes and does not expire, a personal one does (S9)."""
        body = json_object(request)
        scopes = _scopes(body.get("scopes"))
        owner_id = body.get("owner_id") or caller.owner_id
        personal = owner_id == self._identities.user_id
        if not personal:
            kind, _, number = str(owner_id).partition("/")
            if kind != "integrations" or number not in self._integrations:
                raise ApiError(400, f"Unknown owner '{owner_id}'.")
            if scopes is None:
                raise ApiError(400, "'scopes' is required for an integration's token.")
        token = self._identities.create(
            str(body.get("name", "")),
            owner_id=str(owner_id),
            scopes=scopes,
            lifetime=PERSONAL_LIFETIME if personal else None,
        )
        return {
            "access_token": {
                "id": token.id,
                "owner_id": token.owner_id,
                "created_at": _seconds(token.created_at),
                "hint": token.hint,
                "name": token.name,
                "created_by": token.created_by,
                # S5's example nests one list in another.
                "transferred_roles": [[]],
                "scopes": [{"method": method, "path": path} for method, path in token.scopes or ()],
                "token": token.value,
            }
        }


def json_object(request: Request) -> dict[str, Any]:
    """Read a JSON object from a body; an empty body counts as an empty object (S8)."""
    text = request.get_data(as_text=True)
    try:
        body = json.loads(text) if text.strip() else {}
    except ValueError as err:
        raise ApiError(400, f"The body is not valid JSON: {err}") from None
    if not isinstance(body, dict):
        raise ApiError(400, "The body must be an object.")
    return body


def _scopes(given: Any) -> tuple[Scope, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not given:
        raise ApiError(400, "'scopes' must be a list of objects with method and path.")
    scopes = []
    for scope in given:
        method, path = (scope.get("method"), scope.get("path")) if isinstance(scope, dict) else (None, None)
        if method not in METHODS or not isinstance(path, str):
            raise ApiError(400, f"A scope needs a path and a method out of {', '.join(METHODS)}.")
        scopes.append((method, path))
    return tuple(scopes)


def _seconds(instant: datetime) -> str:
    return instant.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
