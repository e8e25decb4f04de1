"""How rows become batches, checked before the first row is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from airflow_provider_custobar.api.errors import InvalidArgumentError, whole_number
from airflow_provider_custobar.api.resources import Resource, find_resource
from airflow_provider_custobar.upload.validation import Rules

OnInvalid = Literal["fail", "skip"]
ON_INVALID: tuple[OnInvalid, ...] = ("fail", "skip")

#: What a batch adds around its rows: ``{"customers":[`` and ``]}``, rounded up.
ENVELOPE_BYTES = 32
_SMALLEST_BATCH_BYTES = 1_000


@dataclass(frozen=True, kw_only=True)
class UploadPlan:
    """A checked upload. Make it with :func:`build_plan`, which describes the fields."""

    resource: Resource
    rules: Rules
    field_mapping: Mapping[str, str]
    batch_size: int
    max_batch_bytes: int
    on_invalid: OnInvalid
    dry_run: bool


def build_plan(
    resource: str = "customers",
    *,
    field_mapping: Mapping[str, str] | None = None,
    batch_size: int | str = 500,
    max_batch_bytes: int | str = 1_000_000,
    on_invalid: OnInvalid = "fail",
    require_external_id: bool = True,
    allow_irreversible: bool = False,
    allow_unknown_names: bool = False,
    dry_run: bool = False,
) -> UploadPlan:
    """Check the arguments of an upload.

    :param resource: ``customers``, ``events``, ``sales``, ``products`` or ``shops``.
    :param field_mapping: The source's names to Custobar's; names that it leaves out stay as they are.
    :param batch_size: Most rows in one request. No limit is documented; the vendor's own plugins send up to 500.
    :param max_batch_bytes: Most bytes in one request.
    :param on_invalid: ``fail``: nothing is sent if any row is bad. ``skip``: the good rows are sent.
    :param require_external_id: Refuse customers without one: they would update every customer with that e-mail address.
    :param allow_irreversible: Let rows through that forget or delete a customer for good.
    :param allow_unknown_names: Let fields through that the documentation does not list.
    :param dry_run: Do everything but send.
    :raises InvalidArgumentError: names the argument, its value and what is accepted.
    """
    if on_invalid not in ON_INVALID:
        raise InvalidArgumentError("on_invalid", on_invalid, f"give one of {', '.join(ON_INVALID)}")
    permissions = {
        "require_external_id": require_external_id,
        "allow_irreversible": allow_irreversible,
        "allow_unknown_names": allow_unknown_names,
        "dry_run": dry_run,
    }
    for argument, given in permissions.items():
        # A text such as "False" would be taken for a yes.
        if not isinstance(given, bool):
            raise InvalidArgumentError(argument, given, "give True or False")
    mapping = field_mapping or {}
    if not isinstance(mapping, Mapping) or not all(isinstance(part, str) and part for pair in mapping.items() for part in pair):
        raise InvalidArgumentError("field_mapping", field_mapping, 'give names by name, such as {"mail": "email"}')
    return UploadPlan(
        resource=find_resource(resource, for_upload=True),
        rules=Rules(
            require_external_id=require_external_id,
            allow_irreversible=allow_irreversible,
            allow_unknown_names=allow_unknown_names,
        ),
        field_mapping=mapping,
        batch_size=whole_number("batch_size", batch_size, least=1),
        max_batch_bytes=whole_number("max_batch_bytes", max_batch_bytes, least=_SMALLEST_BATCH_BYTES),
        on_invalid=on_invalid,
        dry_run=dry_run,
    )
