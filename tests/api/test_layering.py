"""This storey stands without Airflow."""

from __future__ import annotations

import pkgutil

import pytest

from airflow_provider_custobar import api
from tests.python_process import output_of

SCRIPT = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"airflow", "pytest", "werkzeug", "boto3", "google"}:
            raise ImportError(f"{name} is blocked")
        return None

sys.meta_path.insert(0, Blocked())
try:
    import airflow
except ImportError:
    pass
else:
    sys.exit("the block does not block")
for name in sys.argv[1:]:
    importlib.import_module(name)
loaded = sorted(name for name in sys.modules if name.startswith("airflow_provider_custobar."))
storeys = {name.split(".")[1] for name in loaded}
assert storeys == {"api"}, f"the ground floor imports from above: {loaded}"
print(len(loaded))
"""


@pytest.mark.processes
def test_every_module_of_the_api_imports_without_airflow() -> None:
    """Rule: api/ knows HTTP and Custobar; it imports with Airflow missing, and nothing of the storeys above it."""
    names = [f"{api.__name__}.{module.name}" for module in pkgutil.iter_modules(api.__path__)]
    assert "airflow_provider_custobar.api.client" in names
    assert int(output_of(SCRIPT, api.__name__, *names)) == len(names) + 1


@pytest.mark.processes
def test_flows_need_no_http_library() -> None:
    """Rule: what to send and when is decided without requests and httpx; only the two clients import them."""
    script = (
        "import sys; from airflow_provider_custobar.api import flow; from airflow_provider_custobar.watch import event_check;"
        " print({'requests', 'httpx', 'urllib3'} & set(sys.modules))"
    )
    assert output_of(script).strip() == "set()"
