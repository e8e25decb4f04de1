"""How rows become batches, checked before the first row is read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from airflow_provider_custobar.api.errors import InvalidArgumentError, whole_number
from airflow_provider_custobar.api.resources import Resource, find_resource
from airflow_provider_custobar.api.windows import check_timezone
from airflow_provider_custobar.upload.field_mapping import FieldMapping, check_field_mapping, check_targets
from airflow_provider_custobar.upload.options import UploadOptions, check_choices
from airflow_provider_custobar.upload.validation import IRREVERSIBLE, Checker, Rules

#: What a batch adds around its rows: ``{"customers":[`` and ``]}``, rounded up.
ENVELOPE_BYTES = 32
_SMALLEST_BATCH_BYTES = 1_000
_DIGEST = re.compile(r"blake2b:[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class UploadPlan:
    """A checked upload. Make it with :func:`build_plan`: ``options``, and what was made of them."""

    options: UploadOptions
    resource: Resource
    checker: Checker
    field_mapping: FieldMapping
    batch_size: int
    max_batch_bytes: int
    verify_delay: float
    timezone: str
    when_removed: Mapping[str, object] | None
    max_removed: int | Fraction
    expected_digest: str | None

    def may_be_sent_again(self, identity: str | None) -> bool:
        """Whether a row that is known by ``identity`` may go out again after it may have arrived."""
        resource = self.resource
        is_harmless = identity is not None if resource.repeatable_with else not resource.never_repeatable
        return is_harmless or self.options.events_delivery == "at_least_once"

    @cached_property
    def identity_names(self) -> tuple[str, ...]:
        """The fields of which the first one that is filled in tells rows apart."""
        resource = self.resource
        if resource.never_repeatable:
            return ()
        return (resource.repeatable_with,) if resource.repeatable_with else resource.identifiers or resource.required


def build_plan(options: UploadOptions) -> UploadPlan:
    """Check the options of an upload.

    :raises InvalidArgumentError: names the argument, its value and what is accepted.
    """
    found = find_resource(options.resource, for_upload=True)
    check_choices(
        on_invalid=options.on_invalid,
        events_delivery=options.events_delivery,
        verify=options.verify,
        unknown_fields=options.unknown_fields,
    )
    company = options.company
    if options.verify and (found.repeatable_with or found.key) != "external_id":
        raise InvalidArgumentError("verify", options.verify, f"{found.name} cannot be read back by external_id; give None")
    if company is not None and not re.fullmatch(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*", str(company)):
        raise InvalidArgumentError("company", company, "give the tenant's short name, as its own fields begin with it: acme")
    for argument in ("require_external_id", "allow_irreversible", "clear_empty", "dry_run"):
        given = getattr(options, argument)
        # A text such as "False" would be taken for a yes.
        if not isinstance(given, bool):
            raise InvalidArgumentError(argument, given, "give True or False")
    zone = check_timezone("timezone", "UTC" if options.timezone is None else options.timezone)
    mapping = check_field_mapping(options.field_mapping)
    if options.unknown_fields != "send":
        check_targets(mapping, found)
    return UploadPlan(
        options=options,
        resource=found,
        checker=Checker(
            found,
            Rules(
                require_external_id=options.require_external_id,
                allow_irreversible=options.allow_irreversible,
                unknown_fields=options.unknown_fields,
                company=None if company is None else str(company),
            ),
            timezone=zone,
        ),
        field_mapping=mapping,
        batch_size=whole_number("batch_size", options.batch_size, least=1),
        max_batch_bytes=whole_number("max_batch_bytes", options.max_batch_bytes, least=_SMALLEST_BATCH_BYTES),
        verify_delay=_seconds("verify_delay", options.verify_delay),
        timezone=zone,
        when_removed=_patch(options, found),
        max_removed=_most_removed(options.max_removed),
        expected_digest=_digest(options.expected_digest),
    )


def digest_of(plan: UploadPlan, base_url: str, fingerprint: str) -> str:
    """What stands for these rows, in their order, on their way to this place."""
    parts = [base_url, plan.resource.name, plan.options.company, fingerprint]
    # With its prefix it is no literal of Python's, which native rendering of templates would make a number of.
    return f"blake2b:{hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()}"


def _digest(value: object) -> str | None:
    if value is not None and not (isinstance(value, str) and _DIGEST.fullmatch(value)):
        accepted = "give the digest that the result of an upload tells, such as that of one with dry_run=True: blake2b:..."
        raise InvalidArgumentError("expected_digest", value, accepted)
    return value


def _patch(options: UploadOptions, resource: Resource) -> Mapping[str, object] | None:
    patch = options.when_removed
    if patch is None:
        return None
    accepted = 'give fields of rows that are gone, such as {"tags.remove": ["gold"]}'
    if not isinstance(patch, Mapping) or not patch:
        raise InvalidArgumentError("when_removed", patch, accepted)
    if "external_id" not in (*resource.identifiers, *resource.required) or resource.group is not None:
        raise InvalidArgumentError("when_removed", patch, f"{resource.name} are not known again by external_id; leave it out")
    if "external_id" in patch:
        raise InvalidArgumentError("when_removed", "external_id", f"it is that of each row; {accepted}")
    for name in IRREVERSIBLE:
        if name in patch:
            raise InvalidArgumentError("when_removed", name, "nobody is deleted or forgotten because a row is gone")
    return dict(patch)


def _most_removed(value: float | str) -> int | Fraction:
    """A number of rows, or a share of them."""
    text = str(value).strip()
    try:
        if isinstance(value, bool):
            raise ValueError
        if text.endswith("%"):
            most: int | Fraction = Fraction(text[:-1].strip()) / 100
        else:
            most = int(text) if re.fullmatch(r"[0-9]+", text) else Fraction(text)
    except (ValueError, ZeroDivisionError):
        most = -1
    if most < 0 or (isinstance(most, Fraction) and most > 1):
        raise InvalidArgumentError("max_removed", value, 'give a number of rows (100), or a share of them (0.1 or "10%")')
    return most


def _seconds(argument: str, value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise InvalidArgumentError(argument, value, "give a number of seconds, 0 at least")
    return seconds
