"""What the demo and the UI run against: a simulated tenant and two real stores, and the steps that are told on the way."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from airflow_provider_custobar.sandbox import CustobarSandbox
from tools.servers import GcsServer, S3Server

BUCKET = "custobar-exports"


class DemoError(Exception):
    """A step went wrong; the text says how."""


@dataclass(frozen=True)
class Stage:
    """Everything that runs: the simulated tenant and the two stores."""

    sandbox: CustobarSandbox
    s3: S3Server
    gcs: GcsServer

    @property
    def connections(self) -> dict[str, str]:
        return {
            "custobar_default": self.sandbox.airflow_connection(),
            "aws_default": self.s3.airflow_connection(),
            "google_cloud_default": self.gcs.airflow_connection(),
        }


def set_stage(stack: ExitStack, sandbox: CustobarSandbox) -> Stage:
    with step("start the Custobar sandbox"):
        stack.enter_context(sandbox)
    with step("start the S3 server (SeaweedFS)"):
        s3 = stack.enter_context(S3Server())
        s3.create_bucket(BUCKET)
    with step("start the GCS server (fake-gcs-server)"):
        gcs = stack.enter_context(GcsServer())
        gcs.create_bucket(BUCKET)
    return Stage(sandbox, s3, gcs)


@contextmanager
def step(name: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"· {name} …", end="", flush=True)
    try:
        yield
    except Exception as error:
        print(" failed")
        raise DemoError(f"Step failed: {name}\n{error}") from error
    print(f" {time.monotonic() - began:.1f} s")


def run_to_the_end(act: Callable[[ExitStack], int]) -> int:
    """Run ``act`` and stop all that it started, however it ends; return the exit code."""
    # Being told to stop is an ordinary way to leave: every server is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    try:
        with ExitStack() as stack:
            return act(stack)
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    except DemoError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
