"""What to send, when to wait, when to stop: paging, pacing and retries without a socket, a clock or a sleep.

A flow is a generator. It yields steps, and its driver answers each one::

    Request  -> the driver sends it and answers with a Response or a TransportError
    Wait     -> the driver sleeps that many seconds and answers None
    Page     -> the driver hands it to its own caller and answers None

The synchronous and the asynchronous client are two drivers of the same flows.

A driver that can do two things at once may call a Request's ``ahead`` when the head of a 200 answer to it is there, and begin
the Request that this gives; the flow comes to that very object when its turn has come.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.messages import Outcome, Request, Wait
from airflow_provider_custobar.api.pacing import Pacer
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.resources import Resource
from airflow_provider_custobar.api.responses import Response, error_of, reason_of, retry_after_seconds

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Waited after a 429 without Retry-After (the vendor's own WooCommerce plugin does so).
RATE_LIMIT_WAIT_SECONDS = 60.0
#: A longer Retry-After is cut to this, so that a broken proxy cannot park a task for a day.
LONGEST_WAIT_SECONDS = 3600.0
LONGEST_BACKOFF_SECONDS = 60.0
_MOST_REDIRECTS = 5


Exchange = Generator[Request | Wait, Outcome, T]
PageFlow = Generator[Request | Wait | Page, Outcome, None]


@dataclass(frozen=True)
class FlowContext:
    """What flows need from outside. ``clock`` is monotonic seconds; ``random`` gives numbers from 0 to 1."""

    config: ClientConfig
    pacer: Pacer
    clock: Callable[[], float]
    random: Callable[[], float] = random.random
    #: By resource: whether the API was seen to sort by time when it is asked to, for as long as the client lives.
    sorts_by_time: dict[str, bool] = field(default_factory=dict)


def exchange(
    context: FlowContext, request: Request, read: Callable[[Response], T], *, subject: str, begun: bool = False
) -> Exchange[T]:
    """Send ``request`` until an answer can be read or trying again is pointless; return what ``read`` makes of it.

    :param subject: what the request is about, for messages ("customers").
    :param begun: the driver began the request, so the first attempt takes no start from the pacer.
    :raises CustobarError: the last failure.
    """
    attempts = context.config.max_attempts
    for attempt in range(1, attempts + 1):
        try:
            reply = yield from _send(context, request, subject, begun=begun and attempt == 1)
            return read(reply)
        except errors.CustobarError as error:
            if not _may_repeat(request, error):
                raise
            seconds = _pause(context, attempt, error)
            if isinstance(error, errors.RateLimitedError):
                # Also where this flow gives up: others share the pace, and some come later.
                context.pacer.hold(context.clock() + seconds)
            if attempt == attempts:
                error.add_advice(f"Given up after {attempts} attempts.")
                raise
            yield Wait(seconds, f"Trying again in {seconds:.1f} s, as attempt {attempt} of {attempts} failed. {error}")
    raise AssertionError("unreachable: the last attempt returns or raises")


def upload(
    context: FlowContext, resource: Resource, rows: Sequence[bytes], *, repeatable: bool | None = None
) -> Exchange[str | None]:
    """Send ``rows``, each the bytes of one JSON object; return the ``run_id`` of the import that this schedules, if any.

    The server works the import off later, and says nothing about single rows. A batch of a resource whose rows have
    identifiers may be sent again; one of events only after 429, or where the server cannot have seen it. ``repeatable`` decides
    otherwise.

    :raises UploadRefusedError: a success status, but the body names an error.
    """
    name = resource.name
    request = Request(
        "POST",
        context.config.url_for(resource.upload_path),
        {"Content-Type": "application/json"},
        b'{"%s":[%s]}' % (name.encode(), b",".join(rows)),
        repeatable=resource.may_be_sent_again(rows) if repeatable is None else repeatable,
    )

    def read(reply: Response) -> str | None:
        if reply.body.lstrip().startswith(b"<"):
            raise errors.MalformedResponseError(
                f"An HTML page came in answer to an upload of {name}: something else than Custobar's API answered."
            )
        try:
            answer = reply.json()
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if isinstance(answer, dict) and answer.get("error"):
            raise errors.UploadRefusedError(
                f'Custobar refused a batch of {len(rows):,} {name} ("{reason_of(reply, context.config)}").'
            )
        run_id = answer.get("run_id") if isinstance(answer, dict) else None
        return str(run_id) if run_id else None

    return (yield from exchange(context, request, read, subject=f"an upload of {len(rows):,} {name}"))


def probe(context: FlowContext) -> Exchange[None]:
    """One GET of the connection's ``test_path``, which must be answered with JSON."""
    path = context.config.test_path

    def read(reply: Response) -> None:
        try:
            reply.json()
        except (msgspec.DecodeError, UnicodeDecodeError):
            service = context.config.service.name
            raise errors.ProtocolError(
                f"{context.config.url_for(path)} did not answer with JSON: check that the host is {service}'s API."
            ) from None

    yield from exchange(context, Request("GET", context.config.url_for(path)), read, subject=path)


