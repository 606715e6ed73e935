"""How long it takes from a fault to health; ``make cases`` shows it beside what it should be about."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Recovery:
    """Notes the times of a test in its properties, which pytest's JUnit file has.

    Args:
        properties: of the test.
    """

    PROPERTY = "recovery"

    def __init__(self, properties: list[tuple[str, Any]]) -> None:
        self._properties = properties

    def took(self, case: int, seconds: float, within: str, *, database: str = "") -> None:
        """Note how long it took.

        Args:
            case: its number in ``docs/reliability.md``.
            within: which time of the host the recovery waits for at the longest, such as ``lease 1 s``.
            database: if it is not that of the test run.
        """
        database = database or os.environ.get("TEST_DATABASE", "sqlite")
        noted = {"case": case, "seconds": seconds, "within": within, "database": database}
        self._properties.append((self.PROPERTY, json.dumps(noted)))

    @contextmanager
    def timed(self, case: int, within: str, *, database: str = "") -> Iterator[None]:
        """Note how long the block takes: it begins with the fault, or its end, and ends when all is well again."""
        began = time.monotonic()
        yield
        self.took(case, time.monotonic() - began, within, database=database)
