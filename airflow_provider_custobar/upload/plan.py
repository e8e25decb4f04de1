"""How rows become batches, checked before the first row is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from airflow_provider_custobar.api.errors import InvalidArgumentError, whole_number
from airflow_provider_custobar.api.resources import Resource, find_resource
from airflow_provider_custobar.api.windows import check_timezone
from airflow_provider_custobar.upload.field_mapping import FieldMapping, check_field_mapping, check_targets
from airflow_provider_custobar.upload.options import EventsDelivery, OnInvalid, UnknownFields, Verify, check_choices
from airflow_provider_custobar.upload.validation import Checker, Rules

#: What a batch adds around its rows: ``{"customers":[`` and ``]}``, rounded up.
ENVELOPE_BYTES = 32
_SMALLEST_BATCH_BYTES = 1_000


@dataclass(frozen=True, kw_only=True)
class UploadPlan:
    """A checked upload. Make it with :func:`build_plan`, which describes the fields."""

    resource: Resource
    checker: Checker
    field_mapping: FieldMapping
    batch_size: int
    max_batch_bytes: int
    on_invalid: OnInvalid
    clear_empty: bool
    events_delivery: EventsDelivery
    verify: Verify
    verify_delay: float
    dry_run: bool
    timezone: str

    def may_be_sent_again(self, identity: str | None) -> bool:
        """Whether a row that is known by ``identity`` may go out again after it may have arrived."""
        resource = self.resource
        is_harmless = identity is not None if resource.repeatable_with else not resource.never_repeatable
        return is_harmless or self.events_delivery == "at_least_once"

    @cached_property
    def identity_names(self) -> tuple[str, ...]:
        """The fields of which the first one that is filled in tells rows apart."""
        resource = self.resource
        if resource.never_repeatable:
            return ()
        return (resource.repeatable_with,) if resource.repeatable_with else resource.identifiers or resource.required


def build_plan(
    resource: str = "customers",
    *,
    field_mapping: FieldMapping | None = None,
    batch_size: int | str = 500,
    max_batch_bytes: int | str = 1_000_000,
    on_invalid: OnInvalid = "fail",
    require_external_id: bool = True,
    allow_irreversible: bool = False,
    unknown_fields: UnknownFields = "fail",
    company: str | None = None,
    clear_empty: bool = False,
    events_delivery: EventsDelivery = "at_most_once",
    verify: Verify = None,
    verify_delay: float | str = 60,
    dry_run: bool = False,
    timezone: str = "UTC",
) -> UploadPlan:
    """Check the arguments of an upload.

    :param resource: ``customers``, ``events``, ``sales``, ``products`` or ``shops``.
    :param field_mapping: The source's names to Custobar's, None for a field to leave out; other names stay as they are.
    :param batch_size: Most rows in one request. No limit is documented; the vendor's own plugins send up to 500.
    :param max_batch_bytes: Most bytes in one request.
    :param on_invalid: ``fail``: nothing is sent if any row is bad. ``skip``: the good rows are sent.
    :param require_external_id: Refuse customers without one: they would update every customer with that e-mail address.
    :param allow_irreversible: Let rows through that forget or delete a customer for good.
    :param unknown_fields: What to do with fields that Custobar has none for: ``fail`` refuses their rows, ``drop`` leaves them
        out, ``send`` sends them.
    :param company: The prefix of the tenant's own fields, ``COMPANY__name``; None for any.
    :param clear_empty: Let empty CSV cells remove the field in Custobar, instead of leaving them out.
    :param events_delivery: What to do with a batch of rows without identifiers that may have arrived: ``at_most_once``, never
        send it again; ``at_least_once``, send it again, so that its rows may be there twice.
    :param verify: Read rows back by ``external_id`` afterwards, a ``sample`` of 20 or ``all``, one request each.
    :param verify_delay: Seconds until then: Custobar imports later than it answers.
    :param dry_run: Do everything but send.
    :param timezone: That of datetimes without an offset.
    :raises InvalidArgumentError: names the argument, its value and what is accepted.
    """
    found = find_resource(resource, for_upload=True)
    check_choices(on_invalid=on_invalid, events_delivery=events_delivery, verify=verify, unknown_fields=unknown_fields)
    if verify and (found.repeatable_with or found.key) != "external_id":
        raise InvalidArgumentError("verify", verify, f"{found.name} cannot be read back by external_id; give None")
    if company is not None and not re.fullmatch(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*", str(company)):
        raise InvalidArgumentError("company", company, "give the tenant's short name, as its own fields begin with it: acme")
    permissions = {
        "require_external_id": require_external_id,
        "allow_irreversible": allow_irreversible,
        "clear_empty": clear_empty,
        "dry_run": dry_run,
    }
    for argument, given in permissions.items():
        # A text such as "False" would be taken for a yes.
        if not isinstance(given, bool):
            raise InvalidArgumentError(argument, given, "give True or False")
    zone = check_timezone("timezone", timezone)
    mapping = check_field_mapping(field_mapping)
    if unknown_fields != "send":
        check_targets(mapping, found)
    return UploadPlan(
        resource=found,
        checker=Checker(
            found,
            Rules(
                require_external_id=require_external_id,
                allow_irreversible=allow_irreversible,
                unknown_fields=unknown_fields,
                company=None if company is None else str(company),
            ),
            timezone=zone,
        ),
        field_mapping=mapping,
        batch_size=whole_number("batch_size", batch_size, least=1),
        max_batch_bytes=whole_number("max_batch_bytes", max_batch_bytes, least=_SMALLEST_BATCH_BYTES),
        on_invalid=on_invalid,
        clear_empty=clear_empty,
        events_delivery=events_delivery,
        verify=verify,
        verify_delay=_seconds("verify_delay", verify_delay),
        dry_run=dry_run,
        timezone=zone,
    )


def _seconds(argument: str, value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise InvalidArgumentError(argument, value, "give a number of seconds, 0 at least")
    return seconds
