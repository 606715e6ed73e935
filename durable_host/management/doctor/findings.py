"""What the doctor says of one thing: what is, why it matters, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    #: work is lost, stands still, or soon will
    BAD = "bad"
    #: it works, but slower, or not for ever
    WARN = "warn"
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    #: what is, as a sentence
    what: str
    why: str = ""
    #: what to do, as somebody would type or change it
    remedy: str = ""


def good(what: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(Level.GOOD, what)


def warn(what: str, why: str, remedy: str) -> Finding:
    """Return that something works, but not as it should."""
    return Finding(Level.WARN, what, why, remedy)


def bad(what: str, why: str, remedy: str) -> Finding:
    """Return that something is wrong."""
    return Finding(Level.BAD, what, why, remedy)
