"""Where in which file system a URL leads that is given for Airflow's object storage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import ObjectStoragePath
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.export.filesystem import FileSystemTarget
from airflow_provider_custobar.export.targets import Target
from airflow_provider_custobar.stores.files import FileSystemFiles, LocalFiles
from airflow_provider_custobar.stores.reading import ReadableStore
from airflow_provider_custobar.transfers.names import check_filled, check_name

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


@dataclass(frozen=True, kw_only=True)
class Location:
    """A place in an fsspec file system; ``path`` is what the URL holds behind its scheme, letter by letter."""

    filesystem: Any
    path: str
    uri: str

    @property
    def objects(self) -> LocalFiles | FileSystemFiles:
        """What can be read there."""
        return LocalFiles() if isinstance(self.filesystem, LocalFileSystem) else FileSystemFiles(self.filesystem)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one object beside those of an upload is written, and read again: ``name`` is its name among ``objects``."""

    target: Target
    objects: ReadableStore
    name: str

    @property
    def uri(self) -> str:
        """In one spelling, however it was given."""
        return self.objects.uri(self.name)


def place_at(argument: str, value: object) -> Place:
    """The place that a URL names.

    :raises InvalidArgumentError: as :func:`locate`, or a folder.
    """
    location = locate(argument, check_name(argument, value), None)
    target = FileSystemTarget(location.filesystem, location.path, location.uri)
    return Place(target=target, objects=location.objects, name=location.path)


def locate(argument: str, value: object, conn_id: str | None) -> Location:
    """The location that a URL names; a path without a scheme is one of this machine.

    :raises InvalidArgumentError: none, or one that a library would take for another: what is read and written, and what the
        result calls it, must be the same.
    """
    url = check_filled(argument, value)
    scheme, separator, rest = url.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return _local(argument, url)
    if scheme.lower() in _LOCAL_SCHEMES:
        if not rest.startswith("/"):
            raise InvalidArgumentError(argument, url, f"give an absolute path, {scheme}:///folder/file")
        return _local(argument, rest)
    return _remote(argument, url, rest, conn_id)


def object_storage_target(argument: str, value: object, conn_id: str | None, *, replace: bool) -> FileSystemTarget:
    """The target that a URL names.

    :raises InvalidArgumentError: as :func:`locate`, or a folder.
    """
    location = locate(argument, check_name(argument, value), conn_id)
    return FileSystemTarget(location.filesystem, location.path, location.uri, replace=replace)


def _local(argument: str, path: str) -> Location:
    if not path.startswith("/"):
        first = path.partition("/")[0]
        if first.startswith("~") or ":" in first:
            raise InvalidArgumentError(argument, path, "give an absolute path, or the URL of one store: scheme://...")
        path = f"{Path.cwd()}/{path}"
    return Location(filesystem=LocalFileSystem(), path=path, uri=f"file://{path}")


def _remote(argument: str, url: str, rest: str, conn_id: str | None) -> Location:
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
    return Location(filesystem=filesystem, path=path + "/" * url.endswith("/"), uri=url)
