"""The next page asked for while the present one arrives."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from typing import Protocol, TypeVar

import requests

from airflow_provider_custobar.api.messages import Request

T = TypeVar("T")

CLOSED = "this client was closed"

#: Waits for the pace, sends, returns with the head of the answer; the event cuts the waiting short.
Send = Callable[[Request, threading.Event], requests.Response]


class Turns(Protocol):
    """The say of whoever consumes the pages in how many of them may be on their way."""

    def take(self) -> None:
        """Wait until one more page may be asked for; raises when no more are wanted."""


class _Begun:
    """A request that is begun before its page's place has come."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.turn: Future[None] = Future()
        self.answer: Future[requests.Response] = Future()

    def drop(self) -> None:
        """Close the answer, now or when it comes."""
        self.turn.cancel()
        if not self.answer.cancel() and self.answer.exception() is None:
            self.answer.result().close()


class Prefetch:
    """The turns of one run over pages, and the one request that may be ahead of the page that is arriving.

    A thread of its own begins that request, up to the head of its answer; the page is read where it is wanted. All but
    :meth:`close` belong to the thread that drives the flow.
    """

    def __init__(self, turns: Turns, send: Send) -> None:
        self._turns = turns
        self._send = send
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[_Begun | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._present: _Begun | None = None
        self._next: _Begun | None = None

    def turn(self) -> None:
        """Wait for the turn of the page whose place has come; one that was begun took it, or is about to.

        To be called before the flow goes on: it reserves the pace for a start that no long wait may come before.
        """
        with self._lock:
            self._refuse_if_stopped()
            begun = self._present = self._next
            self._next = None
        if begun is None:
            self._turns.take()
        else:
            _result(begun.turn)

    def answer_to(self, request: Request) -> requests.Response | None:
        """The open answer if ``request`` was begun, else None. Where another one was, that is dropped."""
        begun = self._present
        if begun is None:
            self._refuse_if_stopped()
            return None
        try:
            answer = _result(begun.answer) if begun.request is request else None
        finally:
            with self._lock:
                self._present = None
                is_stopped = self._stopped.is_set()
        if is_stopped:
            # To its reader, an answer closed by another thread would look like one that has ended.
            raise RuntimeError(CLOSED)
        if answer is None:
            begun.drop()
        return answer

    def begin(self, request: Request, headers: Mapping[str, str]) -> None:
        """Begin what follows ``request``, if the head of its answer tells; nothing where something was begun already."""
        following = request.ahead(headers) if request.ahead else None
        with self._lock:
            if following is None or self._next is not None or self._stopped.is_set():
                return
            self._next = _Begun(following)
            self._work.put(self._next)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="custobar-next-page", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End all that was begun, from any thread."""
        with self._lock:
            self._stopped.set()
            self._work.put(None)
            begun = (self._present, self._next)
            # An answer, even a closed one, keeps urllib3's pool alive, and this the idle connections open.
            self._present = self._next = None
        for each in begun:
            if each is not None:
                each.drop()

    def _run(self) -> None:
        while (begun := self._work.get()) is not None and not self._stopped.is_set():
            self._work_off(begun)
            del begun

    def _work_off(self, begun: _Begun) -> None:
        waiting: Future[None] | Future[requests.Response] = begun.turn
        try:
            self._turns.take()
            with suppress(InvalidStateError):
                begun.turn.set_result(None)
            waiting = begun.answer
            if not begun.answer.cancelled():
                answer = self._send(begun.request, self._stopped)
                try:
                    begun.answer.set_result(answer)
                except InvalidStateError:
                    answer.close()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for the page, whatever it is
            with suppress(InvalidStateError):
                waiting.set_exception(error)

    def _refuse_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise RuntimeError(CLOSED)


def _result(future: Future[T]) -> T:
    try:
        return future.result()
    except CancelledError:
        raise RuntimeError(CLOSED) from None
