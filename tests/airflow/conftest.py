"""What tests of hooks, operators, sensors and triggers need: connections to a sandbox and to real stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox
from tests.airflow.attempts import Attempts
from tests.airflow.places import OnDisk, OnGcs, OnS3, Place
from tools.servers import GcsServer, S3Server

#: Fast enough that no test waits for the pace, which has tests of its own.
UNHURRIED = 600_000


@pytest.fixture
def tenant(custobar_sandbox: CustobarSandbox, connect: Callable[[str, str], None]) -> CustobarSandbox:
    """A sandbox without a rate limit, behind the connection ``custobar_default``."""
    custobar_sandbox.settings.rate_limit = 1_000_000
    connect("custobar_default", custobar_sandbox.airflow_connection(requests_per_minute=UNHURRIED))
    return custobar_sandbox


@pytest.fixture
def aws(s3_server: S3Server, connect: Callable[[str, str], None]) -> S3Server:
    """A real S3 server behind the connection ``aws_default``."""
    connect("aws_default", s3_server.airflow_connection())
    return s3_server


@pytest.fixture
def google(gcs_server: GcsServer, connect: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch) -> GcsServer:
    """A real GCS server behind the connection ``google_cloud_default``."""
    connect("google_cloud_default", gcs_server.airflow_connection())
    for name, value in gcs_server.environment().items():
        monkeypatch.setenv(name, value)
    return gcs_server


@pytest.fixture(scope="session")
def attempts() -> Iterator[Attempts]:
    with Attempts() as running:
        yield running


@pytest.fixture(params=["s3", "gcs", "disk"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "disk":
        (tmp_path / "files").mkdir()
        return OnDisk(tmp_path / "files")
    return request.getfixturevalue(f"on_{request.param}")


@pytest.fixture
def on_s3(aws: S3Server, s3_bucket: str) -> OnS3:
    return OnS3(aws, s3_bucket)


@pytest.fixture
def on_gcs(google: GcsServer, gcs_bucket: str) -> OnGcs:
    return OnGcs(google, gcs_bucket)


@pytest.fixture(params=["s3", "gcs"])
def bucket(request: pytest.FixtureRequest) -> OnS3 | OnGcs:
    return request.getfixturevalue(f"on_{request.param}")
