"""Resources of Custobar and of Spiffy Stores as assets."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.openlineage.utils.utils import translate_airflow_asset
from airflow.sdk import Asset

from airflow_provider_custobar.api.config import config_from_connection
from airflow_provider_custobar.assets import custobar, spiffy_stores
from tests.lineage import HookLineageCollector


@pytest.mark.parametrize(
    ("connection", "written", "canonical"),
    [
        ({"host": "acme"}, "custobar://acme/events", "custobar://acme.custobar.com/events"),
        ({"host": "https://ACME.custobar.com/"}, "CUSTOBAR://Acme.Custobar.com/events/", "custobar://acme.custobar.com/events"),
        ({"host": "acme", "port": 443}, "custobar://acme.custobar.com:443/events", "custobar://acme.custobar.com/events"),
        ({"host": "http://127.0.0.1:8765"}, "custobar://127.0.0.1:8765/events", "custobar://127.0.0.1:8765/events"),
        ({"host": "::1", "port": 8765}, "custobar://[0::1]:8765/events", "custobar://[::1]:8765/events"),
        ({"host": "http://sandbox"}, "custobar://sandbox:80/events", "custobar://sandbox:80/events"),
        ({"host": "sandbox", "port": 8765}, "custobar://sandbox:8765/events", "custobar://sandbox:8765/events"),
    ],
)
def test_one_uri_for_a_resource(connection: dict[str, Any], written: str, canonical: str) -> None:
    """Rule: however a company is written, in an asset or in a connection, its resource has one URI, which OpenLineage knows."""
    asset = Asset(written)
    assert asset.uri == canonical
    assert custobar.uri_of(config_from_connection(password="APIX", **connection).base_url, "events") == canonical
    dataset = translate_airflow_asset(asset, None)
    assert f"{dataset.namespace}/{dataset.name}" == canonical
    assert dataset.name == "events"


def test_a_shops_customers_are_an_asset() -> None:
    """Rule: a shop at Spiffy Stores is a source of customers, by one URI."""
    asset = Asset("spiffy-stores://mystore/customers")
    assert asset.uri == spiffy_stores.uri_of("https://mystore.spiffystores.com:443")
    dataset = translate_airflow_asset(asset, None)
    assert (dataset.namespace, dataset.name) == ("spiffy-stores://mystore.spiffystores.com", "customers")


def test_assets_are_made_by_their_scheme() -> None:
    """Rule: Airflow makes these assets of their parts, as it does those of other providers."""
    made = [
        HookLineageCollector().create_asset(scheme=scheme, asset_kwargs=parts, asset_extra={"a": 1})
        for scheme, parts in (("custobar", {"host": "acme", "resource": "sales"}), ("spiffy-stores", {"host": "mystore"}))
    ]
    assert [asset.uri for asset in made] == [
        "custobar://acme.custobar.com/sales",
        "spiffy-stores://mystore.spiffystores.com/customers",
    ]
    assert made[0].extra == {"a": 1}


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("custobar://acme", "names no resource at Custobar; there are customers, events, products, sales, shops"),
        ("custobar://acme/event", "Did you mean 'events'?"),
        ("custobar://acme/events/BROWSE", "names no resource"),
        ("custobar:///events", "names no host: give custobar://HOST/RESOURCE, such as custobar://acme.custobar.com/customers"),
        ("custobar://a_b c/events", "names no host"),
        ("custobar://acme/events?type=BROWSE", "has more than a host and a resource"),
        ("spiffy-stores://mystore/orders", "names no resource at Spiffy Stores; there are customers"),
    ],
)
def test_other_uris_are_refused(uri: str, reason: str) -> None:
    """Rule: a URI that names nothing of the tenant is refused where it is written, with what is accepted."""
    with pytest.raises(ValueError, match=reason):
        Asset(uri)


def test_a_secret_is_refused_and_not_shown() -> None:
    """Rule: where Airflow lets a user or a password through to the handler, as all but the oldest do, no error repeats it."""
    with pytest.raises(ValueError, match=r"\(not shown\) holds no user and no password") as caught:
        custobar.sanitize_uri(urlsplit("custobar://APISECRET@acme/events"))
    assert "SECRET" not in str(caught.value)
