"""The provider as Airflow sees it."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_custobar import __version__, assets, hooks, operators, sensors, transfers, triggers
from airflow_provider_custobar.api.config import config_from_connection
from airflow_provider_custobar.get_provider_info import get_provider_info
from airflow_provider_custobar.hooks.custobar import CustobarHook
from tests.python_process import output_of


def modules_in(package: ModuleType) -> list[str]:
    return [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]


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
    """Rule: the metadata names each module of a public package, and nothing that is not there."""
    info = get_provider_info()
    named = {
        module
        for section in ("hooks", "operators", "sensors", "triggers", "transfers")
        for entry in info[section]
        for module in entry.get("python-modules") or [entry["python-module"]]
    }
    assert named == {module for package in (hooks, operators, sensors, triggers, transfers) for module in modules_in(package)}
    for module in named:
        importlib.import_module(module)
    handlers = [entry[key] for entry in info["asset-uris"] for key in ("handler", "factory", "to_openlineage_converter")]
    assert {handler.rpartition(".")[0] for handler in handlers} == set(modules_in(assets))
    for called in (*(entry["class-name"] for entry in info["task-decorators"]), *handlers):
        module, _, name = called.rpartition(".")
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


def test_mappings_and_queries_are_shown_as_what_they_are() -> None:
    """Rule: the page of rendered templates shows each templated mapping as JSON, each query as SQL."""
    found = [
        value
        for package in (operators, sensors, transfers)
        for module in map(importlib.import_module, modules_in(package))
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseOperator) and value.__module__ == module.__name__
    ]
    assert len(found) >= 10
    for operator in found:
        shown = operator.template_fields_renderers
        annotations = {
            name: str(parameter.annotation)
            for base in operator.__mro__
            if base.__module__.startswith("airflow_provider_custobar")
            for name, parameter in inspect.signature(base.__init__).parameters.items()
        }
        for name in operator.template_fields:
            expected = "json" if "Mapping[" in annotations[name] else "sql" if name == "sql" else None
            assert shown.get(name) == expected, f"{operator.__name__}.{name}"
