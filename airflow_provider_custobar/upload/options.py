"""The words that options of an upload may be; needed where a DAG is parsed, so this imports nothing that costs time."""

from __future__ import annotations

from typing import Literal

from airflow_provider_custobar.api.errors import InvalidArgumentError

OnInvalid = Literal["fail", "skip"]
ON_INVALID: tuple[OnInvalid, ...] = ("fail", "skip")
EventsDelivery = Literal["at_most_once", "at_least_once"]
EVENTS_DELIVERY: tuple[EventsDelivery, ...] = ("at_most_once", "at_least_once")
Verify = Literal["sample", "all"] | None
VERIFY: tuple[Verify, ...] = ("sample", "all", None)
UnknownFields = Literal["fail", "drop", "send"]
UNKNOWN_FIELDS: tuple[UnknownFields, ...] = ("fail", "drop", "send")
UploadFormat = Literal["csv", "json", "jsonl", "parquet", "infer"]
UPLOAD_FORMATS: tuple[UploadFormat, ...] = ("csv", "json", "jsonl", "parquet", "infer")
UploadCompression = Literal["gzip", "zstd", "infer"] | None
UPLOAD_COMPRESSIONS: tuple[UploadCompression, ...] = ("gzip", "zstd", "infer", None)


def check_choices(*, on_invalid: object, events_delivery: object, verify: object, unknown_fields: object) -> None:
    """Check the arguments that are one of a few words, which no template renders.

    :raises InvalidArgumentError: another word.
    """
    choices: tuple[tuple[str, object, tuple[object, ...]], ...] = (
        ("on_invalid", on_invalid, ON_INVALID),
        ("events_delivery", events_delivery, EVENTS_DELIVERY),
        ("verify", verify, VERIFY),
        ("unknown_fields", unknown_fields, UNKNOWN_FIELDS),
    )
    for argument, given, accepted in choices:
        if given not in accepted:
            raise InvalidArgumentError(argument, given, f"give one of {', '.join(map(str, accepted))}")


def check_file_arguments(file_format: object, compression: object) -> None:
    """:raises InvalidArgumentError: none of the words that there are."""
    if file_format not in UPLOAD_FORMATS:
        raise InvalidArgumentError("file_format", file_format, f"give one of {', '.join(UPLOAD_FORMATS)}")
    if compression not in UPLOAD_COMPRESSIONS:
        raise InvalidArgumentError("compression", compression, f"give one of {', '.join(map(str, UPLOAD_COMPRESSIONS))}")
