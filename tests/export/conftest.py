"""Real stores for the export tests; the servers start once in each worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.export.support import BUCKET, DictStore, GcsStore, S3Store, Store, local_store, memory_store
from tools.servers import GcsServer, S3Server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        server.create_bucket(BUCKET)
        yield server


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    with GcsServer() as server:
        server.create_bucket(BUCKET)
        yield server


@pytest.fixture
def s3(s3_server: S3Server) -> S3Store:
    return S3Store(s3_server.client(retries={"total_max_attempts": 1}))


@pytest.fixture
def gcs(gcs_server: GcsServer) -> GcsStore:
    return GcsStore(gcs_server.client())


@pytest.fixture(params=["s3", "gcs", "local", "memory", "dict"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Every kind of store in turn."""
    makers: dict[str, Any] = {
        "s3": lambda: request.getfixturevalue("s3"),
        "gcs": lambda: request.getfixturevalue("gcs"),
        "local": lambda: local_store(tmp_path),
        "memory": memory_store,
        "dict": DictStore,
    }
    return makers[request.param]()
