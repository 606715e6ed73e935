"""Gunicorn's settings for the one-command run: one process on the loopback address, many threads."""

import os
from typing import Any

# Printed for the supervisor, which then shows the address to open.
READY = "durable-host: the web server accepts connections"

bind = f"127.0.0.1:{os.environ.get('PORT', '8000')}"
workers = 1
worker_class = "gthread"
threads = 16
# Closed sooner, a connection breaks under the next request of a client that has been thinking.
keepalive = 75
# Addresses carry reasons and filters.
limit_request_line = 8190
# Shorter than the supervisor's patience.
graceful_timeout = 3
loglevel = "warning"
logger_class = "durable_host.gunicorn_logs.RedactingLogger"
# It would be one file for all hosts of this user.
control_socket_disable = True


def when_ready(server: Any) -> None:
    """Gunicorn's hook: it listens from now on."""
    print(READY, flush=True)
