"""Settings are checked, live, and say what they accept."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_custobar.sandbox import SandboxSettings

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


def test_defaults() -> None:
    """Documented numbers are the defaults (S1, C1)."""
    settings = SandboxSettings()
    assert (settings.limit_default, settings.limit_max_json, settings.limit_max_csv) == (100, 10_000, 100_000)
    assert (settings.rate_limit, settings.rate_window_s) == (180, 60)


def test_live(client: Client) -> None:
    """An assignment takes effect with the next request."""
    assert len(client.rows("customers", limit=20)) == 20
    client.sandbox.settings.limit_max_json = 10
    assert client.data("customers", limit=20).status_code == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit_default", 0),
        ("limit_default", True),
        ("limit_default", "10"),
        ("limit_default", None),
        ("rate_limit", 0),
        ("include_count", 1),
        ("limit_over_max", "refuse"),
        ("upload_status", 204),
        ("upload_status", True),
        ("auth_schemes", []),
        ("auth_schemes", ["digest"]),
        ("auth_schemes", 5),
        ("tenant_timezone", "Mars/Olympus"),
        ("tenant_timezone", "../etc"),
        ("tenant_timezone", None),
        ("cursor_ttl_s", -1),
        ("retry_after", "never"),
    ],
)
def test_wrong_values(name: str, value: Any) -> None:
    """A wrong value is refused with the setting's name, the value and what is accepted, and changes nothing."""
    settings = SandboxSettings()
    before = getattr(settings, name)
    with pytest.raises(ValueError, match=f"{name}=.*expected"):
        setattr(settings, name, value)
    with pytest.raises(ValueError, match=f"{name}=.*expected"):
        SandboxSettings(**{name: value})
    assert getattr(settings, name) == before


def test_wrong_name() -> None:
    """A wrong name is refused with the one that was meant and all there are."""
    settings = SandboxSettings()
    with pytest.raises(AttributeError, match="Did you mean 'limit_max_json'") as caught:
        settings.limit_max_jsn = 5  # type: ignore[attr-defined]
    assert all(field.name in str(caught.value) for field in dataclasses.fields(SandboxSettings))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("limit_default", "7", 7),
        ("cursor_ttl_s", "0.5", 0.5),
        ("rate_limit", "none", None),
        ("max_rows", "null", None),
        ("include_count", "false", False),
        ("include_count", "on", True),
        ("retry_after", "off", "off"),
        ("retry_after", "false", "off"),
        ("auth_schemes", "token, Basic", ("token", "basic")),
        ("csv_bool", "True/False", "True/False"),
        ("tenant_timezone", "Europe/Helsinki", "Europe/Helsinki"),
    ],
)
def test_values_as_text(name: str, text: str, expected: Any) -> None:
    """On the command line values are JSON where that fits, else plain text."""
    settings = SandboxSettings()
    settings.set_text(name, text)
    assert getattr(settings, name) == expected


def test_every_default_survives_a_check() -> None:
    """Each default is a value that the setting accepts."""
    for name, value in SandboxSettings().items():
        setattr(SandboxSettings(), name, value)
