"""A local Custobar, and a local store at Spiffy Stores, for demos and tests.

It imports nothing from the rest of the provider and nothing from Airflow, so that one misreading of the API
cannot hide in both. The public names below are loaded when first used: the pytest plugin of this package is
imported by every test run of whoever has the provider installed, and must cost nothing until it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from airflow_provider_custobar.sandbox.extra import pip_line_if_missing

if TYPE_CHECKING:
    from airflow_provider_custobar.sandbox.faults import Fault
    from airflow_provider_custobar.sandbox.sandbox import CustobarSandbox
    from airflow_provider_custobar.sandbox.settings import SandboxSettings
    from airflow_provider_custobar.sandbox.spiffy.sandbox import SpiffyStoresSandbox
    from airflow_provider_custobar.sandbox.spiffy.settings import SpiffyStoresSettings

__all__ = ["CustobarSandbox", "Fault", "SandboxSettings", "SpiffyStoresSandbox", "SpiffyStoresSettings"]

_HOMES = {
    "CustobarSandbox": "sandbox",
    "Fault": "faults",
    "SandboxSettings": "settings",
    "SpiffyStoresSandbox": "spiffy.sandbox",
    "SpiffyStoresSettings": "spiffy.settings",
}


def __getattr__(name: str) -> Any:
    """Load a public name."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with pip_line_if_missing():
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
