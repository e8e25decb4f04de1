"""``make screenshots``: pictures of Airflow's UI as ``make ui`` has it, for docs/.

Needs Debian's ``chromium``, or another that ``CHROMIUM`` names, and ``playwright`` from PyPI, which drives it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tools.airflow_home import PROJECT
from tools.stage import DemoError, run_to_the_end, step
from tools.ui import start
from tools.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = PROJECT / "docs"
WIDTH, HEIGHT = 1280, 800
MOST_BYTES = 200_000
DAG_ID, TASK_ID = "custobar_late_events", "clicks_to_s3"
ASSET, STARTED_DAG_ID = "custobar_unsubscribes", "custobar_new_unsubscribes"
_PATIENCE_MILLISECONDS = 60_000
#: Nothing that looks for Google's servers, and no sandbox, which root cannot have.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


class Airflow:
    """Its API, as far as a run has to be there before it can be looked at."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        token = self._session.get(f"{url}/auth/token", timeout=60).json()["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def run(self, dag_id: str) -> str:
        """Trigger a DAG, as the button does; its run's id, once that has succeeded."""
        self.switch_on(dag_id)
        run_id = str(
            self._call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": datetime.now(UTC).isoformat()})["dag_run_id"]
        )

        def ended() -> bool:
            return self._has_succeeded(self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}"))

        wait_until(f"{dag_id} has run", ended, every_seconds=1)
        return run_id

    def switch_on(self, dag_id: str) -> None:
        wait_until(f"{dag_id} is read", lambda: self._call("GET", f"dags/{dag_id}"))
        self._call("PATCH", f"dags/{dag_id}?update_mask=is_paused", {"is_paused": False})

    def wait_for_runs(self, dag_id: str) -> None:
        """Wait until ``dag_id`` has run by itself."""

        def ended() -> bool:
            return any(map(self._has_succeeded, self._call("GET", f"dags/{dag_id}/dagRuns")["dag_runs"]))

        wait_until(f"{dag_id} has run", ended, every_seconds=1)

    def _has_succeeded(self, run: dict[str, Any]) -> bool:
        if run["state"] == "failed":
            raise DemoError(f"the run {run['dag_run_id']} of {run['dag_id']} has failed")
        return bool(run["state"] == "success")

    def _call(self, method: str, path: str, body: object = None) -> Any:
        answer = self._session.request(method, f"{self.url}/api/v2/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()


def take(stack: ExitStack) -> int:
    with step("find a browser"):
        page = stack.enter_context(_browser())
    stage, server = start(stack)
    airflow = Airflow(server.url)
    airflow.switch_on(STARTED_DAG_ID)
    with step(f"run {DAG_ID}"):
        run_id = airflow.run(DAG_ID)
    with step(f"let somebody unsubscribe, which starts {STARTED_DAG_ID}"):
        stage.unsubscribe_somebody()
        airflow.wait_for_runs(STARTED_DAG_ID)
    shots: dict[str, Callable[[], None]] = {
        "task": lambda: _task(page, server.url, run_id),
        "assets": lambda: _assets(page, server.url),
        "connection": lambda: _connection(page, server.url),
    }
    for name, go in shots.items():
        with step(f"docs/{name}.png"):
            go()
            _save(page, FOLDER / f"{name}.png")
    return 0


def _task(page: Page, url: str, run_id: str) -> None:
    page.goto(f"{url}/dags/{DAG_ID}/runs/{run_id}/tasks/{TASK_ID}")
    # What the log says last of all, whatever its words.
    page.get_by_text("s3://").last.wait_for()


def _assets(page: Page, url: str) -> None:
    page.goto(f"{url}/assets")
    page.get_by_role("link", name=ASSET).first.click()
    page.get_by_text(STARTED_DAG_ID).first.wait_for()


def _connection(page: Page, url: str) -> None:
    page.goto(f"{url}/connections")
    row = page.get_by_role("row").filter(has_text="custobar_default")
    row.get_by_role("button", name=re.compile("edit", re.IGNORECASE)).click()
    page.get_by_role("dialog").get_by_text("Host").first.wait_for()


@contextmanager
def _browser() -> Iterator[Page]:
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - needed here only
    except ImportError as error:
        raise DemoError("playwright is not installed: make screenshots does that") from error
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise DemoError("there is no chromium: apt-get install chromium, or name a browser in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, locale="en-GB", color_scheme="light")
        page.set_default_timeout(_PATIENCE_MILLISECONDS)
        yield page
        browser.close()


def _save(page: Page, path: Path) -> None:
    # Toasts and transitions come to an end.
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)
    page.screenshot(path=path)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise DemoError(f"{path} has {size:,} bytes, more than the {MOST_BYTES:,} that it may have")


if __name__ == "__main__":
    sys.exit(run_to_the_end(take))
