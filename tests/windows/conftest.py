"""Tenants behind real ports, and runs of DAGs with the contexts that Airflow makes for their tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings

ZONE = "Europe/Helsinki"
#: Fast enough that no test waits for the pace, which has tests of its own.
UNHURRIED = 600_000


@pytest.fixture
def make_tenant(
    custobar_sandbox_factory: Callable[..., CustobarSandbox], connect: Callable[[str, str], None]
) -> Callable[..., CustobarSandbox]:
    """Start a sandbox of a tenant in Helsinki behind ``custobar_default``; arguments are the sandbox's, ``extra`` the
    connection's.
    """

    def make(*, extra: dict[str, Any] | None = None, **arguments: Any) -> CustobarSandbox:
        settings = SandboxSettings(rate_limit=None, tenant_timezone=ZONE)
        sandbox = custobar_sandbox_factory(settings, **arguments)
        options = {"requests_per_minute": UNHURRIED, "timezone": ZONE, "max_attempts": 1, **(extra or {})}
        connect("custobar_default", sandbox.airflow_connection(**options))
        return sandbox

    return make


@pytest.fixture
def empty_tenant(make_tenant: Callable[..., CustobarSandbox]) -> CustobarSandbox:
    """A tenant in Helsinki without any records."""
    return make_tenant(generate=False)
