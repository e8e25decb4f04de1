"""Where in which file system a URL leads that is given for Airflow's object storage."""

from __future__ import annotations

import re
from pathlib import Path

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.stores.files import FileSystemStore
from airflow_provider_custobar.stores.local import LocalStore
from airflow_provider_custobar.stores.protocol import Location
from airflow_provider_custobar.task.names import check_filled

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_LOCAL_SCHEMES = ("file", "local")
#: What brings Airflow the file system of a scheme.
_PACKAGES = {
    **dict.fromkeys(["s3", "s3a", "s3n"], "apache-airflow-providers-amazon[s3fs]"),
    **dict.fromkeys(["gs", "gcs"], "apache-airflow-providers-google"),
    **dict.fromkeys(["abfs", "abfss", "adl"], "apache-airflow-providers-microsoft-azure"),
}
#: How a version of an object is asked for, by file systems that know versions.
_VERSION = re.compile(r"[?#]")


def locate(argument: str, value: object, conn_id: str | None = None, *, replace: bool = True) -> Location:
    """The location that a URL names; a path without a scheme is one of this machine. ``replace`` is that of its store.

    :raises InvalidArgumentError: none, or one that a library would take for another: what is read and written, and what the
        result calls it, must be the same.
    """
    url = check_filled(argument, value)
    scheme, separator, rest = url.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return _local(argument, url, replace=replace)
    if scheme.lower() in _LOCAL_SCHEMES:
        if not rest.startswith("/"):
            raise InvalidArgumentError(argument, url, f"give an absolute path, {scheme}:///folder/file")
        return _local(argument, rest, replace=replace)
    return _remote(argument, url, rest, conn_id, replace=replace)


def _local(argument: str, path: str, *, replace: bool) -> Location:
    if not path.startswith("/"):
        first = path.partition("/")[0]
        if first.startswith("~") or ":" in first:
            raise InvalidArgumentError(argument, path, "give an absolute path, or the URL of one store: scheme://...")
        path = f"{Path.cwd()}/{path}"
    store = LocalStore(replace=replace)
    return Location(store=store, name=path, target=store.target(path))


def _remote(argument: str, url: str, rest: str, conn_id: str | None, *, replace: bool) -> Location:
    if "::" in url:
        raise InvalidArgumentError(argument, url, "file systems cannot be chained with :: here; give the URL of one store")
    try:
        place = ObjectStoragePath(url, conn_id=conn_id)
        filesystem, path = place.fs, place.path
    except (ValueError, ImportError) as error:
        package = _PACKAGES.get(url.partition("://")[0].lower())
        raise InvalidArgumentError(argument, url, f"{error}; pip install '{package}'" if package else str(error)) from error
    within = rest.partition("/")[2]
    is_versioned = getattr(filesystem, "version_aware", False) and _VERSION.search(within)
    if is_versioned or not f"/{path}".endswith("/" + within.rstrip("/")):
        raise InvalidArgumentError(argument, url, f"its file system would read it as another name, {path}")
    store = FileSystemStore(filesystem, replace=replace)
    name = path + "/" * url.endswith("/")
    return Location(store=store, name=name, target=store.target(name, url))
