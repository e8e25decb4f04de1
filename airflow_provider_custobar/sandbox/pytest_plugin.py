"""Fixtures for tests of DAGs: a running sandbox, and a way to start others.

Nothing but pytest is imported until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_custobar.sandbox import CustobarSandbox


@pytest.fixture
def custobar_sandbox_factory() -> Iterator[Callable[..., CustobarSandbox]]:
    """Start sandboxes with any arguments of CustobarSandbox; all are stopped at the end of the test.

    An unexpected error inside a sandbox makes the test fail, even if the code under test swallowed the 500.
    """
    from airflow_provider_custobar.sandbox import CustobarSandbox  # noqa: PLC0415 - see above

    running: list[CustobarSandbox] = []

    def start(*args: object, **kwargs: object) -> CustobarSandbox:
        sandbox = CustobarSandbox(*args, **kwargs)  # type: ignore[arg-type]
        sandbox.start()
        running.append(sandbox)
        return sandbox

    yield start
    for sandbox in running:
        sandbox.stop()
    errors = [error for sandbox in running for error in sandbox.errors]
    if errors:
        raise errors[0]


@pytest.fixture
def custobar_sandbox(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> CustobarSandbox:
    """Return a running sandbox with 200 customers and a month of events and sales."""
    return custobar_sandbox_factory()
