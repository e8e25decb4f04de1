"""Which failures are worth another attempt, and when."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.module_loading import import_string

import airflow_provider_custobar
from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.retry_policy import CustobarRetryPolicy
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from airflow_provider_custobar.stream.endings import EmptyExportError
from airflow_provider_custobar.upload.results import InvalidRowsError
from tools.airflow_home import AirflowHome, connection_variables

sdk = pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="what older Airflows do: test_older_airflow.py")
RetryAction, RetryDecision = sdk.RetryAction, sdk.RetryDecision


def answer(kind: type[errors.ResponseError], status: int, retry_after: float | None = None) -> CustobarError:
    return kind(f"Custobar answered {status}", status=status, reason="Because.", retry_after=retry_after)


def decide(exception: BaseException) -> RetryDecision:
    return CustobarRetryPolicy().evaluate(exception, try_number=1, max_tries=3)


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidArgumentError("date", "yesterday", "give a date"),
        errors.CertificateError("not trusted"),
        errors.ProtocolError("a page that repeats"),
        errors.UploadRefusedError("nothing taken"),
        InvalidRowsError("2 rows are bad", rejected=2),
        answer(errors.AuthenticationError, 401),
        answer(errors.AccessDeniedError, 403),
        answer(errors.NotFoundError, 404),
        answer(errors.PayloadTooLargeError, 413),
        answer(errors.BadRequestError, 422, retry_after=5),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_final_fails_at_once(error: CustobarError) -> None:
    """Rule: what another attempt would only repeat costs none, and the reason says what it was."""
    decision = decide(error)
    assert decision.action is RetryAction.FAIL
    assert decision.reason == f"{type(error).__name__} is final: {error}"


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (answer(errors.RateLimitedError, 429, retry_after=17), 17),
        (answer(errors.RateLimitedError, 429, retry_after=0), 0),
        (answer(errors.RateLimitedError, 429, retry_after=86_400), 3600),
        (answer(errors.RateLimitedError, 429), 60),
        (answer(errors.ServerError, 503, retry_after=30), 30),
        (answer(errors.ServerError, 500), None),
        (errors.TransportError("no answer"), None),
        (errors.MalformedResponseError("half a page"), None),
        (errors.ExpiredCursorError("start over"), None),
        (EmptyExportError("nothing there"), None),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, CustobarError) else str(each),
)
def test_what_may_pass_is_retried_when_the_server_says(error: CustobarError, seconds: float | None) -> None:
    """Rule: the delay is the server's Retry-After, an hour at most; without one, a minute after 429, else the task's own."""
    decision = decide(error)
    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay == (None if seconds is None else timedelta(seconds=seconds))
    assert decision.reason == f"{type(error).__name__} {error.fate.value}: {error}"


@pytest.mark.parametrize(
    "exception",
    [ValueError("elsewhere"), OSError("disk full"), KeyboardInterrupt()],
    ids=lambda exception: type(exception).__name__,
)
def test_the_rest_is_left_to_the_task(exception: BaseException) -> None:
    """Rule: what is not Custobar's is decided by the task's own retries."""
    assert decide(exception) == RetryDecision.default()


def caused(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


def test_an_error_is_found_beneath_those_that_it_caused() -> None:
    """Rule: what is raised because of an error of Custobar is judged by that one, however deep, and nothing by its context."""
    denied = answer(errors.AccessDeniedError, 403)
    assert decide(caused(RuntimeError("outer"), caused(ValueError("middle"), denied))) == decide(denied)
    outer = caused(answer(errors.ServerError, 500), denied)
    assert decide(outer).action is RetryAction.RETRY
    unrelated = ValueError("while something else was handled")
    unrelated.__context__ = denied
    assert decide(unrelated) == RetryDecision.default()


@pytest.mark.parametrize("length", [10, 499, 5000])
def test_a_reason_fits_into_the_database(length: int) -> None:
    """Rule: a reason is one line of at most 500 characters, which is what Airflow has room for."""
    reason = decide(errors.ProtocolError("ä" * length + "\n\nwith more lines")).reason
    assert reason is not None
    assert len(reason) <= 500
    assert "\n" not in reason
    assert reason.startswith("ProtocolError is final: ä")


def test_a_policy_survives_serialisation() -> None:
    """Rule: a policy is JSON that names its class and makes another one; a stored DAG knows that its task has one."""
    policy = CustobarRetryPolicy()
    document = json.loads(json.dumps(policy.serialize()))
    again = import_string(document["__type"]).deserialize(document)
    assert type(again) is CustobarRetryPolicy
    assert again.evaluate(answer(errors.ServerError, 500), 1, 3) == decide(answer(errors.ServerError, 500))
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("stored", schedule=None, default_args={"retry_policy": policy}) as dag:
        BaseOperator(task_id="by_default")
        BaseOperator(task_id="none", retry_policy=None)
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert {task_id: stored.get_task(task_id).has_retry_policy for task_id in stored.task_dict} == {
        "by_default": True,
        "none": False,
    }


DAG_FILE = """
import pendulum
from airflow.sdk import DAG

