"""How long finished instances are kept: rules in order, of which the first that fits decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from .status import FINISHED, RuntimeStatus

_LONGEST_DAYS = 36_500


def _finished(status: RuntimeStatus | None) -> RuntimeStatus | None:
    if status is not None and status not in FINISHED:
        raise ValueError(f"only finished instances are removed: {', '.join(sorted(FINISHED))}")
    return status


def _prefix_or_name(name: str) -> str:
    if "*" in name[:-1]:
        raise ValueError("a * may stand at the end only")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRule:
    """How long instances of a kind are kept after their end."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=False)

    #: None keeps them for ever
    days: Annotated[float, Field(gt=0, le=_LONGEST_DAYS, allow_inf_nan=False)] | None
    #: a finished status; None for every one
    status: Annotated[RuntimeStatus | None, AfterValidator(_finished)] = None
    #: an orchestrator, or with ``*`` at the end those whose names begin so; empty for all
    name: Annotated[str, AfterValidator(_prefix_or_name)] = ""

    @property
    def kept_for(self) -> timedelta | None:
        """How long; None for ever."""
        return None if self.days is None else timedelta(days=self.days)

    def __str__(self) -> str:
        what = f"{self.status or ''} {self.name}".strip() or "any"
        if self.days is None:
            return f"{what} for ever"
        return f"{what} for {self.days:g} {'day' if self.days == 1 else 'days'}"


_RULES: TypeAdapter[list[RetentionRule]] = TypeAdapter(list[RetentionRule])


def rules_of(given: Sequence[Any]) -> tuple[RetentionRule, ...]:
    """Return the rules that a setting holds.

    Args:
        given: a list of ``{"days": 30, "status": "Completed", "name": "nightly_*"}``; only ``days`` must be there.

    Raises:
        ValueError: something in it is no rule; the message says which and why.
    """
    try:
        return tuple(_RULES.validate_python(given))
    except ValidationError as error:
        wrong = [f"{_place(found['loc'])}: {found['msg'].removeprefix('Value error, ')}" for found in error.errors()]
        raise ValueError(f"RETENTION is not acceptable. {'; '.join(wrong)}.") from None


def _place(location: tuple[int | str, ...]) -> str:
    """Name a place as Python would: the third rule's days are ``RETENTION[2]["days"]``."""
    known = {"days", "status", "name"}
    parts = [part for part in location if isinstance(part, int) or part in known or part == location[-1]]
    return "RETENTION" + "".join(f"[{part}]" if isinstance(part, int) else f'["{part}"]' for part in parts[:2])
