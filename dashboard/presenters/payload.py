"""Payloads as text: pretty, cut to a size that a page can carry, and never trusted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from durable_host.core.failure import FailureDetails

SHOWN_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload, ready to be shown."""

    text: str
    #: bytes of the whole
    size: int
    is_cut: bool


def show(value: Any, *, limit: int = SHOWN_CHARACTERS) -> Payload:
    """Return a value as indented JSON, cut after so many characters."""
    text = pretty(value)
    return Payload(text[:limit], len(text.encode(errors="surrogatepass")), len(text) > limit)


def show_text(text: str, *, limit: int = SHOWN_CHARACTERS) -> Payload:
    """Return a plain text or stored JSON, as :func:`show`."""
    return Payload(text[:limit], len(text.encode(errors="surrogatepass")), len(text) > limit)


def pretty(value: Any) -> str:
    """Return a value as indented JSON; what JSON does not know as its own text."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def compact(value: Any) -> str:
    """Return a value as JSON on one line; empty for None, and a text without its quotes."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def failure_text(failure: FailureDetails) -> str:
    """Return a failure with its causes and stacks, the outermost first."""
    parts = [f"{one}\n\n{one.stack_trace}" if one.stack_trace else str(one) for one in failure.chain()]
    return "\n\nCaused by: ".join(parts)
