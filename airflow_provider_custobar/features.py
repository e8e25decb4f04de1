"""What only newer Airflows have, found by looking for it."""

from __future__ import annotations

from airflow.triggers.base import BaseTrigger

__all__ = ["TRIGGERS_RENDER_TEMPLATES", "SharedStreamProducer"]

#: Templates in the arguments of a task that starts in the triggerer are rendered there (3.3).
TRIGGERS_RENDER_TEMPLATES = hasattr(BaseTrigger, "render_template_fields")

try:
    # One stream for several watchers, told when what came of it is stored (3.3).
    from airflow.triggers.shared_stream import SharedStreamProducer
except ImportError:
    SharedStreamProducer = object
