"""Single fields of a typed form, with what stands in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from django.http import QueryDict
from pydantic_core import from_json

from . import hints, scalars
from .scalars import Typed, UnreadableError
from .shapes import ABSENT, Choice, Fixed, Kind, Option, Pairs, Rows, Scalar, Shape
from .slots import BLANK_WORDS, TEXTS, Blank, Slot, blanks

_MOST_RADIOS = 4
_LONGEST_RADIO = 24
_LONG_TEXT = 500

MISSING_MESSAGE = "Fill this in."
CHOOSE_MESSAGE = "Choose one."


class Node:
    """A field, or fields that belong together.

    Attributes:
        path: its name in the form; names of what is in it begin with it.
        errors: what is wrong, in words for people.
    """

    template: ClassVar[str]

    def __init__(self, shape: Shape, path: str, slot: Slot) -> None:
        self.shape = shape
        self.path = path
        self.slot = slot
        self.errors: list[str] = []
        self.blanks = blanks(shape, slot)
        self.blank = self.blanks[0]

    def give(self, value: Any) -> bool:
        """Show a JSON value, or ABSENT; tell whether it has a place here."""
        raise NotImplementedError

    def read(self, data: QueryDict) -> None:
        """Take what somebody has sent."""
        raise NotImplementedError

    def value(self) -> Any:
        """Return the JSON value, ABSENT where it is left out; note in ``errors`` what cannot be read."""
        raise NotImplementedError

    def children(self) -> Iterator[Node]:
        """Yield what is in it, in the order of the page."""
        return iter(())

    def step(self, part: str | int) -> Node | None:
        """Return what is in it under a name or at a place."""
        return None

    @property
    def is_left_blank(self) -> bool:
        """Whether nothing was typed."""
        return False

    # --- for the templates -------------------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """What it is called."""
        return self.slot.label or self.shape.label or hints.kind_of(self.shape)

    @property
    def hint(self) -> str:
        """What helps to fill it in."""
        return hints.hint(self.shape, self.slot.default)

    @property
    def described_by(self) -> str:
        """The ids of what describes it."""
        ids = [f"{self.path}!help"] if self.shape.help or self.hint else []
        return " ".join(ids + ([f"{self.path}!errors"] if self.errors else []))

    @property
    def is_marked_required(self) -> bool:
        """Whether it must be filled in."""
        return self.blank is Blank.MISSING and Blank.MISSING in self.blanks

    @property
    def blank_choices(self) -> list[tuple[str, str, bool]]:
        """What blank may mean, where that needs to be said: value, label, whether it is so."""
        if len(self.blanks) == 1 or (self.blank is self.blanks[0] and not self.errors):
            return []
        words = BLANK_WORDS | ({Blank.EMPTY: "an empty list"} if isinstance(self.shape, Rows | Pairs) else {})
        return [(one.value, words[one], one is self.blank) for one in self.blanks]

    # --- for those who build it --------------------------------------------------------------------------------------

    def note(self, message: str) -> None:
        """Note an error once."""
        if message not in self.errors:
            self.errors.append(message)

    def take_blank(self, value: Any) -> bool:
        """Take a value that nothing is typed for; tell whether it was one."""
        empty: Any = [] if isinstance(self.shape, Rows) else {} if isinstance(self.shape, Pairs) else ""
        is_empty = type(value) is type(empty) and value == empty
        kinds = {Blank.NULL: value is None, Blank.EMPTY: is_empty, Blank.ABSENT: value is ABSENT}
        found = next((kind for kind in self.blanks if kinds.get(kind)), None)
        self.blank = found or self.blank
        return found is not None or value is ABSENT

    def read_blank(self, data: QueryDict) -> None:
        """Take what somebody says that blank means."""
        said = data.get(f"{self.path}!blank", "")
        self.blank = next((one for one in self.blanks if one.value == said), self.blanks[0])

    def blank_value(self, empty: Any = "") -> Any:
        """Return what blank means."""
        if self.blank is Blank.MISSING:
            self.note(MISSING_MESSAGE)
        return {Blank.NULL: None, Blank.EMPTY: empty}.get(self.blank, ABSENT)


class ScalarNode(Node):
    """A single value that is typed."""

    template = "dashboard/forms/scalar.html"
    shape: Scalar

    def __init__(self, shape: Scalar, path: str, slot: Slot) -> None:
        super().__init__(shape, path, slot)
        self.typed = Typed("", scalars.default_zone(shape.schema) if shape.kind is Kind.DATETIME else "")

    def give(self, value: Any) -> bool:
        """Show a value; tell whether it is one of this kind."""
        if self.take_blank(value):
            return True
        shown = scalars.show(self.shape.kind, value)
        self.typed = shown or self.typed
        return shown is not None and shown.text != ""

    def read(self, data: QueryDict) -> None:
        """Take what was typed."""
        self.read_blank(data)
        text = data.get(self.path, "").replace("\r\n", "\n")
        self.typed = Typed(text, data.get(f"{self.path}!zone", self.typed.zone))

    def value(self) -> Any:
        """Return the JSON value."""
        if self.is_left_blank:
            return self.blank_value()
        try:
            return scalars.parse(self.shape.kind, self.typed)
        except UnreadableError as error:
            self.note(str(error))
            return self.typed.text

    @property
    def is_left_blank(self) -> bool:
        """Whether nothing was typed."""
        is_text = self.shape.kind in TEXTS
        return not (self.typed.text if is_text else self.typed.text.strip())

    @property
    def input_type(self) -> str:
        """The ``type`` of the input."""
        return scalars.input_type(self.shape.kind, self.typed.text)

    @property
    def input_mode(self) -> str:
        """Which keyboard a telephone shows."""
        return hints.INPUT_MODES.get(self.shape.kind, "")

    @property
    def is_code(self) -> bool:
        """Whether spelling is checked in vain."""
        return self.shape.kind is not Kind.LONG_TEXT

    @property
    def is_long(self) -> bool:
        """Whether it needs several lines."""
        longest = self.shape.schema.get("maxLength")
        is_roomy = self.shape.kind is Kind.TEXT and isinstance(longest, int) and longest > _LONG_TEXT
        is_text = self.shape.kind in (Kind.TEXT, Kind.LONG_TEXT)
        return self.shape.kind is Kind.LONG_TEXT or (is_text and (is_roomy or "\n" in self.typed.text))

    @property
    def placeholder(self) -> str:
        """What stands in the field while it is empty."""
        return hints.placeholder(self.shape.kind)

    @property
    def zones(self) -> list[tuple[str, str, bool]]:
        """Of a date and time: the zones to choose from, as value, label, whether it is so."""
        if self.shape.kind is not Kind.DATETIME:
            return []
        return [(value, label, value == self.typed.zone) for value, label in scalars.zone_choices(self.typed.zone)]


class FlagNode(Node):
    """A tick: yes or no, never neither."""

    template = "dashboard/forms/flag.html"
    is_ticked = False

    def give(self, value: Any) -> bool:
        """Show a value."""
        self.is_ticked = value is True
        return value is ABSENT or isinstance(value, bool)

    def read(self, data: QueryDict) -> None:
        """Take what was ticked."""
        self.is_ticked = self.path in data

    def value(self) -> Any:
        """Return the JSON value."""
        return self.is_ticked


@dataclass(frozen=True, slots=True)
class Pick:
    """One option as the page has it."""

    key: str
    label: str
    is_picked: bool


class ChoiceNode(Node):
    """One of a few values, each known by its JSON text; or none of them, where that may be."""

    template = "dashboard/forms/choice.html"
    shape: Choice

    def __init__(self, shape: Choice, path: str, slot: Slot) -> None:
        super().__init__(shape, path, slot)
        self.key = "" if self.blank is Blank.MISSING else self.blank.value

    def give(self, value: Any) -> bool:
        """Pick a value; tell whether it is one of them."""
        if self.take_blank(value):
            self.key = "" if self.blank is Blank.MISSING else self.blank.value
            return True
        self.key = _key(Option(value, ""))
        return any(_key(option) == self.key for option in self.shape.options)

    def read(self, data: QueryDict) -> None:
        """Take what was chosen."""
        self.key = data.get(self.path, "")

    def value(self) -> Any:
        """Return the JSON value."""
        for option in self.shape.options:
            if _key(option) == self.key:
                return option.value
        self.blank = next((one for one in self.blanks if one.value == self.key), self.blanks[0])
        if self.blank is Blank.MISSING:
            self.note(CHOOSE_MESSAGE)
        return None if self.blank is Blank.NULL else ABSENT

    @property
    def picks(self) -> list[Pick]:
        """The options, with those that mean none of them."""
        words = {Blank.NULL: "None", Blank.ABSENT: "Default"}
        none = [Pick(one.value, words[one], one.value == self.key) for one in self.blanks if one in words]
        return none + [Pick(_key(one), one.label, _key(one) == self.key) for one in self.shape.options]

    @property
    def is_few(self) -> bool:
        """Whether all options are shown at once."""
        picks = self.picks
        return len(picks) <= _MOST_RADIOS and all(len(pick.label) <= _LONGEST_RADIO for pick in picks)

    @property
    def is_marked_required(self) -> bool:
        """Whether one must be chosen."""
        return Blank.MISSING in self.blanks and self.slot.is_required


class FixedNode(Node):
    """A value that is always the same."""

    template = "dashboard/forms/fixed.html"
    shape: Fixed

    def give(self, value: Any) -> bool:
        """Tell whether a value is the one."""
        return value is ABSENT or _key(Option(value, "")) == _key(Option(self.shape.value, ""))

    def read(self, data: QueryDict) -> None:
        """Take nothing: there is no choice."""

    def value(self) -> Any:
        """Return the JSON value."""
        return self.shape.value

    @property
    def is_shown(self) -> bool:
        """Whether it is worth a line: among other fields nobody need see what cannot be otherwise."""
        return bool(self.errors) or "." not in self.path

    @property
    def shown(self) -> str:
        """The value in words."""
        return hints.said(self.shape.value)

    @property
    def is_marked_required(self) -> bool:
        """Whether it must be filled in: nobody can."""
        return False


class JsonNode(Node):
    """Any JSON, as text."""

    template = "dashboard/forms/json.html"

    def __init__(self, shape: Shape, path: str, slot: Slot, *, is_forced: bool = False) -> None:
        super().__init__(shape, path, slot)
        #: whether the shape has fields, and what stands here does not fit into them
        self.is_forced = is_forced
        self.text = ""

    def give(self, value: Any) -> bool:
        """Show a value."""
        self.blank = self.blanks[0]
        self.text = "" if value is ABSENT else json.dumps(value, indent=2, ensure_ascii=False)
        return True

    def read(self, data: QueryDict) -> None:
        """Take what was typed."""
        self.read_blank(data)
        self.text = data.get(self.path, "").replace("\r\n", "\n")

    def value(self) -> Any:
        """Return the JSON value."""
        if self.is_left_blank:
            return self.blank_value()
        try:
            return from_json(self.text.encode(errors="surrogatepass"), allow_inf_nan=False)
        except ValueError as error:
            self.note(f"This is not JSON: {error}.")
            return self.text

    @property
    def is_left_blank(self) -> bool:
        """Whether nothing was typed."""
        return not self.text.strip()

    @property
    def blank_choices(self) -> list[tuple[str, str, bool]]:
        """Nothing: null and the empty text can be typed."""
        return []


def _key(option: Option) -> str:
    return json.dumps(option.value, ensure_ascii=True)
