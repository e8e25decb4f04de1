"""The sandbox as one object: data, settings, faults and logs of a simulated tenant, and its server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from werkzeug import Request, Response

from airflow_provider_custobar.sandbox.admin import PREFIX, Admin
from airflow_provider_custobar.sandbox.app import App
from airflow_provider_custobar.sandbox.auth import Scope
from airflow_provider_custobar.sandbox.catalogue import RESOURCES
from airflow_provider_custobar.sandbox.clock import Clock
from airflow_provider_custobar.sandbox.data.dataset import Sizes, generated_data
from airflow_provider_custobar.sandbox.data.protocol import Generated, Nothing, Record
from airflow_provider_custobar.sandbox.imports import UploadRecord
from airflow_provider_custobar.sandbox.settings import SandboxSettings
from airflow_provider_custobar.sandbox.simulator import Simulator
from airflow_provider_custobar.sandbox.store import Store

#: Fixed, so that the same arguments give the same data on any day.
END_DATE = date(2026, 2, 28)
_COMPANY = re.compile(r"[a-z][a-z0-9]*\Z")
_UPLOAD_SCOPES: tuple[Scope, ...] = (
    *(("POST", f"/api/{name}/upload/") for name in RESOURCES),
    ("POST", "/api/events/"),
)


class CustobarSandbox(Simulator):
    """A simulated Custobar tenant.

    Generated events and sales cover ``days`` tenant-local days that end with ``end_date``, inclusive, in the
    time zone that the settings name at this moment. ``generate=False`` starts with an empty tenant. The
    server listens on the loopback interface between :meth:`start` and :meth:`stop`, or within ``with``.
    """

    def __init__(
        self,
        settings: SandboxSettings | None = None,
        *,
        seed: int = 1,
        customers: int = 200,
        products: int = 50,
        events: int | None = None,
        sales: int | None = None,
        days: int = 30,
        end_date: date | str | None = None,
        company: str = "acme",
        port: int = 0,
        generate: bool = True,
    ) -> None:
        self.settings = settings or SandboxSettings()
        self.clock = Clock()
        port = _checked_port(port)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(f"seed={seed!r}: expected a whole number of at least 0")
        if not _COMPANY.match(company):
            raise ValueError(f"company={company!r}: expected lower-case letters and digits")
        sizes = Sizes(
            customers=customers,
            products=products,
            events=10 * customers if events is None else events,
            sales=3 * customers if sales is None else sales,
            days=days,
        )
        generated: Mapping[str, Generated] = dict.fromkeys(RESOURCES, Nothing())
        if generate:
            generated = generated_data(
                sizes,
                seed=seed,
                company=company,
                end=_date(end_date),
                zone=ZoneInfo(self.settings.tenant_timezone),
            )
        self._store = Store(generated)
        self._app = App(self._store, self.settings, self.clock, salt=f"{company}:{seed}")
        self._admin = Admin(self._app)
        super().__init__(self._app, port)
        identities = self._app.identities
        self.token = identities.create("unscoped").value
        self.scoped_token = self.create_token([("GET", "/api/data/customers/")])
        self.upload_token = self.create_token(_UPLOAD_SCOPES)
        self.expired_token = self.create_token(None, expires_in_s=0)
        self.user = identities.user
        self.password = identities.password

    @property
    def uploads(self) -> list[UploadRecord]:
        """All uploads taken in so far."""
        self._app.imports.run_due()
        return list(self._app.imports.log)

    def clear_log(self) -> None:
        """Forget requests and uploads, not their effects."""
        super().clear_log()
        self._app.imports.clear_log()

    def create_token(self, scopes: Iterable[Scope] | None, *, expires_in_s: float | None = None) -> str:
        """Make a token for the given pairs of method and path (None: everything)."""
        lifetime = None if expires_in_s is None else timedelta(seconds=expires_in_s)
        pairs = None if scopes is None else tuple(scopes)
        return self._app.identities.create("sandbox", scopes=pairs, lifetime=lifetime).value

    def load(self, resource: str, records: Iterable[Mapping[str, Any]]) -> int:
        """Take records as they are; a known external id is replaced. Returns how many."""
        return self._store.load(resource, records, ZoneInfo(self.settings.tenant_timezone))

    def load_file(self, resource: str, path: str | Path) -> int:
        """Load JSON Lines, gzip-compressed if the name ends in ``.gz``. Returns how many."""
        return self._store.load_file(resource, Path(path), ZoneInfo(self.settings.tenant_timezone))

    def records(self, resource: str) -> Iterator[Record]:
        """Yield the present records as stored: datetimes in UTC with Z, whatever the output style."""
        self._app.imports.run_due()
        return self._store.records(resource)

    def airflow_connection(self, **extra: Any) -> str:
        """Return a connection as JSON, for an environment variable ``AIRFLOW_CONN_<ID>``."""
        connection = {"conn_type": "custobar", "host": self.url, "password": self.token, "extra": extra}
        return json.dumps(connection)

    def handle(self, request: Request) -> Response:
        """Answer a request, without a socket; a dropped connection raises ConnectionError."""
        if request.path.startswith(PREFIX):
            return self._admin.handle(request)
        return self._app.handle(request)


def _checked_port(port: int) -> int:
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ValueError(f"port={port!r}: expected a whole number from 0 (any free port) to 65535")
    return port


def _date(given: date | str | None) -> date:
    if given is None:
        return END_DATE
    try:
        return given if isinstance(given, date) else date.fromisoformat(given)
    except (TypeError, ValueError):
        raise ValueError(f"end_date={given!r}: expected a date (YYYY-MM-DD)") from None
