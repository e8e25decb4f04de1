"""A simulated store as one object: customers, settings, faults and log, and its server."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from werkzeug import Request, Response

from airflow_provider_custobar.sandbox.clock import Clock
from airflow_provider_custobar.sandbox.log import RequestRecord
from airflow_provider_custobar.sandbox.simulator import Simulator
from airflow_provider_custobar.sandbox.spiffy.access import Credentials
from airflow_provider_custobar.sandbox.spiffy.app import SpiffyApp
from airflow_provider_custobar.sandbox.spiffy.generated import generated_customers
from airflow_provider_custobar.sandbox.spiffy.settings import SpiffyStoresSettings
from airflow_provider_custobar.sandbox.spiffy.store import Customer, CustomerStore


class SpiffyStoresSandbox(Simulator):
    """A simulated store at Spiffy Stores.

    ``customers`` of them are generated from ``seed``; ``generate=False`` starts with none. ``port=0`` takes any free
    port. The server listens on the loopback interface between :meth:`start` and :meth:`stop`, or within ``with``.
    """

    def __init__(
        self,
        settings: SpiffyStoresSettings | None = None,
        *,
        seed: int = 1,
        customers: int = 120,
        port: int = 0,
        generate: bool = True,
    ) -> None:
        for name, value, most in (("seed", seed, None), ("customers", customers, None), ("port", port, 65535)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0 or (most is not None and value > most):
                limits = "of at least 0" if most is None else f"from 0 (any free port) to {most}"
                raise ValueError(f"{name}={value!r}: expected a whole number {limits}")
        self.settings = settings or SpiffyStoresSettings()
        self.clock = Clock()
        self._store = CustomerStore(self.clock)
        if generate:
            self._store.load(generated_customers(customers, seed=seed))
        credentials = Credentials(seed)
        #: A private app's key and password, for Basic; a third-party app's token, for Bearer.
        self.key, self.password, self.access_token = credentials.key, credentials.password, credentials.access_token
        self._app = SpiffyApp(self._store, self.settings, self.clock, credentials)
        super().__init__(self._app, port)

    def before_answer(self, callback: Callable[[RequestRecord], object]) -> Callable[[], None]:
        """Call back with each request that is about to be answered; return a function that ends it.

        This is how a test changes the store between two pages. It is called once faults, pace and credentials have let
        the request through, and before the store is read, with a record whose status is still 0::

            def renamed(request):
                if request.query.get("page") == ["2"]:
                    store.touch(5, first_name="Frodo")

            store.before_answer(renamed)
        """
        self._app.callbacks.append(callback)
        return lambda: self._app.callbacks.remove(callback)

    def load(self, customers: Iterable[Mapping[str, Any]]) -> list[int]:
        """Take customers as they are and return their ids; a known id is replaced.

        A missing id is one more than the highest so far; of created_at and updated_at a missing one is as the other,
        both are now.
        """
        return self._store.load(customers)

    def customers(self) -> list[Customer]:
        """Return the customers as stored, by id."""
        return copy.deepcopy(self._store.all())

    def touch(self, customer_id: int, **changes: Any) -> Customer:
        """Change fields of a customer, and updated_at unless given; KeyError for an unknown id."""
        return copy.deepcopy(self._store.change(customer_id, changes))

    def delete(self, customer_id: int) -> None:
        """Remove a customer, whose id is not given again; KeyError for an unknown id."""
        self._store.delete(customer_id)

    def airflow_connection(self, **extra: Any) -> str:
        """Return a connection as JSON, for an environment variable ``AIRFLOW_CONN_<ID>``."""
        connection = {"conn_type": "spiffy_stores", "host": self.url, "login": self.key, "password": self.password}
        return json.dumps({**connection, "extra": extra})

    def handle(self, request: Request) -> Response:
        """Answer a request, without a socket; a dropped connection raises ConnectionError."""
        return self._app.handle(request)
