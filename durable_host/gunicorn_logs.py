"""Gunicorn's logs, without the keys and tokens that addresses carry: ``--logger-class`` takes the class."""

from typing import Any

from gunicorn.glogging import Logger

from durable_host.telemetry.redaction import RedactingFilter


class RedactingLogger(Logger):  # type: ignore[misc]
    """Gunicorn's own logger; its access log shows whole addresses otherwise."""

    def setup(self, cfg: Any) -> None:
        """Set up the logs, and what goes through them."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            if not any(isinstance(one, RedactingFilter) for one in log.filters):
                log.addFilter(RedactingFilter())
