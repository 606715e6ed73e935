"""Which failures are the same one: the texts without what differs from case to case."""

from __future__ import annotations

import hashlib
import re

#: what differs: addresses in memory, UUIDs and hashes, quoted texts, times, numbers
_CHANGING = (
    (re.compile(r"0x[0-9a-fA-F]+"), "#"),
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "#"),
    (re.compile(r"\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{12,}\b"), "#"),
    (re.compile(r"'[^']{1,200}'|\"[^\"]{1,200}\""), "'…'"),
    (re.compile(r"\d+(?:[.,:/-]\d+)*"), "#"),
    (re.compile(r"\s+"), " "),
)
_LONGEST = 200


def first_line(message: str) -> str:
    """Return the first line of a message that says something."""
    return next((line.strip() for line in message.splitlines() if line.strip()), "")


def normalised(message: str) -> str:
    """Return the first line of a message with its numbers, ids and quoted values replaced."""
    line = first_line(message)[: 2 * _LONGEST]
    for pattern, replacement in _CHANGING:
        line = pattern.sub(replacement, line)
    return line[:_LONGEST]


def fingerprint(orchestrator: str, error_type: str, message: str) -> str:
    """Return the same short text for failures of one orchestrator that are the same but for numbers, ids and values."""
    text = "\0".join((orchestrator, error_type, normalised(message)))
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
