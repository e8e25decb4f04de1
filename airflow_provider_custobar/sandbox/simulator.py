"""What every simulated service has in common: a server that starts and stops, faults, and a log."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol, Self

from werkzeug import Request, Response

from airflow_provider_custobar.sandbox.faults import Faults
from airflow_provider_custobar.sandbox.log import RequestLog, RequestRecord
from airflow_provider_custobar.sandbox.server import HOST, SandboxServer


class App(Protocol):
    """A simulated API; ``errors`` are its own, each answered with a 500."""

    faults: Faults
    log: RequestLog
    errors: list[BaseException]


class Simulator:
    """A context manager; listens on the loopback interface between :meth:`start` and :meth:`stop`.

    ``port`` 0 is any free one. Who derives from it answers requests, by :meth:`handle`.
    """

    def __init__(self, app: App, port: int) -> None:
        self._simulated = app
        self._port = port
        self._server: SandboxServer | None = None

    @abstractmethod
    def handle(self, request: Request) -> Response:
        """Answer a request, without a socket; a dropped connection raises ConnectionError."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server; a sandbox can be started again after it was stopped, on the same port."""
        if self._server is not None:
            return
        self._server = SandboxServer(self._port, self.handle, self._simulated.errors.append)
        self._port = int(self._server.server_address[1])
        self._server.start()

    def stop(self) -> None:
        """Stop the server; data, tokens, cursors and logs stay."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def url(self) -> str:
        """Base URL without a trailing slash; known once the server was started, or with a fixed port."""
        if not self._port:
            raise RuntimeError("the sandbox has no port yet: start() it, or use it in a with statement")
        return f"http://{HOST}:{self._port}"

    @property
    def faults(self) -> Faults:
        """Faults in force; add to them or clear them."""
        return self._simulated.faults

    @property
    def requests(self) -> list[RequestRecord]:
        """All API requests so far, in the order of their answers."""
        return self._simulated.log.copy()

    def clear_log(self) -> None:
        """Forget requests, not their effects."""
        self._simulated.log.clear()

    @property
    def errors(self) -> list[BaseException]:
        """Unexpected exceptions of the sandbox itself; each was answered with a 500."""
        return list(self._simulated.errors)

    def wsgi_app(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Serve as a WSGI application, for test clients and other servers."""
        return self.handle(Request(environ))(environ, start_response)
