"""Rows read back after an upload."""

from __future__ import annotations

import json
import logging
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.resources import RESOURCES
from airflow_provider_custobar.upload.journal import Journal
from airflow_provider_custobar.upload.rows import GoodRow
from airflow_provider_custobar.upload.uploader import Upload
from airflow_provider_custobar.upload.verification import SAMPLE_ROWS, verify
from tests.upload.support import Sent, Store, build_plan, customer

LOG = logging.getLogger("tests.verification")


def outcome(sent: dict[str, Any], found: dict[str, Any] | None, zone: str = "UTC") -> tuple[int, int]:
    rows = [GoodRow(0, json.dumps({"external_id": "1", **sent}).encode(), None)]
    record = None if found is None else {"external_id": "1", **found}
    result = verify(rows, lambda _: record, RESOURCES["customers"], ZoneInfo(zone), LOG)
    assert result.checked == 1
    return result.missing, result.different


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ({"city": "Turku"}, {"city": "Turku", "country": "FI"}),
        ({"email": "Aino@Example.com", "country": "FI"}, {"email": "aino@example.com", "country": "fi"}),
        ({"date_joined": "2026-02-01T10:00:00+02:00"}, {"date_joined": "2026-02-01T08:00:00Z"}),
        ({"date_joined": "2026-02-01"}, {"date_joined": "2026-01-31T22:00:00Z"}),
        ({"tags": "b,a"}, {"tags": ["a", "b"]}),
        ({"tags": ["a", "b"]}, {"tags": ["b", "a"]}),
        ({"tags.add": ["a"]}, {"tags": ["a", "z"]}),
        ({"tags.remove": ["a"]}, {"tags": ["z"]}),
        ({"tags.remove": "a"}, {}),
        ({"city": ""}, {}),
        ({"can_email": False}, {}),
        ({"is_deleted": True}, None),
        ({"is_forgotten": True}, {}),
        ({"acme__size": 42}, {"acme__size": 42}),
    ],
)
def test_what_was_sent_is_there(sent: dict[str, Any], found: dict[str, Any] | None) -> None:
    """Rule: a field agrees if it means the same, however the API writes it."""
    assert outcome(sent, found, "Europe/Helsinki") == (0, 0)


@pytest.mark.parametrize(
    ("sent", "found", "expected"),
    [
        ({"city": "Turku"}, None, (1, 0)),
        ({"city": "Turku"}, {}, (0, 1)),
        ({"city": "Turku"}, {"city": "Oulu"}, (0, 1)),
        ({"city": ""}, {"city": "Oulu"}, (0, 1)),
        ({"tags.add": ["a"]}, {"tags": ["z"]}, (0, 1)),
        ({"tags.remove": ["a"]}, {"tags": ["a"]}, (0, 1)),
        ({"date_joined": "2026-02-01"}, {"date_joined": "2026-02-02T00:00:00Z"}, (0, 1)),
        ({"date_joined": "2026-02-01T10:00:00Z"}, {"date_joined": "nonsense"}, (0, 1)),
        ({"can_email": True}, {}, (0, 1)),
    ],
)
def test_differences_are_told_by_field(
    sent: dict[str, Any], found: dict[str, Any] | None, expected: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: what is missing or different is counted and told by position and field, never by value."""
    assert outcome(sent, found) == expected
    assert "row 0" in caplog.text
    assert "Turku" not in caplog.text
    assert "Oulu" not in caplog.text


@pytest.mark.parametrize(("how", "expected"), [("sample", SAMPLE_ROWS), ("all", 100)])
def test_a_sample_or_all_are_read_back_after_the_delay(how: Any, expected: int) -> None:
    """Rule: reading back waits as long as it is told to, and asks for each row once."""
    waited: list[float] = []
    asked: list[str] = []

    def read_back(external_id: str) -> dict[str, Any]:
        assert waited == [7]
        asked.append(external_id)
        return {"external_id": external_id}

    upload = Upload(
        rows=[customer(number) for number in range(100)],
        plan=build_plan(verify=how, verify_delay="7"),
        send=Sent(),
        read_back=read_back,
        sleep=waited.append,
    )
    result = upload.run()
    assert result.verified is not None
    assert (result.verified.checked, result.verified.missing, len(set(asked))) == (expected, 0, expected)
    # Not the first twenty.
    assert max(int(external_id[2:]) for external_id in asked) > 50


def test_a_failure_to_read_back_fails_no_upload(caplog: pytest.LogCaptureFixture) -> None:
    """Rule: what was sent stays sent: a failure behind it is told, and asks for no other attempt."""
    store = Store()
    server = Sent()

    def read_back(_: str) -> dict[str, Any]:
        raise OSError("the network")

    plan = build_plan(verify="all", verify_delay=0)
    upload = Upload(rows=[customer(1)], plan=plan, send=server, journal=Journal(store), read_back=read_back)
    result = upload.run()
    assert (server.rows, result.uploaded, result.verified, store.values) == ([customer(1)], 1, None, {})
    assert "could not be read back: the network" in caplog.text


def test_an_attempt_that_dies_in_reading_back_is_not_followed_by_another_upload() -> None:
    """Rule: a worker that is killed after the last batch leaves a next attempt that only reads back."""
    store = Store()
    server = Sent()
    answers: list[Any] = [SystemExit("killed"), {"external_id": "C-1"}]

    def read_back(_: str) -> dict[str, Any]:
        answer = answers.pop(0)
        if isinstance(answer, SystemExit):
            raise answer
        found: dict[str, Any] = answer
        return found

    def attempt() -> Any:
        plan = build_plan(verify="all", verify_delay=0)
        return Upload(rows=[customer(1)], plan=plan, send=server, journal=Journal(store), read_back=read_back).run()

    with pytest.raises(SystemExit):
        attempt()
    result = attempt()
    assert server.rows == [customer(1)]
    assert (result.uploaded, result.resumed, result.verified.missing) == (1, True, 0)
    assert store.values == {}


@pytest.mark.parametrize(
    ("resource", "arguments", "said"),
    [
        ("events", {"verify": "all"}, "verify='all'.*events cannot be read back"),
        ("shops", {"verify": "sample"}, "shops cannot be read back"),
        ("customers", {"verify": "some"}, "verify='some'.*sample, all, None"),
        ("customers", {"verify": True}, "verify=True"),
        ("customers", {"verify_delay": -1}, "verify_delay=-1"),
        ("customers", {"verify_delay": "soon"}, "verify_delay='soon'"),
    ],
)
def test_bad_arguments(resource: str, arguments: dict[str, Any], said: str) -> None:
    """Rule: what cannot be read back is refused before anything is sent."""
    with pytest.raises(InvalidArgumentError, match=said):
        build_plan(resource, **arguments)


def test_utc_is_a_zone() -> None:
    """Rule: zones of any kind will do."""
    rows = [GoodRow(5, b'{"external_id":"1","date_joined":"2026-02-01T10:00:00Z"}', None)]
    found = {"external_id": "1", "date_joined": "2026-02-01T10:00:00"}
    assert verify(rows, lambda _: found, RESOURCES["customers"], UTC, LOG).different == 0
