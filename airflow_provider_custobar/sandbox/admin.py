"""Admin routes of the sandbox's own, under ``/_sandbox/`` so that they cannot be mistaken for Custobar's.

No authentication: the server listens on the loopback interface only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from werkzeug import Request, Response

from airflow_provider_custobar.sandbox.accounts import json_object
from airflow_provider_custobar.sandbox.app import App
from airflow_provider_custobar.sandbox.errors import ApiError, error_response
from airflow_provider_custobar.sandbox.faults import Fault
from airflow_provider_custobar.sandbox.render import json_body

PREFIX = "/_sandbox/"


class Admin:
    """State, data, faults, settings, clock and logs of one app."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._routes: dict[tuple[str, str], Callable[[Request, str], Any]] = {
            ("GET", "state"): self._state,
            ("GET", "records"): self._records,
            ("POST", "load"): self._load,
            ("GET", "settings"): self._settings,
            ("POST", "settings"): self._change_settings,
            ("GET", "faults"): self._faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("POST", "clock"): self._advance,
            ("GET", "requests"): self._requests,
            ("DELETE", "requests"): self._clear_requests,
            ("GET", "uploads"): self._uploads,
        }

    def handle(self, request: Request) -> Response:
        """Answer an admin request; wrong input is a 400 that says what is accepted."""
        route, _, argument = request.path.removeprefix(PREFIX).strip("/").partition("/")
        handler = self._routes.get((request.method, route))
        try:
            if handler is None:
                known = ", ".join(f"{method} {PREFIX}{name}/" for method, name in self._routes)
                raise ApiError(404, f"No such admin route. Routes: {known}")
            return Response(json_body(handler(request, argument)), content_type="application/json")
        except ApiError as err:
            return error_response(err, "json")
        except (ValueError, TypeError, AttributeError) as err:
            return error_response(ApiError(400, str(err)), "json")

    def _state(self, request: Request, _: str) -> Any:
        app = self._app
        app.imports.run_due()
        return {
            "records": {name: len(table) for name, table in app.store.tables.items()},
            "requests": len(app.log.copy()),
            "uploads": len(app.imports.log),
            "faults": len(list(app.faults)),
            "now": app.clock.now().isoformat(),
            "errors": [repr(error) for error in app.errors],
        }

    def _records(self, request: Request, resource: str) -> Any:
        self._app.imports.run_due()
        return list(self._app.store.records(resource))

    def _load(self, request: Request, resource: str) -> Any:
        zone = ZoneInfo(self._app.settings.tenant_timezone)
        # Not splitlines(), which also splits at characters that JSON texts may hold.
        lines = request.get_data(as_text=True).split("\n")
        return {"loaded": self._app.store.load_lines(resource, lines, zone, source="request body")}

    def _settings(self, request: Request, _: str) -> Any:
        return dict(self._app.settings.items())

    def _change_settings(self, request: Request, _: str) -> Any:
        for name, value in json_object(request).items():
            setattr(self._app.settings, name, value)
        return self._settings(request, "")

    def _faults(self, request: Request, _: str) -> Any:
        return [repr(fault) for fault in self._app.faults]

    def _add_fault(self, request: Request, _: str) -> Any:
        body = json_object(request)
        return repr(self._app.faults.add(Fault(body.pop("kind", ""), **body)))

    def _clear_faults(self, request: Request, _: str) -> Any:
        self._app.faults.clear()
        return []

    def _advance(self, request: Request, _: str) -> Any:
        seconds = json_object(request).get("advance")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ValueError(f"advance={seconds!r}: expected a number of seconds")
        self._app.clock.advance(seconds)
        return {"now": self._app.clock.now().isoformat()}

    def _requests(self, request: Request, _: str) -> Any:
        return [dataclasses.asdict(record) for record in self._app.log.copy()]

    def _clear_requests(self, request: Request, _: str) -> Any:
        self._app.log.clear()
        return []

    def _uploads(self, request: Request, _: str) -> Any:
        return [dataclasses.asdict(record) for record in self._app.imports.log]
