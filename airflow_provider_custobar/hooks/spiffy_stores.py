"""The hook: an Airflow connection turned into a client of a store at Spiffy Stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_custobar.api.config import ClientConfig, config_from_connection
from airflow_provider_custobar.api.errors import CustobarError, InvalidArgumentError, whole_number
from airflow_provider_custobar.api.spiffy.filters import MAX_PAGE_SIZE, build_filters
from airflow_provider_custobar.api.spiffy.service import SPIFFY_STORES
from airflow_provider_custobar.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from airflow_provider_custobar.api.spiffy.client import SpiffyStoresClient


class SpiffyStoresHook(BaseHook):
    """
    Interact with the customers of a store at Spiffy Stores.

    Customers are dictionaries as the API has them; amounts with decimals are :class:`decimal.Decimal`.

    :param spiffy_stores_conn_id: The Spiffy Stores connection id.
    """

    conn_name_attr = "spiffy_stores_conn_id"
    default_conn_name = "spiffy_stores_default"
    conn_type = "spiffy_stores"
    hook_name = "Spiffy Stores"

    def __init__(self, spiffy_stores_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spiffy_stores_conn_id = spiffy_stores_conn_id

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """The connection form for Airflow 3.1 and 3.2; from 3.3 on it comes from the provider's metadata."""
        behaviour: dict[str, Any] = get_provider_info()["connection-types"][1]["ui-field-behaviour"]
        return behaviour

    def get_config(self) -> ClientConfig:
        """
        The connection, checked.

        :raises InvalidArgumentError: a field of the connection is missing or not accepted.
        """
        connection = self.get_connection(self.spiffy_stores_conn_id)
        return config_from_connection(
            host=connection.host,
            schema=connection.schema,
            port=connection.port,
            login=connection.login,
            password=connection.password,
            extra=connection.extra_dejson,
            service=SPIFFY_STORES,
        )

    def get_conn(self) -> SpiffyStoresClient:
        """A client; use it in a ``with`` block. Requests through one client are paced together."""
        return _client_of(self.get_config())

    def get_pages(
        self,
        *,
        filters: Mapping[str, object] | None = None,
        query: str | Mapping[str, object] | None = None,
        page_size: int = MAX_PAGE_SIZE,
    ) -> Iterator[list[dict[str, Any]]]:
        """
        All customers, page by page, no one twice.

        :param filters: ``ids``, ``wholesale_status`` (``wholesale`` or ``retail``), ``marketing_status``
            (``accepts_marketing`` or ``rejects_marketing``), ``created_at_min``, ``created_at_max``, ``updated_at_min``,
            ``updated_at_max``.
        :param query: A search, such as ``country:Australia total_spent:>100 -state:declined``, or its terms by name.
        :param page_size: Customers a request, 50 at most.
        :raises InvalidArgumentError: at this call, before the first request.
        :raises CustobarError: while the pages are read.
        """
        parameters = build_filters(filters, query=query)
        size = whole_number("page_size", page_size, least=1, most=MAX_PAGE_SIZE, reason=" (Spiffy Stores' limit)")
        return _pages(self.get_config(), parameters, size)

    def get_customers(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        """
        All customers, one by one; takes the arguments of :meth:`get_pages`.

        :raises InvalidArgumentError: at this call, before the first request.
        """
        return (customer for page in self.get_pages(**arguments) for customer in page)

    def search_customers(self, query: str | Mapping[str, object], **arguments: Any) -> Iterator[dict[str, Any]]:
        """The customers that a search finds, one by one; takes the arguments of :meth:`get_pages`."""
        return self.get_customers(query=query, **arguments)

    def count_customers(self, filters: Mapping[str, object] | None = None) -> int:
        """How many customers there are, with the filters of :meth:`get_pages`."""
        parameters = build_filters(filters)
        with self.get_conn() as client:
            return client.count(parameters)

    def get_customer(self, customer_id: int | str) -> dict[str, Any]:
        """
        One customer.

        :raises NotFoundError: there is none with this id.
        """
        number = _number(customer_id)
        with self.get_conn() as client:
            return client.get(number)

    def create_customer(self, customer: Mapping[str, Any]) -> dict[str, Any]:
        """
        Create a customer; return it as the store took it. The request is not repeated where it may have arrived.

        :raises BadRequestError: the store does not take it, such as for an e-mail address that another customer has.
        """
        with self.get_conn() as client:
            return client.create(_mapping("customer", customer))

    def update_customer(self, customer_id: int | str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of a customer; return it as it is now."""
        number = _number(customer_id)
        with self.get_conn() as client:
            return client.update(number, _mapping("changes", changes))

    def delete_customer(self, customer_id: int | str) -> None:
        """Delete a customer."""
        number = _number(customer_id)
        with self.get_conn() as client:
            client.delete(number)

    def test_connection(self) -> tuple[bool, str]:
        """Make one GET of the store's own record."""
        try:
            # One attempt: whoever presses the button waits for the answer.
            with _client_of(replace(self.get_config(), max_attempts=1)) as client:
                store = client.store()
        except CustobarError as error:
            return False, str(error)
        return True, f"{client.config.base_url} is the store {store.get('name') or 'without a name'}"


def _client_of(config: ClientConfig) -> SpiffyStoresClient:
    # Only here: what a DAG that is parsed needs of a hook is its name.
    from airflow_provider_custobar.api.spiffy.client import SpiffyStoresClient  # noqa: PLC0415

    return SpiffyStoresClient(config)


def _pages(config: ClientConfig, parameters: Mapping[str, str], size: int) -> Iterator[list[dict[str, Any]]]:
    with _client_of(config) as client:
        yield from client.pages(parameters, size)


def _number(customer_id: object) -> int:
    return whole_number("customer_id", customer_id, least=1)


def _mapping(argument: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise InvalidArgumentError(argument, type(value).__name__, "give the customer's fields by name")
    return value
