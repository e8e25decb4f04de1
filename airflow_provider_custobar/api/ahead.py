"""The next page asked for while the present one arrives: begun in a thread of its own, up to the head of the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from typing import Protocol

import requests

from airflow_provider_custobar.api.steps import Request

CLOSED = "this client was closed"

#: Waits for the pace, sends, returns with the head of the answer; the event cuts the waiting short.
Send = Callable[[Request, threading.Event], requests.Response]


class Turns(Protocol):
    """The say of whoever consumes the pages in how many of them may be on their way."""

    def take(self) -> None:
        """Wait until one more page may be asked for; raises when no more are wanted."""


class _Early:
    """One request that was begun before its page's place has come."""

    def __init__(self, request: Request, turns: Turns, send: Send) -> None:
        self.request = request
        self._turn: Future[None] = Future()
        self._answer: Future[requests.Response] = Future()
        self._dropped = threading.Event()
        self._taken_over = False
        self._lock = threading.Lock()
        threading.Thread(target=self._work, args=(turns, send), name="custobar-next-page", daemon=True).start()

    def await_turn(self) -> None:
        """Wait for this request's turn; raises what taking it raised."""
        try:
            self._turn.result()
        except CancelledError:
            raise RuntimeError(CLOSED) from None

    def take_over(self) -> requests.Response:
        """Wait for the head; the answer is the caller's to close. Raises what sending raised."""
        try:
            answer = self._answer.result()
        except CancelledError:
            raise RuntimeError(CLOSED) from None
        with self._lock:
            # To its reader, an answer closed by another thread looks like one that has ended.
            if self._dropped.is_set():
                raise RuntimeError(CLOSED)
            self._taken_over = True
        return answer

    def drop(self) -> None:
        """Close the answer, now or when it comes, unless it was taken over."""
        with self._lock:
            self._dropped.set()
            if self._taken_over:
                return
        self._turn.cancel()
        if not self._answer.cancel() and self._answer.exception() is None:
            self._answer.result().close()

    def _work(self, turns: Turns, send: Send) -> None:
        try:
            turns.take()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for the page, whatever it is
            with suppress(InvalidStateError):
                self._turn.set_exception(error)
            return
        with suppress(InvalidStateError):
            self._turn.set_result(None)
        if self._dropped.is_set():
            return
        try:
            answer = send(self.request, self._dropped)
        except BaseException as error:  # noqa: BLE001 - as above
            with suppress(InvalidStateError):
                self._answer.set_exception(error)
            return
        try:
            self._answer.set_result(answer)
        except InvalidStateError:
            answer.close()


class Ahead:
    """The turns and the early requests of one run over pages: at most one request ahead of the page that is arriving.

    All but :meth:`close` belong to the thread that drives the flow.
    """

    def __init__(self, turns: Turns, send: Send) -> None:
        self._turns = turns
        self._send = send
        self._lock = threading.Lock()
        self._closed = False
        self._present: _Early | None = None
        self._next: _Early | None = None

    def turn(self) -> None:
        """Wait for the turn of the page whose place has come; one that was begun early took it, or is about to.

        To be called before the flow goes on: it reserves the pace for a start that no long wait may come before.
        """
        with self._lock:
            self._refuse_if_closed()
            early = self._present = self._next
            self._next = None
        if early is None:
            self._turns.take()
        else:
            early.await_turn()

    def answer_to(self, request: Request) -> requests.Response | None:
        """The open answer if ``request`` was begun early, else None. Where another one was begun, that is dropped."""
        with self._lock:
            self._refuse_if_closed()
            early = self._present
        if early is None:
            return None
        try:
            if early.request is request:
                return early.take_over()
            early.drop()
        finally:
            self._present = None
        return None

    def begin(self, request: Request, headers: Mapping[str, str]) -> None:
        """Begin what follows ``request``, if the head of its answer tells; nothing where something was begun already."""
        following = request.ahead(headers) if request.ahead else None
        with self._lock:
            if following is not None and self._next is None and not self._closed:
                self._next = _Early(following, self._turns, self._send)

    def close(self) -> None:
        """End all that was begun, from any thread."""
        with self._lock:
            self._closed = True
            begun = (self._present, self._next)
            # An answer, even a closed one, keeps urllib3's pool alive, and this the idle connections open.
            self._present = self._next = None
        for early in begun:
            if early is not None:
                early.drop()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError(CLOSED)
