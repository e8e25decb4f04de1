"""GET, POST and PATCH of /api/datatargets/ (S15): kept and shown, nothing is delivered."""

from __future__ import annotations

from typing import Any

from werkzeug import Request

from airflow_provider_custobar.sandbox.accounts import json_object
from airflow_provider_custobar.sandbox.auth import Identities
from airflow_provider_custobar.sandbox.errors import ApiError

#: Fields of S15's object that a client may give.
_GIVEN = ("datatarget_type", "name", "description", "enabled", "outlets")


class Datatargets:
    """Outgoing queues as objects."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self._targets: dict[str, dict[str, Any]] = {}

    def list(self) -> dict[str, Any]:
        """Return all of them; the key of the list is our choice."""
        return {"datatargets": list(self._targets.values())}

    def get(self, number: str) -> dict[str, Any]:
        """Return one of them."""
        if number not in self._targets:
            raise ApiError(404, f"No datatarget '{number}'.")
        return {"datatarget": self._targets[number]}

    def create(self, request: Request) -> dict[str, Any]:
        """Create one; the answer wraps it in ``datatarget`` (S15)."""
        body = json_object(request)
        if not isinstance(body.get("datatarget_type"), str):
            raise ApiError(400, "'datatarget_type' is required.")
        number = self._identities.object_id()
        defaults = {"name": "", "description": "", "enabled": True, "outlets": []}
        self._targets[number] = {
            "id": number,
            **defaults,
            **_given(body),
            "created_at": self._identities.now().replace(tzinfo=None).isoformat(timespec="microseconds") + "Z",
            "last_message_number": 0,
        }
        return self.get(number)

    def change(self, number: str, request: Request) -> dict[str, Any]:
        """Change the fields given."""
        self.get(number)
        self._targets[number] |= _given(json_object(request))
        return self.get(number)


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in _GIVEN if name in body}
