"""How an HTTP request of an orchestration fails. The orchestrator sees each as a ``TaskFailedError``."""

from __future__ import annotations

from durable_host.core.errors import DurableError


class DurableHttpError(DurableError):
    """Base of what can go wrong with a durable HTTP request."""


class HttpRefusedError(DurableHttpError):
    """The request is malformed, or the host's settings forbid its address. A retry would be refused again."""

    is_non_retriable = True


class HttpConnectionError(DurableHttpError):
    """No answer came: the name is unknown, the connection failed, or the certificate is not the host's."""


class HttpTimeoutError(DurableHttpError, TimeoutError):
    """No complete answer came within the host's own limit, DURABLE_HOST['HTTP_TIMEOUT']."""


class HttpContentError(DurableHttpError):
    """The answer is too large, or is not text. A retry would bring it again."""

    is_non_retriable = True


class HttpStatusError(DurableHttpError):
    """The answer has a status that the retry policy takes for a failure."""
