"""Arguments of an upload are checked before the first row is read."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.upload.plan import UploadPlan
from airflow_provider_custobar.upload.rows import GoodRow, Rejected, check_row
from tests.upload.support import build_plan


def test_the_documented_defaults() -> None:
    """Defaults are the careful ones: small batches, nothing sent if any row is bad, nothing irreversible."""
    plan = build_plan()
    assert (plan.resource.name, plan.batch_size, plan.max_batch_bytes) == ("customers", 500, 1_000_000)
    options = plan.options
    assert (options.on_invalid, options.dry_run, dict(plan.field_mapping), plan.timezone) == ("fail", False, {}, "UTC")
    assert (options.clear_empty, options.events_delivery, options.verify) == (False, "at_most_once", None)


@pytest.mark.parametrize("resource", ["customers", "events", "sales", "products", "shops"])
def test_each_resource_can_be_uploaded(resource: str) -> None:
    """Five resources take uploads, shops among them, which cannot be read."""
    assert build_plan(resource).resource.name == resource


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("resource", "customer"),
        ("resource", "Customers"),
        ("resource", ""),
        ("resource", None),
        ("resource", ["customers"]),
        ("on_invalid", "ignore"),
        ("on_invalid", None),
        ("on_invalid", ["fail"]),
        ("unknown_fields", "allow"),
        ("unknown_fields", True),
        ("unknown_fields", None),
        ("batch_size", 0),
        ("batch_size", -1),
        ("batch_size", 2.0),
        ("batch_size", 2.5),
        ("batch_size", True),
        ("batch_size", None),
        ("batch_size", ""),
        ("batch_size", "2.5"),
        ("batch_size", "many"),
        ("batch_size", [5]),
        ("batch_size", math.nan),
        ("batch_size", math.inf),
        ("batch_size", Decimal("2.5")),
        ("max_batch_bytes", 999),
        ("max_batch_bytes", 0),
        ("max_batch_bytes", "1e6"),
        ("max_batch_bytes", 1e6),
        ("max_batch_bytes", -math.inf),
        ("max_batch_bytes", None),
        ("field_mapping", "mail=email"),
        ("field_mapping", ["mail"]),
        ("field_mapping", {"mail": ""}),
        ("field_mapping", {"": "email"}),
        ("field_mapping", {"mail": ["email"]}),
        ("field_mapping", {1: "email"}),
        ("timezone", "Mars/Olympus"),
        ("timezone", "europe/helsinki"),
        ("timezone", 5),
        ("timezone", 7),
    ],
)
def test_each_bad_argument_is_named(argument: str, value: Any) -> None:
    """A bad argument is refused with its name and value, and with what is accepted."""
    with pytest.raises(InvalidArgumentError, match=f"^{argument}=.* is not accepted: .*give") as caught:
        build_plan(**{argument: value})
    assert (caught.value.argument, caught.value.value) == (argument, value) or value != value  # noqa: PLR0124 - NaN


@pytest.mark.parametrize("value", ["False", "true", "", 1, None])
@pytest.mark.parametrize("argument", ["require_external_id", "allow_irreversible", "clear_empty", "dry_run"])
def test_a_permission_is_true_or_false_and_nothing_like_it(argument: str, value: Any) -> None:
    """A permission given as text is refused: ``"False"`` counts as true in Python, and would let customers be deleted."""
    with pytest.raises(InvalidArgumentError) as caught:
        build_plan(**{argument: value})
    assert caught.value.argument == argument


def test_a_misspelt_resource_is_corrected() -> None:
    """A misspelt resource comes with a suggestion."""
    with pytest.raises(InvalidArgumentError, match="Did you mean 'customers'"):
        build_plan("custmers")


@pytest.mark.parametrize(("given", "expected"), [(1, 1), ("1", 1), ("250", 250), (10**6, 10**6)])
def test_batch_sizes_from_templates(given: int | str, expected: int) -> None:
    """A rendered template is a text, and a whole number in it is accepted."""
    assert build_plan(batch_size=given).batch_size == expected


@pytest.mark.parametrize("given", [1000, "1000"])
def test_the_smallest_batch(given: int | str) -> None:
    """A thousand bytes is the least, so that an ordinary row fits."""
    assert build_plan(max_batch_bytes=given).max_batch_bytes == 1000


@pytest.mark.parametrize("mapping", [None, {}, {"mail": "email", "id": "external_id", "notes": None, "size": "ACME__size"}])
def test_mappings_are_kept(mapping: dict[str, str | None] | None) -> None:
    """A mapping, or none, is kept as it is."""
    plan = build_plan(field_mapping=mapping)
    assert isinstance(plan, UploadPlan)
    assert dict(plan.field_mapping) == (mapping or {})


@pytest.mark.parametrize("unknown_fields", ["fail", "drop"])
def test_a_mapping_leads_to_a_field(unknown_fields: Any) -> None:
    """What was mapped by name is wanted there: a misspelt target is refused, and not left out with what is not wanted."""
    with pytest.raises(InvalidArgumentError, match="'emial' is not a field of customers. Did you mean 'email'"):
        build_plan(field_mapping={"mail": "emial"}, unknown_fields=unknown_fields)
    assert build_plan(field_mapping={"mail": "emial"}, unknown_fields="send")


def test_the_one_wrong_target_is_named() -> None:
    """An empty target is no name, and does not mean the same as None; which of many it is, is told."""
    with pytest.raises(
        InvalidArgumentError, match="give 'notes' the name of a field of Custobar's, or None, which leaves it out"
    ):
        build_plan(field_mapping={"mail": "email", "notes": ""})


def test_digits_rendered_natively() -> None:
    """Rule: a company's name of digits is a name, and UTC is UTC in any case."""
    plan = build_plan(company=360, timezone="utc")  # type: ignore[arg-type]
    assert plan.timezone == "UTC"
    assert isinstance(check_row(0, {"external_id": "1", "360__size": 1}, plan), GoodRow)
    assert isinstance(check_row(0, {"external_id": "1", "acme__size": 1}, plan), Rejected)
