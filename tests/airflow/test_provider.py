"""The provider as Airflow sees it."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from airflow_provider_custobar import __version__
from airflow_provider_custobar.api.config import config_from_connection
from airflow_provider_custobar.get_provider_info import get_provider_info
from airflow_provider_custobar.hooks.custobar import CustobarHook
from tests.python_process import output_of


@pytest.mark.processes
def test_airflow_lists_the_provider(tmp_path: Path) -> None:
    """Rule: an installed package is a provider to Airflow, under the distribution's own name and version."""
    command = [sys.executable, "-m", "airflow", "providers", "get", "airflow-provider-custobar", "--output", "json"]
    environment = {"AIRFLOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed[printed.index("[") :]) == [{"Provider": "airflow-provider-custobar", "Version": __version__}]


def test_metadata_fits_airflows_schema() -> None:
    """Rule: the metadata has the form that Airflow validates, and names the distribution."""
    import airflow

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    info = get_provider_info()
    jsonschema.validate(info, schema)
    assert info["package-name"] == "airflow-provider-custobar"
    assert importlib.metadata.version(info["package-name"]) == __version__


def test_everything_the_metadata_names_can_be_imported() -> None:
    """Rule: no module or class in the metadata is missing."""
    info = get_provider_info()
    for section in ("hooks", "operators", "sensors", "triggers"):
        for entry in info[section]:
            for module in entry["python-modules"]:
                importlib.import_module(module)
    for entry in info["task-decorators"]:
        module, _, name = entry["class-name"].rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
    assert info["connection-types"][0]["hook-class-name"] == f"{CustobarHook.__module__}.{CustobarHook.__qualname__}"
    assert info["connection-types"][0]["connection-type"] == CustobarHook.conn_type


@pytest.mark.processes
@pytest.mark.parametrize("module", ["airflow_provider_custobar", "airflow_provider_custobar.get_provider_info"])
def test_start_up_modules_import_nothing(module: str) -> None:
    """Rule: what Airflow imports while it starts up brings nothing that could fail."""
    code = f"import sys; before = set(sys.modules); import typing, {module}; print(*sorted(set(sys.modules) - before))"
    brought = {name.partition(".")[0] for name in output_of(code).split()}
    assert brought - set(sys.stdlib_module_names) == {"airflow_provider_custobar"}


def test_every_extra_of_the_form_is_understood_and_may_stay_empty() -> None:
    """Rule: a form saved with nothing but host and password, which stores nulls, gives a working connection."""
    fields = get_provider_info()["connection-types"][0]["conn-fields"]
    assert all("null" in field["schema"]["type"] for field in fields.values())
    config = config_from_connection(host="acme", password="API1", extra=dict.fromkeys(fields))
    assert config == config_from_connection(host="acme", password="API1")


def test_every_extra_of_the_form_changes_the_client() -> None:
    """Rule: the form offers no field that nothing reads."""
    fields = get_provider_info()["connection-types"][0]["conn-fields"]
    plain = config_from_connection(host="acme", password="API1")
    values = {
        "auth_scheme": "Bearer",
        "requests_per_minute": 30,
        "timezone": "Europe/Helsinki",
        "trust_day_filter": True,
        "timeout": 5,
        "max_attempts": 2,
        "test_path": "/api/data/events/",
        "trusted_hosts": "app.custobar.com",
        "verify": "false",
    }
    assert set(values) == set(fields)
    for name, value in values.items():
        assert config_from_connection(host="acme", password="API1", extra={name: value}) != plain, name


def test_airflow_31_gets_the_form_from_the_hook() -> None:
    """Rule: where the form comes from the hook's method, it is the same form."""
    assert CustobarHook.get_ui_field_behaviour()["relabeling"]["host"] == "Company or host"
