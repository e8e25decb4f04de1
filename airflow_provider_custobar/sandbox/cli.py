"""``python -m airflow_provider_custobar.sandbox``: a sandbox on a port until it is told to stop."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import shlex
import signal
import time
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, NoReturn

from airflow_provider_custobar.sandbox.catalogue import RESOURCES
from airflow_provider_custobar.sandbox.fault_effects import EFFECTS
from airflow_provider_custobar.sandbox.faults import Fault
from airflow_provider_custobar.sandbox.sandbox import END_DATE, CustobarSandbox
from airflow_provider_custobar.sandbox.settings import SandboxSettings
from airflow_provider_custobar.sandbox.spiffy.sandbox import SpiffyStoresSandbox

_EPILOG = """\
Settings: {settings}. Fault kinds: {kinds}; for example
--fault status,status=503,times=2,path=/api/data/events/,where.type=BROWSE
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        """Leave with status 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sandbox until SIGINT or SIGTERM; 0 then, 2 for wrong arguments."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        sandbox = _make_sandbox(options)
        spiffy = _make_spiffy_sandbox(options)
        with contextlib.ExitStack() as started:
            with _blamed("--port", str(options.port)):
                started.enter_context(sandbox)
            if spiffy is not None:
                with _blamed("--spiffy-port", str(options.spiffy_port or 0)):
                    started.enter_context(spiffy)
            running = started.pop_all()
    except _WrongArgumentError as err:
        parser.error(str(err))
    # No event: one signal on the heels of another would find it locked by itself. Nor a long sleep: a signal that another
    # thread gets does not end it.
    told: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: told.append(number))
    print(f"Custobar sandbox at {sandbox.url}")
    print(f"Token: {sandbox.token}")
    if spiffy is not None:
        print(f"Spiffy Stores sandbox at {spiffy.url}")
        print(f"AIRFLOW_CONN_SPIFFY_STORES_DEFAULT={shlex.quote(spiffy.airflow_connection())}")
    # The last line, whatever comes before it: users take it with tail.
    print(f"AIRFLOW_CONN_CUSTOBAR_DEFAULT={shlex.quote(sandbox.airflow_connection())}", flush=True)
    with running:
        while not told:
            time.sleep(0.2)
    return 0


class _WrongArgumentError(Exception):
    """An argument that argparse let through is wrong after all."""


@contextlib.contextmanager
def _blamed(argument: str, text: str) -> Iterator[None]:
    """Name the argument in errors that its value causes."""
    try:
        yield
    except OSError as err:
        raise _WrongArgumentError(f"argument {argument}: {text!r}: {err.strerror or err}") from err
    except (ValueError, AttributeError, EOFError) as err:
        raise _WrongArgumentError(f"argument {argument}: {err}") from err


def _make_parser() -> argparse.ArgumentParser:
    names = ", ".join(name for name, _ in SandboxSettings().items())
    parser = _Parser(
        prog="python -m airflow_provider_custobar.sandbox",
        description="Run a simulated Custobar tenant on the loopback interface.",
        epilog=_EPILOG.format(settings=names, kinds=", ".join(EFFECTS)),
    )
    number = _whole_number
    parser.add_argument("--port", type=functools.partial(number, most=65535), default=0, help="0 (default): any free port")
    parser.add_argument("--seed", type=number, default=1, help="other seed, other data (default 1)")
    parser.add_argument("--customers", type=number, default=200, help="default 200")
    parser.add_argument("--products", type=number, default=50, help="default 50")
    parser.add_argument("--events", type=number, help="default: 10 for each customer")
    parser.add_argument("--sales", type=number, help="default: 3 for each customer, of 1 to 4 rows")
    days = "days that events and sales cover (default 30)"
    parser.add_argument("--days", type=functools.partial(number, least=1), default=30, help=days)
    parser.add_argument("--end-date", type=_iso_date, help=f"last of these days (default {END_DATE})")
    parser.add_argument("--empty", action="store_true", help="no generated data")
    parser.add_argument("--load", action="append", default=[], metavar="RESOURCE=FILE", help="load JSON Lines (.gz too)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting")
    parser.add_argument("--fault", action="append", default=[], metavar="KIND[,KEY=VALUE...]", help="add a fault")
    parser.add_argument("--spiffy", action="store_true", help="run a simulated store at Spiffy Stores beside it")
    port = functools.partial(number, most=65535)
    parser.add_argument("--spiffy-port", type=port, help="the store's port (default: any free one); implies --spiffy")
    return parser


def _make_spiffy_sandbox(options: argparse.Namespace) -> SpiffyStoresSandbox | None:
    """Make the store if one is wanted; seed and emptiness are those of the tenant."""
    if not options.spiffy and options.spiffy_port is None:
        return None
    return SpiffyStoresSandbox(seed=options.seed, port=options.spiffy_port or 0, generate=not options.empty)


def _make_sandbox(options: argparse.Namespace) -> CustobarSandbox:
    settings = SandboxSettings()
    for text in options.set:
        with _blamed("--set", text):
            settings.set_text(*_pair(text, "KEY=VALUE"))
    sandbox = CustobarSandbox(
        settings,
        seed=options.seed,
        customers=options.customers,
        products=options.products,
        events=options.events,
        sales=options.sales,
        days=options.days,
        end_date=options.end_date,
        port=options.port,
        generate=not options.empty,
    )
    for text in options.load:
        with _blamed("--load", text):
            resource, path = _pair(text, f"RESOURCE=FILE with RESOURCE one of {', '.join(RESOURCES)}")
            sandbox.load_file(resource, path)
    for text in options.fault:
        with _blamed("--fault", text):
            sandbox.faults.add(parse_fault(text))
    return sandbox


def parse_fault(text: str) -> Fault:
    """Read ``kind[,key=value...]``; ``where.<name>=<value>`` asks for a query parameter."""
    kind, *rest = text.split(",")
    arguments: dict[str, Any] = {}
    where: dict[str, str] = {}
    for item in rest:
        name, value = _pair(item, "KEY=VALUE after the kind")
        if name.startswith("where."):
            where[name.removeprefix("where.")] = value
        else:
            arguments[name] = _value(value)
    return Fault(kind, **arguments, where=where or None)


def _value(text: str) -> Any:
    try:
        return None if text.lower() == "none" else json.loads(text)
    except ValueError:
        return text


def _pair(text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"{text!r}: expected {form}")
    return name, value


def _whole_number(text: str, least: int = 0, most: int | None = None) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < least or int(text) > (most or int(text)):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number {limits}")
    return int(text)


def _iso_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a date (YYYY-MM-DD)") from None
