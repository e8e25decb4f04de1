"""``custobar://acme.custobar.com/events``: a resource of one company at Custobar, as an asset.

::

    events = Asset("custobar://acme/events")  # the same as custobar://acme.custobar.com/events
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from airflow_provider_custobar.api.resource_uris import canonical_resource_uri, host_of
from airflow_provider_custobar.api.resources import RESOURCES
from airflow_provider_custobar.api.service import CUSTOBAR

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.sdk import Asset


def create_asset(*, host: str, resource: str, extra: dict[str, Any] | None = None) -> Asset:
    """
    The asset of a resource.

    :param host: The company's short name (``acme``), or a host, with its port where that is an unusual one.
    :param resource: ``customers``, ``events``, ``sales``, ``products`` or ``shops``.
    :raises ValueError: one of them is something else.
    """
    from airflow.sdk import Asset  # noqa: PLC0415 - Airflow imports this module to make assets

    return Asset(uri=f"custobar://{host}/{resource}", extra=extra)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """The URI in its one spelling.

    :raises ValueError: it names no company and resource.
    """
    return canonical_resource_uri(uri, CUSTOBAR, RESOURCES)


def convert_asset_to_openlineage(asset: Asset, lineage_context: object) -> Dataset:
    """The dataset ``events`` in the namespace ``custobar://acme.custobar.com``."""
    from airflow.providers.common.compat.openlineage.facet import Dataset  # noqa: PLC0415 - only where it is installed

    uri = sanitize_uri(urlsplit(asset.uri))
    return Dataset(namespace=f"custobar://{uri.netloc}", name=uri.path.strip("/"))


def uri_of(base_url: str, resource: str) -> str:
    """The URI of a resource at the API that a connection leads to."""
    return f"custobar://{host_of(base_url)}/{resource}"