from airflow_provider_custobar.retry_policy import CustobarRetryPolicy
from airflow_provider_custobar.sensors.custobar import CustobarEventSensor

POLICY = {"retries": 2, "retry_delay": 0, "retry_policy": CustobarRetryPolicy()}
WAIT = {"date": "2026-02-10", "poke_interval": 1, "max_consecutive_failures": 1}

with DAG("policy", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), default_args=POLICY):
    CustobarEventSensor(task_id="denied", event_types="BROWSE", **WAIT)
    CustobarEventSensor(task_id="denied_while_deferred", event_types="MAIL_OPEN", deferrable=True, **WAIT)
    CustobarEventSensor(task_id="unlucky", event_types="MAIL_CLICK", **WAIT)
"""


def test_the_table_of_fates_is_the_truth() -> None:
    """Rule: every error of the package stands in the one table, with the fate that it has."""
    for module in pkgutil.walk_packages(airflow_provider_custobar.__path__, "airflow_provider_custobar."):
        if ".sandbox" not in module.name:
            importlib.import_module(module.name)
    words = {errors.Fate.FINAL: "final", errors.Fate.TRANSIENT: "may pass", errors.Fate.START_OVER: "start over"}
    kinds = {kind.__name__: words[kind.fate] for kind in all_kinds(CustobarError) if kind.__module__.startswith("airflow_p")}
    told = dict(re.findall(r"── (\w+) +(final|may pass|start over) ", errors.__doc__ or ""))
    assert told == kinds


def all_kinds(kind: type[CustobarError]) -> Iterator[type[CustobarError]]:
    for each in kind.__subclasses__():
        yield each
        yield from all_kinds(each)


@pytest.mark.processes
def test_airflow_follows_the_policy(
    custobar_sandbox_factory: Callable[..., CustobarSandbox], airflow_home: AirflowHome, tmp_path: Path
) -> None:
    """Rule: real tasks with retries left fail on 403 after one request, and use their retries for what may pass."""
    tenant = custobar_sandbox_factory(generate=False)
    tenant.load("events", [{"type": "MAIL_CLICK", "date": "2026-02-10T12:00:00Z", "customer_id": "1"}])
    for kind in ("BROWSE", "MAIL_OPEN"):
        tenant.faults.add(Fault("status", status=403, times=None, where={"type": kind}))
    tenant.faults.add(Fault("status", status=500, times=2, where={"type": "MAIL_CLICK"}))
    (tmp_path / "policy.py").write_text(DAG_FILE)
    connection = tenant.airflow_connection(max_attempts=1, requests_per_minute=6000)
    environment = connection_variables({"custobar_default": connection})
    (outcome,) = airflow_home.run_dag(tmp_path / "policy.py", "policy", ["2026-02-11"], environment=environment)
    assert outcome.states == {"denied": "failed", "denied_while_deferred": "failed", "unlucky": "success"}, outcome.log
    answers = {
        kind: [r.status for r in tenant.requests if r.query["type"] == [kind]] for kind in ("BROWSE", "MAIL_OPEN", "MAIL_CLICK")
    }
    assert answers == {"BROWSE": [403], "MAIL_OPEN": [403], "MAIL_CLICK": [500, 500, 200]}
    assert outcome.log.count("ServerError may pass") == 2
