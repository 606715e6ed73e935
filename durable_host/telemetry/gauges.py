"""The gauges that OpenTelemetry asks for. What they show is read by a function that dispatch passes in."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from durable_host.core.metrics import Metric, Sample

logger = logging.getLogger(__name__)

Read = Callable[[], Sequence[Sample]]

#: seconds for which what was read is shown: one export asks for each gauge apart
_FRESH = 5.0


class _Source:
    """What is shown, and since when."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.read: Read | None = None
        self._samples: Sequence[Sample] = ()
        self._read_at = float("-inf")

    def feed(self, read: Read | None) -> None:
        with self._lock:
            self.read, self._samples, self._read_at = read, (), float("-inf")

    def samples(self) -> Sequence[Sample]:
        with self._lock:
            if self.read is not None and time.monotonic() - self._read_at >= _FRESH:
                self._samples = _quietly(self.read)
                self._read_at = time.monotonic()
            return self._samples


_source = _Source()


def feed(read: Read | None) -> None:
    """Show what this function reads; None to show nothing.

    It is called on the exporter's thread, once in a few seconds at most, and never where nothing is exported. Whatever
    it raises becomes a line in the log: telemetry disturbs nobody.
    """
    _source.feed(read)


def show(metric: Metric) -> list[Sample]:
    """Return the present samples of a gauge."""
    return [sample for sample in _source.samples() if sample.metric is metric]


def _quietly(read: Read) -> Sequence[Sample]:
    try:
        return read()
    except Exception as error:  # whatever the reader's database does
        logger.warning("The gauges cannot be read.", extra={"reason": str(error)})
        return ()
