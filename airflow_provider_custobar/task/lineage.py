"""What a task read and wrote, for whoever collects lineage."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector


def tell_lineage(hook: Any, *, inputs: Sequence[str] = (), outputs: Sequence[str] = (), log: logging.Logger) -> None:
    """Tell Airflow of assets by their URIs. By then the work is done, so nothing that goes wrong with it fails the task."""
    for uris, kind in ((inputs, "input"), (outputs, "output")):
        for uri in uris:
            try:
                # Handlers of other providers may refuse a URI of their scheme, each with errors of its own.
                getattr(get_hook_lineage_collector(), f"add_{kind}_asset")(hook, uri=uri)
            except Exception as error:  # noqa: BLE001 - as above
                log.info("Lineage does not take %s: %s", uri, error)
