"""Flows driven with requests: what the synchronous clients have in common."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from types import TracebackType
from typing import Self, TypeVar

import requests
import urllib3

from airflow_provider_custobar.api import flow
from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.content_encoding import ACCEPT_ENCODING, Body, BodyError
from airflow_provider_custobar.api.errors import ProtocolError
from airflow_provider_custobar.api.flow import Exchange, FlowContext
from airflow_provider_custobar.api.http_response import FinalResponseAdapter
from airflow_provider_custobar.api.log_lines import in_lines
from airflow_provider_custobar.api.messages import Outcome, Request, Wait
from airflow_provider_custobar.api.network import network_of, tls_context
from airflow_provider_custobar.api.pacing import Pacer
from airflow_provider_custobar.api.prefetch import CLOSED, Prefetch
from airflow_provider_custobar.api.responses import Response

T = TypeVar("T")
YieldT = TypeVar("YieldT")

log = logging.getLogger(__name__)

# Pages come in one piece where their length is known: to put them together takes longer than to receive them.
_READ_BYTES = 64 << 20


class _Authorization(requests.auth.AuthBase):
    """Sets the header last. Without an auth object, requests would let a ``~/.netrc`` entry replace it."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


class Driver:
    """One API over one keep-alive session. A context manager; not to be used after it is closed.

    Requests of all threads that share a client are paced together, and with those of other clients that have the same
    ``pacer``. ``sleep`` and ``clock`` are for tests.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        pacer: Pacer | None = None,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        # Waiting for "closed" is a sleep that closing the client from another thread cuts short.
        self._closed = threading.Event()
        self._given_sleep = sleep
        self._sleep = sleep or self._closed.wait
        self._context = FlowContext(config, pacer or Pacer(config.requests_per_minute), clock)
        self._network = network_of(config)
        self._session = self._make_session()
        # Each with the session that it alone sends with.
        self._prefetches: dict[Prefetch, requests.Session] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Send nothing more, in no thread."""
        self._closed.set()
        for prefetch, session in list(self._prefetches.items()):
            prefetch.close()
            session.close()
        self._session.close()

    @property
    def pacer(self) -> Pacer:
        return self._context.pacer

    def _make_session(self) -> requests.Session:
        session = requests.Session()
        session.auth = _Authorization(self.config.authorization)
        session.headers["Accept-Encoding"] = ACCEPT_ENCODING
        # What the environment says is in the network's settings and in the TLS context.
        session.trust_env = False
        adapter = FinalResponseAdapter(tls_context(self.config))
        for scheme in ("http://", "https://"):
            session.mount(scheme, adapter)
        return session

    def _run(
        self, steps: Generator[Request | Wait | YieldT, Outcome, None], prefetch: Prefetch | None = None
    ) -> Iterator[YieldT]:
        """What a flow hands on. With ``prefetch``, these are pages."""
        outcome: Outcome = None
        if prefetch:
            prefetch.turn()
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration:
                return
            if isinstance(step, (Request, Wait)):
                outcome = self._perform(step, prefetch)
                continue
            outcome, is_last = None, getattr(step, "after", None) is None
            yield step
            # A page is large, and this generator outlives it.
            del step
            if prefetch and not is_last:
                prefetch.turn()

    def exchange(self, flow: Callable[[FlowContext], Exchange[T]]) -> T:
        """What ``flow`` returns, after its requests and waits.

        :raises CustobarError: the last failure.
        """
        return self._finish(flow(self._context))

    def _finish(self, steps: Exchange[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                result: T = done.value
                return result
            outcome = self._perform(step)

    def _perform(self, step: Request | Wait, prefetch: Prefetch | None = None) -> Outcome:
        if self._closed.is_set():
            raise RuntimeError(CLOSED)
        if isinstance(step, Request):
            return self._transfer(step, prefetch)
        if step.reason:
            log.warning("%s", in_lines(step.reason))
        self._sleep(step.seconds)
        return None

    def _transfer(self, request: Request, prefetch: Prefetch | None) -> Outcome:
        try:
            begun = prefetch.answer_to(request) if prefetch else None
            # Not "or": an error answer of requests counts as false.
            with self._open(request, self._session) if begun is None else begun as response:
                headers = {k.lower(): v for k, v in response.headers.items()}
                if prefetch and response.status_code == 200:
                    prefetch.begin(request, headers)
                return self._read(request, response, headers)
        except (requests.exceptions.InvalidURL, UnicodeError) as error:
            raise ProtocolError(f"The server named an address that is no URL ({self.config.redact(str(error))}).") from None
        except requests.RequestException as error:
            return self._network.error(request.url, _cause(error), may_have_arrived=not _never_connected(error))

    def _read(self, request: Request, response: requests.Response, headers: Mapping[str, str]) -> Outcome:
        """The whole answer, of which the head is there."""
        try:
            body = Body(headers, response.status_code)
            # Not requests' own way, which decodes, and does not ask for the end of what it decodes.
            for piece in response.raw.stream(_READ_BYTES, decode_content=False):
                body.write(piece)
            return Response(response.status_code, headers, body.whole(), is_ended=body.is_ended)
        except (BodyError, urllib3.exceptions.HTTPError) as error:
            if response.status_code >= 300:
                # The status says more than the body would.
                return Response(response.status_code, headers, b"")
            return self._network.error(request.url, _cause(error), may_have_arrived=True)

    def _open(self, request: Request, session: requests.Session) -> requests.Response:
        """Send ``request`` and wait for the head of the answer. Raises what requests raises."""
        prepared = session.prepare_request(
            requests.Request(request.method, request.url, headers=dict(request.headers), data=request.body)
        )
        if request.url.isascii():
            # requests writes escapes in its own way, but the next page's address is to be sent as it was given.
            prepared.url = request.url
        proxy = self._network.proxy_for(request.url)
        return session.send(
            prepared,
            timeout=self.config.timeout,
            allow_redirects=False,
            stream=True,
            verify=self.config.verify is not False,
            proxies={"all": proxy.url} if proxy else {},
        )

    def _send_ahead(self, session: requests.Session, request: Request, stopped: threading.Event) -> requests.Response:
        pacer, clock = self._context.pacer, self._context.clock
        delay = pacer.reserve(clock())
        while delay > 0 and not stopped.is_set():
            pauses = pacer.pauses
            (self._given_sleep or stopped.wait)(delay)
            delay = pacer.reserve(clock()) if pacer.pauses > pauses else 0.0
        if stopped.is_set() or self._closed.is_set():
            raise RuntimeError(CLOSED)
        response = self._open(request, session)
        flow.hold_after_refusal(self._context, response.status_code, response.headers.get("retry-after"))
        return response


def _never_connected(error: requests.RequestException) -> bool:
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    # A proxy's error is one before there is a way through it.
    return isinstance(error, (requests.ConnectTimeout, requests.exceptions.ProxyError)) or isinstance(
        reason, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    )


def _cause(error: BaseException) -> str:
    """The innermost reason: the outer layers of requests and urllib3 only repeat the URL."""
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
    inner = getattr(inner, "reason", None) or inner
    return _cause(inner) if isinstance(inner, BaseException) else f"{type(error).__name__}: {error}"
