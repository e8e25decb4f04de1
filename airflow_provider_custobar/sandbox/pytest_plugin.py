"""Fixtures for tests of DAGs: a running sandbox, and a way to start others.

Nothing but pytest is imported until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from airflow_provider_custobar.sandbox import CustobarSandbox, SpiffyStoresSandbox

    AnySandbox = TypeVar("AnySandbox", CustobarSandbox, SpiffyStoresSandbox)


@contextmanager
def _starter(kind: type[AnySandbox]) -> Iterator[Callable[..., AnySandbox]]:
    """Start sandboxes of a kind; in the end stop all, and raise what went wrong inside them."""
    running: list[AnySandbox] = []

    def start(*args: object, **kwargs: object) -> AnySandbox:
        sandbox = kind(*args, **kwargs)  # type: ignore[arg-type]
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
def custobar_sandbox_factory() -> Iterator[Callable[..., CustobarSandbox]]:
    """Start sandboxes with any arguments of CustobarSandbox; all are stopped at the end of the test.

    An unexpected error inside a sandbox makes the test fail, even if the code under test swallowed the 500.
    """
    from airflow_provider_custobar.sandbox import CustobarSandbox  # noqa: PLC0415 - see above

    with _starter(CustobarSandbox) as start:
        yield start


@pytest.fixture
def custobar_sandbox(custobar_sandbox_factory: Callable[..., CustobarSandbox]) -> CustobarSandbox:
    """Return a running sandbox with 200 customers and a month of events and sales."""
    return custobar_sandbox_factory()


@pytest.fixture
def spiffy_sandbox_factory() -> Iterator[Callable[..., SpiffyStoresSandbox]]:
    """Start stores with any arguments of SpiffyStoresSandbox; all are stopped at the end of the test.

    An unexpected error inside a store makes the test fail, even if the code under test swallowed the 500.
    """
    from airflow_provider_custobar.sandbox import SpiffyStoresSandbox  # noqa: PLC0415 - see above

    with _starter(SpiffyStoresSandbox) as start:
        yield start


@pytest.fixture
def spiffy_sandbox(spiffy_sandbox_factory: Callable[..., SpiffyStoresSandbox]) -> SpiffyStoresSandbox:
    """Return a running store with 120 customers."""
    return spiffy_sandbox_factory()
