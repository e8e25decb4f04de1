"""A DAG file that imports us is parsed over and over: what only a running task needs is not imported for that."""

from __future__ import annotations

from pathlib import Path

import pytest

import airflow_provider_custobar
from tools.import_times import PUBLIC, brought_by

pytestmark = pytest.mark.processes

#: HTTP clients, parsers, clients of stores and databases, timetables.
HEAVY = set("requests urllib3 httpx boto3 botocore google pyarrow sqlalchemy sqlparse croniter phonenumbers pandas".split())
#: Of our own; most have 30 to 50.
MOST_MODULES = 60


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_module_brings_nothing_that_only_tasks_need(module: str) -> None:
    """Rule: beyond airflow.sdk there is little to read where a DAG is parsed (told in modules: times differ by machine)."""
    _, brought = brought_by(module)
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in brought)
    assert not [name for name in brought if name.startswith(("airflow.timetables", "airflow.providers.common.sql"))]
    assert len([name for name in brought if name.startswith("airflow_provider_custobar")]) <= MOST_MODULES


def test_every_public_module_is_looked_at() -> None:
    """Rule: a module that users import is in the list."""
    root = Path(airflow_provider_custobar.__file__).parent
    found = {
        f"{folder}.{file.stem}"
        for folder in ("decorators", "hooks", "operators", "sensors", "transfers", "triggers")
        for file in (root / folder).glob("*.py")
        if file.stem != "__init__"
    }
    assert sorted({*found, "retry_policy"}) == PUBLIC
