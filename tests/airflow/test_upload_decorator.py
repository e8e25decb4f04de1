"""``@task.custobar_upload``: rows of a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
import pytest
from airflow.sdk import DAG, task

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.sandbox import CustobarSandbox


@dataclass
class Member:
    external_id: str
    tags: list[str]


def generated() -> Iterator[dict[str, Any]]:
    yield from ({"external_id": str(number)} for number in range(3))


def from_arguments(day: str, *, count: int, ds: str | None = None) -> list[dict[str, Any]]:
    return [{"external_id": f"{day}-{ds}-{number}"} for number in range(count)]


def nothing() -> list[Any]:
    return []


def frame() -> pd.DataFrame:
    columns = {
        "external_id": ["1", "2"],
        "city": ["Turku", None],
        "birth_date": [date(2000, 2, 29), None],
        "date_joined": [pd.Timestamp("2026-02-01T10:00Z"), pd.NaT],
        "can_email": pd.array([True, None], dtype="boolean"),
        "ACME__size": [1.5, float("nan")],
    }
    return pd.DataFrame(columns)


def operator(function: Callable[..., Any], *args: Any, options: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    """The operator of the task that a DAG makes of the function by calling it with these arguments."""
    with DAG("d", schedule=None):
        return task.custobar_upload(task_id="upload", **(options or {}))(function)(*args, **kwargs).operator


def received(tenant: CustobarSandbox) -> list[Any]:
    return [row for entry in tenant.uploads for row in entry.rows]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (generated, [{"external_id": "0"}, {"external_id": "1"}, {"external_id": "2"}]),
        (lambda: [Member("1", ["new"])], [{"external_id": "1", "tags": ["new"]}]),
        (
            frame,
            [
                {
                    "external_id": "1",
                    "city": "Turku",
                    "birth_date": "2000-02-29",
                    "date_joined": "2026-02-01T10:00:00Z",
                    "can_email": True,
                    "ACME__size": 1.5,
                },
                {"external_id": "2"},
            ],
        ),
        (nothing, []),
    ],
    ids=["generator", "dataclasses", "data frame", "nothing"],
)
def test_rows_of_a_function_arrive(tenant: CustobarSandbox, function: Any, expected: list[Any]) -> None:
    """Rule: what a function yields or returns is uploaded; XCom gets the upload's result, and none of the rows."""
    result = operator(function).execute({})
    assert received(tenant) == expected
    assert (result["rows"], result["uploaded"]) == (len(expected), len(expected))
    assert "external_id" not in str(result)


def test_a_function_has_its_arguments_and_the_context(tenant: CustobarSandbox) -> None:
    """Rule: arguments are templates, and names of the context come from it, as in any task of TaskFlow."""
    made = operator(from_arguments, "{{ day }}", count=2, options={"batch_size": "{{ size }}"})
    made.render_template_fields({"day": "monday", "size": 1})
    made.execute({"ds": "2026-02-20"})
    assert [row["external_id"] for row in received(tenant)] == ["monday-2026-02-20-0", "monday-2026-02-20-1"]
    assert len(tenant.uploads) == 2


async def coroutine() -> list[Any]:
    return []


async def asynchronous_generator() -> Any:
    yield {}


@pytest.mark.parametrize("given", [None, "rows", b"rows", {"external_id": "1"}, 7])
def test_what_is_no_rows_is_refused(tenant: CustobarSandbox, given: Any) -> None:
    """Rule: a function without rows is told what to return, before any request."""
    with pytest.raises(InvalidArgumentError, match=f"{type(given).__name__}.*yield or return rows"):
        operator(lambda: given).execute({})
    assert tenant.requests == []


def test_columns_of_one_name_are_refused(tenant: CustobarSandbox) -> None:
    """Rule: of two columns with one name none is left out in silence."""
    with pytest.raises(InvalidArgumentError, match="city.*two columns"):
        operator(lambda: pd.DataFrame([["1", "Turku", "Oulu"]], columns=["external_id", "city", "city"])).execute({})
    assert tenant.requests == []


@pytest.mark.parametrize("function", [coroutine, asynchronous_generator])
def test_async_functions_are_refused(function: Any) -> None:
    """Rule: what could not be waited for is refused where the DAG is parsed."""
    with pytest.raises(InvalidArgumentError, match="cannot be async"):
        operator(function)


def test_a_function_that_fails_sends_nothing(tenant: CustobarSandbox) -> None:
    """Rule: rows that came before a failure are not half an upload."""

    def failing() -> Iterator[dict[str, Any]]:
        yield {"external_id": "1"}
        raise ConnectionError("the source")

    with pytest.raises(ConnectionError):
        operator(failing).execute({})
    assert tenant.uploads == []
