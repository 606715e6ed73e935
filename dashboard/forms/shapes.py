"""What a form is made of: a JSON schema, read into the few shapes that people can fill in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Final


class Absent(Enum):
    """The value of what is left out."""

    ABSENT = "absent"


#: stands where there is no value: a member that is left out, a default that is not there
ABSENT: Final = Absent.ABSENT


class Kind(StrEnum):
    """What a single value is."""

    TEXT = "text"
    LONG_TEXT = "long text"
    SECRET = "secret text"  # noqa: S105  a word for people
    EMAIL = "email address"
    URI = "web address"
    UUID = "UUID"
    INTEGER = "whole number"
    NUMBER = "number"
    DECIMAL = "decimal number"
    DATE = "date"
    TIME = "time"
    DATETIME = "date and time"
    DURATION = "duration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a value may be."""

    #: the keywords of the schema that bear on it, without references
    schema: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    help: str = ""
    is_nullable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar(Shape):
    """One value that is typed."""

    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag(Shape):
    """Yes or no."""


@dataclass(frozen=True, slots=True)
class Option:
    """One of several values."""

    value: Any
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Shape):
    """One of a few values."""

    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed(Shape):
    """One value, always the same."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A value at its place in another."""

    name: str
    shape: Shape
    is_required: bool = True
    default: Any = ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Shape):
    """Several values with names; or, as a list, by their places."""

    members: tuple[Member, ...]
    #: what further members must be; None where there are none
    extras: Pairs | None = None
    is_list: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows(Shape):
    """Any number of values of one shape."""

    item: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs(Shape):
    """Any number of values of one shape, each under a name of its own."""

    key: Shape
    value: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the shapes that a value may have."""

    label: str
    shape: Shape
    #: what the type's own errors call it
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants(Shape):
    """A value that may have one of several shapes."""

    options: tuple[Variant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonShape(Shape):
    """Whatever JSON there is: typed as JSON."""
