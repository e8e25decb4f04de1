"""A source's names to Custobar's."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_custobar.api.errors import InvalidArgumentError, did_you_mean
from airflow_provider_custobar.api.resources import Resource, is_company_field

#: The source's names to Custobar's; None leaves a field out.
FieldMapping = Mapping[str, str | None]


def check_field_mapping(field_mapping: FieldMapping | None) -> FieldMapping:
    """:raises InvalidArgumentError: anything else than names, or None, by name."""
    mapping = {} if field_mapping is None else field_mapping
    if isinstance(mapping, Mapping) and all(_is_name(name) for name in mapping):
        wrong = next((name for name, target in mapping.items() if target is not None and not _is_name(target)), None)
        if wrong is None:
            return mapping
        accepted = f"give {wrong!r} the name of a field of Custobar's, or None, which leaves it out"
        raise InvalidArgumentError("field_mapping", field_mapping, accepted)
    raise InvalidArgumentError(
        "field_mapping", field_mapping, 'give names by name, such as {"mail": "email", "notes": None}; None leaves a field out'
    )


def check_targets(mapping: FieldMapping, resource: Resource) -> None:
    """:raises InvalidArgumentError: a name that Custobar has no field for."""
    for name, target in mapping.items():
        if target is not None and target not in resource.write_fields and not is_company_field(target):
            hint = did_you_mean(target, resource.write_fields)
            raise InvalidArgumentError(
                "field_mapping",
                {name: target},
                f"{target!r} is not a field of {resource.name}.{hint} Your own fields are named COMPANY__name; to send"
                " any other name, give unknown_fields='send'",
            )


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name)
