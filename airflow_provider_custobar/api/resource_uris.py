"""One URI for each resource of a tenant, ``custobar://acme.custobar.com/events``, however its host is written."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import SplitResult

from airflow_provider_custobar.api.config import base_url_of
from airflow_provider_custobar.api.errors import InvalidArgumentError, did_you_mean
from airflow_provider_custobar.api.origin import DEFAULT_PORTS, in_url, origin_of
from airflow_provider_custobar.api.service import Service


def host_of(base_url: str) -> str:
    """The host that stands in such URIs, with its port where that is an unusual one: they do not tell http from https."""
    _, host, port = origin_of(base_url)
    # Without a port, a bare word would be a tenant's short name.
    is_bare = "." not in host and ":" not in host and host != "localhost"
    return in_url(host) + ("" if port in DEFAULT_PORTS.values() and not is_bare else f":{port}")


def canonical_resource_uri(uri: SplitResult, service: Service, resources: Collection[str]) -> SplitResult:
    """The one spelling of a URI: a tenant's short name becomes its host, a usual port is left out.

    :raises ValueError: it names no host, or none of ``resources``, or something besides.
    """
    form = f"give {uri.scheme}://HOST/RESOURCE, such as {uri.scheme}://{service.example}.{service.domain}/{min(resources)}"
    if "@" in uri.netloc:
        raise ValueError(f"A {uri.scheme}:// URI (not shown) holds no user and no password: {form}")
    if uri.query or uri.fragment:
        raise ValueError(f"{uri.geturl()!r} has more than a host and a resource: {form}")
    try:
        host = host_of(base_url_of(uri.netloc, None, None, service))
    except InvalidArgumentError as error:
        raise ValueError(f"{uri.geturl()!r} names no host: {form}") from error
    resource = uri.path.strip("/")
    if resource not in resources:
        known = f"{', '.join(sorted(resources))}.{did_you_mean(resource, resources)}"
        raise ValueError(f"{uri.geturl()!r} names no resource at {service.name}; there are {known} Please {form}")
    return uri._replace(netloc=host, path=f"/{resource}", query="", fragment="")