def hold_after_refusal(context: FlowContext, status: int, retry_after: str | None) -> None:
    """Pause everybody for a 429 to a request that was begun early: the flow reads that answer only when it comes to it."""
    if status == 429:
        seconds = retry_after_seconds(retry_after)
        seconds = RATE_LIMIT_WAIT_SECONDS if seconds is None else min(seconds, LONGEST_WAIT_SECONDS)
        context.pacer.hold(context.clock() + seconds)


def _send(context: FlowContext, request: Request, subject: str, *, begun: bool) -> Exchange[Response]:
    for hop in range(_MOST_REDIRECTS + 1):
        delay = 0.0 if begun and not hop else context.pacer.reserve(context.clock())
        while delay > 0:
            pauses = context.pacer.pauses
            yield Wait(delay)
            # Others share the pace: what the server told one of them while this one waited holds for all.
            delay = context.pacer.reserve(context.clock()) if context.pacer.pauses > pauses else 0.0
        outcome = yield request
        if isinstance(outcome, errors.TransportError):
            raise outcome
        if outcome is None:
            raise TypeError("the driver of a flow answers a Request with a Response or a TransportError")
        pause = context.config.service.pause_of(outcome.headers)
        if pause:
            # Nothing is left of what the server grants: to ask again would only be refused.
            context.pacer.hold(context.clock() + min(pause, LONGEST_WAIT_SECONDS))
        location = outcome.headers.get("location", "")
        if not (300 <= outcome.status < 400 and location):
            if outcome.status >= 300:
                raise error_of(outcome, subject, context.config)
            if request.method == "GET" and outcome.status != 200:
                service = context.config.service.name
                raise errors.MalformedResponseError(
                    f"{service} answered {outcome.status} for {subject}, and only a 200 is a whole answer: check that the"
                    f" connection's host is {service}'s API and that no proxy answers in its place."
                )
            return outcome
        if request.method != "GET" and outcome.status not in (307, 308):
            raise errors.ProtocolError(
                f"The upload of {subject} was answered with a redirect ({outcome.status}), which would lose its body: check"
                " the connection's host and schema."
            )
        request = replace(request, url=context.config.resolve(location, request.url, what="A redirect"))
    raise errors.ProtocolError(f"More than {_MOST_REDIRECTS} redirects while asking for {subject}.")


def _may_repeat(request: Request, error: errors.CustobarError) -> bool:
    return error.fate is errors.Fate.TRANSIENT and (request.repeatable or not error.may_have_arrived)


def asked_pause(error: BaseException) -> float | None:
    """For how many seconds the server wants nobody to ask again; None if it did not say."""
    if isinstance(error, errors.ResponseError) and error.retry_after is not None:
        return min(error.retry_after, LONGEST_WAIT_SECONDS)
    return RATE_LIMIT_WAIT_SECONDS if isinstance(error, errors.RateLimitedError) else None


def _pause(context: FlowContext, attempt: int, error: errors.CustobarError) -> float:
    asked = asked_pause(error)
    if asked is not None:
        return asked
    # Half of the pause is drawn by chance, so that tasks that failed together do not come back together.
    return min(LONGEST_BACKOFF_SECONDS, 2.0 ** min(attempt - 1, 10)) * (0.5 + 0.5 * context.random())
