"""``spiffy-stores://mystore.spiffystores.com/customers``: the customers of a shop at Spiffy Stores, as an asset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from airflow_provider_custobar.api.resource_uris import canonical_resource_uri, host_of
from airflow_provider_custobar.api.spiffy.service import SPIFFY_STORES

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.sdk import Asset

_RESOURCES = frozenset({"customers"})


def create_asset(*, host: str, resource: str = "customers", extra: dict[str, Any] | None = None) -> Asset:
    """
    The asset of a shop's customers.

    :param host: The store's short name (``mystore``), or a host, with its port where that is an unusual one.
    :param resource: ``customers``.
    :raises ValueError: one of them is something else.
    """
    from airflow.sdk import Asset  # noqa: PLC0415 - Airflow imports this module to make assets

    return Asset(uri=f"spiffy-stores://{host}/{resource}", extra=extra)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """The URI in its one spelling.

    :raises ValueError: it names no store and resource.
    """
    return canonical_resource_uri(uri, SPIFFY_STORES, _RESOURCES)


def convert_asset_to_openlineage(asset: Asset, lineage_context: object) -> Dataset:
    """The dataset ``customers`` in the namespace ``spiffy-stores://mystore.spiffystores.com``."""
    from airflow.providers.common.compat.openlineage.facet import Dataset  # noqa: PLC0415 - only where it is installed

    uri = sanitize_uri(urlsplit(asset.uri))
    return Dataset(namespace=f"spiffy-stores://{uri.netloc}", name=uri.path.strip("/"))


def uri_of(base_url: str) -> str:
    """The URI of the customers at the API that a connection leads to."""
    return f"spiffy-stores://{host_of(base_url)}/customers"
