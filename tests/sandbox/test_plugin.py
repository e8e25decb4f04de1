"""The pytest plugin: cheap to import, fixtures that run and fail as they should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox
from tests.python_process import output_of

TEST_FILE = """
import requests
from airflow_provider_custobar.sandbox import SandboxSettings

def test_fixture(custobar_sandbox):
    headers = {"Authorization": "Token " + custobar_sandbox.token}
    page = requests.get(custobar_sandbox.url + "/api/data/customers/", headers=headers, timeout=10).json()
    assert page["count"] == 200

def test_factory(custobar_sandbox_factory):
    one = custobar_sandbox_factory(SandboxSettings(limit_default=5), customers=10)
    other = custobar_sandbox_factory(generate=False)
    assert one.url != other.url

def test_error(custobar_sandbox):
    def broken(request):
        raise LookupError("a bug of the sandbox")
    custobar_sandbox._app.faults.arriving = broken
    assert requests.get(custobar_sandbox.url + "/api/data/customers/", timeout=10).status_code == 500
"""


def test_fixture(custobar_sandbox: CustobarSandbox) -> None:
    """The fixture is a running sandbox with 200 customers."""
    assert custobar_sandbox.url
    assert len(list(custobar_sandbox.records("customers"))) == 200


@pytest.mark.processes
def test_import_is_cheap() -> None:
    """Importing the plugin imports neither the server nor the data library."""
    code = (
        "import sys, airflow_provider_custobar.sandbox.pytest_plugin;"
        "print([name for name in ('werkzeug', 'mimesis', 'msgspec', 'airflow') if name in sys.modules])"
    )
    assert output_of(code).strip() == "[]"


@pytest.mark.processes
def test_errors_in_the_server_fail_the_test(tmp_path: Path) -> None:
    """An unexpected error in the sandbox is a 500, and raised again when the test ends."""
    (tmp_path / "test_it.py").write_text(TEST_FILE)
    arguments = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(tmp_path), str(tmp_path)]
    code = (
        "import sys, pytest, importlib.metadata as metadata;"
        "names = [entry.value for entry in metadata.entry_points(group='pytest11')];"
        "plugin = 'airflow_provider_custobar.sandbox.pytest_plugin';"
        "sys.exit(pytest.main([*sys.argv[1:], *([] if plugin in names else ['-p', plugin])]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert "3 passed, 1 error" in done.stdout, done.stdout
    assert "LookupError: a bug of the sandbox" in done.stdout
