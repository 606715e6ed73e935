"""The place of a value in a form, and what it means when nothing is typed there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .shapes import ABSENT, Choice, Kind, Pairs, Rows, Scalar, Shape, Variants

#: kinds that may be empty and still be a value
TEXTS = (Kind.TEXT, Kind.LONG_TEXT, Kind.SECRET)


class Blank(StrEnum):
    """What it means that nothing was typed."""

    MISSING = "missing"
    ABSENT = "absent"
    NULL = "null"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a value in another."""

    is_required: bool = True
    default: Any = ABSENT
    #: whether the label is for screen readers alone
    is_bare: bool = False
    #: instead of the shape's own
    label: str = ""


def blanks(shape: Shape, slot: Slot) -> tuple[Blank, ...]:
    """Return what it may mean that nothing was typed; the first is what is meant if nobody says."""
    is_many = isinstance(shape, Rows | Pairs)
    is_text = isinstance(shape, Scalar) and shape.kind in TEXTS and _may_be_empty(shape.schema)
    null = [Blank.NULL] if shape.is_nullable else []
    empty = [Blank.EMPTY] if is_many or is_text else []
    if slot.is_required:
        found = empty + null if is_many else null + ([] if null else [Blank.MISSING]) + empty
    elif slot.default is ABSENT:
        found = [Blank.ABSENT, *null, *empty]
    elif isinstance(shape, Choice | Variants):
        found = null or [Blank.MISSING]  # the default can be chosen as itself
    elif slot.default is None and null:
        found = [*null, Blank.ABSENT, *empty]
    elif is_many or slot.default == "":
        found = [*empty, *null, Blank.ABSENT]
    else:
        found = [*null, Blank.ABSENT, *empty]
    return tuple(found)


def _may_be_empty(schema: Mapping[str, Any]) -> bool:
    pattern = schema.get("pattern")
    try:
        return not schema.get("minLength") and (not isinstance(pattern, str) or bool(re.search(pattern, "")))
    except (re.error, RecursionError):  # written for another dialect: the type decides
        return True


BLANK_WORDS = {
    Blank.MISSING: "not allowed: fill it in",
    Blank.ABSENT: "left out, the default holds",
    Blank.NULL: "no value (null)",
    Blank.EMPTY: "an empty text",
}
