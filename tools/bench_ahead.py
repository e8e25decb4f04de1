"""What reading ahead is worth: ``python -m tools.bench_ahead [pages]``.

A server thinks before each page, and then takes its time to send it. A reader fetches the pages of one query; to work on them
takes no time here. Alone, it asks for the next page when it has the present one whole; ahead, as soon as the head of the
present one tells its address. The table shows seconds a page for both, and what part of them is saved.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from airflow_provider_custobar.api.client import CustobarClient
from airflow_provider_custobar.api.config import config_from_connection
from airflow_provider_custobar.api.query import build_query

PACES = (60, 180)
THINKS = (0.2, 1.0, 3.0)
TRANSFERS = (0.2, 2.0)
_PIECES = 20


class _Turns:
    """As many pages as there are may be on their way."""

    def take(self) -> None:
        pass


@contextmanager
def server(pages: int, think_seconds: float, transfer_seconds: float) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            number = int(self.path.partition("?p=")[2] or 0)
            time.sleep(think_seconds)
            page: dict[str, object] = {"customers": [{"external_id": f"{number}-{row:04}"} for row in range(1000)]}
            self.send_response(200)
            if number + 1 < pages:
                page["next_url"] = f"/data/?p={number + 1}"
                self.send_header("X-Custobar-Next-Url", f"/data/?p={number + 1}")
            body = json.dumps(page).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for start, end in itertools.pairwise(len(body) * piece // _PIECES for piece in range(_PIECES + 1)):
                time.sleep(transfer_seconds / _PIECES)
                self.wfile.write(body[start:end])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()


def seconds_a_page(url: str, pages: int, pace: int, *, ahead: bool) -> float:
    config = config_from_connection(host=url, password="TOKEN", extra={"requests_per_minute": pace})
    with CustobarClient(config) as client:
        began = time.monotonic()
        found = sum(page.rows for page in client.pages(build_query("customers"), turns=_Turns() if ahead else None))
        assert found == 1000 * pages
        return (time.monotonic() - began) / pages


def main(pages: int) -> None:
    print("| requests a minute | think s | transfer s | alone, s a page | ahead | saved |\n|---:|---:|---:|---:|---:|---:|")
    for pace, think, transfer in itertools.product(PACES, THINKS, TRANSFERS):
        with server(pages, think, transfer) as url:
            alone, ahead = (seconds_a_page(url, pages, pace, ahead=each) for each in (False, True))
        print(f"| {pace} | {think} | {transfer} | {alone:.2f} | {ahead:.2f} | {1 - ahead / alone:.0%} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
