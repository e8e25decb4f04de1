"""The options of an upload; needed where a DAG is parsed, so this imports nothing that costs time."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
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
# Python counts these among the encodings of texts, but they are ways to write one text as another.
_NO_FILE_ENCODINGS = ("idna", "punycode", "raw-unicode-escape", "unicode-escape")


@dataclass(frozen=True, kw_only=True)
class UploadOptions:
    """How rows are uploaded, whatever their source is; :func:`~airflow_provider_custobar.upload.plan.build_plan` checks them.

    :param resource: ``customers``, ``events``, ``sales``, ``products`` or ``shops``.
    :param field_mapping: The source's names to Custobar's, None for a field to leave out; other names stay as they are.
    :param batch_size: Most rows in one request. No limit is documented; the vendor's own plugins send up to 500.
    :param max_batch_bytes: Most bytes in one request.
    :param on_invalid: ``fail``: nothing is sent if any row is bad. ``skip``: the good rows are sent.
    :param require_external_id: Refuse customers without one: they would update every customer with that e-mail address.
    :param allow_irreversible: Let rows through that forget or delete a customer for good.
    :param unknown_fields: What to do with fields that Custobar has none for: ``fail`` refuses their rows, ``drop`` leaves them
        out, ``send`` sends them.
    :param company: The prefix of the tenant's own fields, ``COMPANY__name``; None for the connection's, or any.
    :param clear_empty: Let empty CSV cells remove the field in Custobar, instead of leaving them out.
    :param events_delivery: What to do with a batch of rows without identifiers that may have arrived: ``at_most_once``, never
        send it again; ``at_least_once``, send it again, so that its rows may be there twice.
    :param verify: Read rows back by ``external_id`` afterwards, a ``sample`` of 20 or ``all``, one request each.
    :param verify_delay: Seconds until then: Custobar imports later than it answers.
    :param dry_run: Do everything but send.
    :param timezone: That of datetimes without an offset; None for the connection's, or UTC.
    :param when_removed: What is to become of rows that the last run had and this one has not: fields to send for their
        external_id, such as ``{"tags.remove": ["gold"]}``. Needs what ``only_changed`` keeps.
    :param max_removed: Most rows that this may be, a number or a share of those of the last run (``0.1``, ``"10%"``): with
        more, nothing is sent.
    :param expected_digest: The ``digest`` that an earlier result tells, such as a dry run's: unless the same rows are to go, in
        the same order, to the same place, nothing is sent.
    """

    resource: str = "customers"
    field_mapping: Mapping[str, str | None] | None = None
    batch_size: int | str = 500
    max_batch_bytes: int | str = 1_000_000
    on_invalid: OnInvalid = "fail"
    require_external_id: bool = True
    allow_irreversible: bool = False
    unknown_fields: UnknownFields = "fail"
    company: str | None = None
    clear_empty: bool = False
    events_delivery: EventsDelivery = "at_most_once"
    verify: Verify = None
    verify_delay: float | str = 60
    dry_run: bool = False
    timezone: str | None = None
    when_removed: Mapping[str, object] | None = None
    max_removed: float | str = 0.1
    expected_digest: str | None = None


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


def canonical_encoding(encoding: object) -> str:
    """The one name of an encoding that Python knows by many, in any spelling.

    :raises InvalidArgumentError: no encoding of texts.
    """
    try:
        name = codecs.lookup(encoding).name if isinstance(encoding, str) else ""
        # Codecs such as base64 are known, too, but encode no text.
        is_good = bool(name) and name not in _NO_FILE_ENCODINGS and isinstance("".encode(name), bytes)
    except (LookupError, ValueError):
        is_good = False
    if not is_good:
        raise InvalidArgumentError("encoding", encoding, "give the name of a text encoding, such as utf-8, utf-16 or cp1252")
    return name


def delimiter_character(delimiter: object) -> str | None:
    """The character between two cells; None where it is to be found in the file.

    :raises InvalidArgumentError: neither None nor one character that can stand there.
    """
    if delimiter is None:
        return None
    # As a tab is written where no tab can be.
    character = "\t" if delimiter == "\\t" else delimiter
    if not isinstance(character, str) or len(character) != 1 or character in '"\r\n\0':
        raise InvalidArgumentError(
            "delimiter", delimiter, r"give one character, such as ; or | or \t, or None to have it found"
        )
    return character
