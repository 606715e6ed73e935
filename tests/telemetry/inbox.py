"""What all receivers of telemetry have."""

from __future__ import annotations

import threading
from typing import Any

from tests.services import PATIENCE


class Inbox:
    """Where a receiver puts what it got, for a test to wait for."""

    def __init__(self) -> None:
        self.changed = threading.Condition()

    def wait_for(self, condition: Any, what: str, seconds: float = PATIENCE) -> None:
        """Wait until the condition holds."""
        with self.changed:
            if not self.changed.wait_for(condition, seconds):
                raise TimeoutError(f"waited {seconds} s for {what}")
