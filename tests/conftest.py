"""Servers that tests share, started in each worker process of pytest when first needed; and which tests are quick."""

from __future__ import annotations

import gc
import sys
import uuid
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

# croniter starts a process when it is first imported, in whichever test that is.
import airflow.timetables.interval  # noqa: F401
import pytest
from botocore.loaders import JSONFileLoader, Loader, create_loader
from hypothesis import HealthCheck, settings

from tests.soak import SOAK, times
from tools.airflow_home import AirflowHome
from tools.servers import GcsServer, PostgresServer, S3Server

# The same examples each time, so that a run never fails a change that is not to blame; "make soak" draws new ones. Workers
# share one machine, so the time that a single example takes says nothing.
settings.register_profile(
    "ours",
    deadline=None,
    derandomize=not SOAK,
    max_examples=times(100, 5_000),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("ours")

#: Fixtures that start a process, and parameters that name one.
_START_PROCESSES = {"s3_server", "gcs_server", "postgres_server", "airflow_database", "airflow_home", "attempts"}
_START_PROCESSES |= {"s3", "gcs", "postgres"}
#: Parameters that name what takes a second or two each time.
_SLOW = {"duck"}
_started: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts processes, and let it go first: a worker that begins something long at the end keeps all waiting."""
    for item in items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        named = {value for value in parameters if isinstance(value, str)}
        if _START_PROCESSES & {*getattr(item, "fixturenames", ()), *named}:
            item.add_marker("processes")
        if _SLOW & named:
            item.add_marker("slow")
    slow = {item.path for item in items if item.get_closest_marker("processes") or item.get_closest_marker("soak")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Airflow alone has a million objects, which no collection needs to go through again."""
    gc.collect()
    gc.freeze()


def _see(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        _started.append(str(arguments[0]))


sys.addaudithook(_see)


@pytest.fixture(autouse=True)
def _processes_are_declared(request: pytest.FixtureRequest) -> Iterator[None]:
    """Rule: what starts a process has the mark ``processes``, so that ``make test-fast`` is what it says."""
    _started.clear()
    yield
    assert not _started or request.node.get_closest_marker("processes"), f"give it the mark processes; it started {_started}"


@pytest.fixture(scope="session", autouse=True)
def _aws_clients_are_quickly_made() -> Iterator[None]:
    """Every hook makes a session, in which botocore reads the same files and lists four hundred services, half a second long;
    and to tell AWS which operator calls, the hook goes through every module that is loaded.
    """
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

    def only_the_callers(_: AwsGenericHook, existing_user_agent_extra: str) -> str:
        return existing_user_agent_extra

    with pytest.MonkeyPatch.context() as patch:
        load = cache(partial(JSONFileLoader.load_file, JSONFileLoader()))
        services = partial(Loader.list_available_services, create_loader())
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: load(path))
        patch.setattr(Loader, "list_available_services", lambda _, type_name: services(type_name))
        patch.setattr(AwsGenericHook, "_generate_user_agent_extra_field", only_the_callers)
        yield


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    with GcsServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def airflow_database(postgres_server: PostgresServer) -> Callable[[], str]:
    """Make a database for an Airflow: a copy of one that has its tables. Several processes may write to it at once."""
    with AirflowHome({}, database_url=(template := postgres_server.create_database()).url()) as home:
        home.migrate()
    return lambda: postgres_server.create_database(template.name).url()


@pytest.fixture(scope="session")
def airflow_home(airflow_database: Callable[[], str]) -> Iterator[AirflowHome]:
    """An Airflow for ``run_dag``, shared because its first run takes ten seconds longer; give connections as environment."""
    with AirflowHome({}, database_url=airflow_database()) as home:
        yield home


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> str:
    """A new, empty bucket."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3_server.create_bucket(name)
    return name


@pytest.fixture
def gcs_bucket(gcs_server: GcsServer) -> str:
    """A new, empty bucket."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    gcs_server.create_bucket(name)
    return name


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Define an Airflow connection: ``connect(conn_id, document)``."""

    def define(conn_id: str, document: str) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", document)

    return define
