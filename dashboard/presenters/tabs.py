"""The tabs of a page: each is an address."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab."""

    label: str
    url: str
    is_current: bool = False
    #: shown beside the label, where it is not None
    count: int | str | None = None
