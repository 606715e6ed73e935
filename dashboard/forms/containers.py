"""Fields that belong together: groups, lists, names with values, one of several shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from django.http import QueryDict

from .nodes import CHOOSE_MESSAGE, JsonNode, Node
from .shapes import ABSENT, Choice, Flag, Group, Member, Pairs, Rows, Scalar, Shape, Variant, Variants
from .slots import Blank, Slot

#: longer lists are typed as JSON: nobody clicks a thousand rows together, and Django takes a thousand fields
MOST_ROWS = 100
_ROWS_TO_BEGIN_WITH = 3
_LONGEST_KEY = 6


class Builder(Protocol):
    """What makes the fields inside; see :class:`dashboard.forms.building.FormBuilder`."""

    #: what was pressed besides: "add" or "remove", and where
    press: tuple[str, str]

    def given(self, shape: Shape, path: str, slot: Slot, value: Any) -> Node:
        """Return fields that hold a value."""

    def posted(self, shape: Shape, path: str, slot: Slot) -> Node:
        """Return fields that hold what was sent."""


def _is_key(text: str) -> bool:
    """Tell a number that a form has given to a row from whatever else may be sent."""
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_KEY


def below(path: str, part: str) -> str:
    """Return the name of what is under a name in another."""
    return f"{path}.{quote(part, safe=' ').replace('.', '%2E')}"


class Container(Node):
    """Fields that belong together."""

    def __init__(self, shape: Shape, path: str, slot: Slot, builder: Builder) -> None:
        super().__init__(shape, path, slot)
        self.builder = builder


class GroupNode(Container):
    """Fields with names."""

    template = "dashboard/forms/group.html"
    shape: Group

    def __init__(self, shape: Group, path: str, slot: Slot, builder: Builder) -> None:
        super().__init__(shape, path, slot, builder)
        self.nodes: dict[str, Node] = {}
        self.extras: Node | None = None

    def give(self, value: Any) -> bool:
        """Show a value; tell whether all of it has a field."""
        found = self._members_of(value)
        if found is None:
            return False
        for member in self.shape.members:
            inner = found.pop(member.name, ABSENT)
            self.nodes[member.name] = self.builder.given(member.shape, *self._place(member), inner)
        if self.shape.extras is not None:
            self.extras = self.builder.given(self.shape.extras, *self._extras_place, found or ABSENT)
        return not found or self.extras is not None

    def _members_of(self, value: Any) -> dict[str, Any] | None:
        if value is ABSENT:
            return {}
        if self.shape.is_list:
            return {str(place): one for place, one in enumerate(value)} if isinstance(value, list) else None
        return dict(value) if isinstance(value, dict) else None

    def read(self, data: QueryDict) -> None:
        """Take what was sent."""
        for member in self.shape.members:
            self.nodes[member.name] = self.builder.posted(member.shape, *self._place(member))
        if self.shape.extras is not None:
            self.extras = self.builder.posted(self.shape.extras, *self._extras_place)

    def _place(self, member: Member) -> tuple[str, Slot]:
        return below(self.path, member.name), Slot(member.is_required, member.default)

    @property
    def _extras_place(self) -> tuple[str, Slot]:
        return f"{self.path}!more", Slot(is_required=False, default={}, label="More")

    def value(self) -> Any:
        """Return the JSON value."""
        found = {name: value for name, node in self.nodes.items() if (value := node.value()) is not ABSENT}
        if self.shape.is_list:
            return list(found.values())
        extras = self.extras.value() if self.extras is not None else ABSENT
        if isinstance(extras, dict):
            doubled = sorted(extras.keys() & self.nodes.keys())
            if doubled and self.extras is not None:
                self.extras.note(f"There is a field for {', '.join(doubled)} already.")
            found = {**extras, **found}
        return found

    def children(self) -> Iterator[Node]:
        """Yield the fields."""
        yield from self.nodes.values()
        if self.extras is not None:
            yield self.extras

    def step(self, part: str | int) -> Node | None:
        """Return a field by its name."""
        found = self.nodes.get(str(part))
        return self.extras.step(part) if found is None and self.extras is not None else found

    @property
    def is_marked_required(self) -> bool:
        """Whether it must be filled in: its fields say so."""
        return False


@dataclass(frozen=True, slots=True)
class Row:
    """One of many."""

    key: str
    path: str
    node: Node
    name: Node | None = None


class ManyNode(Container):
    """Any number of rows."""

    def __init__(self, shape: Shape, path: str, slot: Slot, builder: Builder) -> None:
        super().__init__(shape, path, slot, builder)
        self.rows: list[Row] = []

    def read(self, data: QueryDict) -> None:
        """Take the rows that were sent, with the one that was added and without the one that was taken away."""
        self.read_blank(data)
        keys = [key for key in dict.fromkeys(data.getlist(f"{self.path}!row")) if _is_key(key)]
        verb, where = self.builder.press
        kept = [key for key in keys if not (verb == "remove" and where == below(self.path, key))]
        self.rows = [self._sent(key) for key in kept[: 10 * MOST_ROWS]]
        if verb == "add" and where == self.path:
            self.rows.append(self._row(str(max(map(int, keys), default=-1) + 1), ABSENT, ABSENT))

    def _sent(self, key: str) -> Row:
        raise NotImplementedError

    def _row(self, key: str, name: Any, value: Any) -> Row:
        raise NotImplementedError

    def _begin(self) -> None:
        """Show the rows that there must be."""
        fewest = self.shape.schema.get("minItems", self.shape.schema.get("minProperties"))
        count = min(fewest, _ROWS_TO_BEGIN_WITH) if isinstance(fewest, int) and self.slot.is_required else 0
        self.rows = [self._row(str(key), ABSENT, ABSENT) for key in range(count)]

    @property
    def is_left_blank(self) -> bool:
        """Whether there are no rows."""
        return not self.rows

    @property
    def is_marked_required(self) -> bool:
        """Whether there must be rows: the hint says how many."""
        return False


class RowsNode(ManyNode):
    """A list."""

    template = "dashboard/forms/rows.html"
    shape: Rows

    def give(self, value: Any) -> bool:
        """Show a list."""
        if self.take_blank(value):
            if value is ABSENT:
                self._begin()
            return True
        if not isinstance(value, list) or not 0 < len(value) <= MOST_ROWS:
            return False
        self.rows = [self._row(str(key), ABSENT, one) for key, one in enumerate(value)]
        return True

    def _row(self, key: str, name: Any, value: Any) -> Row:
        path = below(self.path, key)
        return Row(key, path, self.builder.given(self.shape.item, path, self._slot(), value))

    def _sent(self, key: str) -> Row:
        path = below(self.path, key)
        return Row(key, path, self.builder.posted(self.shape.item, path, self._slot()))

    def _slot(self) -> Slot:
        return Slot(is_bare=True)

    def value(self) -> Any:
        """Return the JSON value."""
        if not self.rows:
            return self.blank_value([])
        values = [row.node.value() for row in self.rows]
        return [None if one is ABSENT else one for one in values]

    def children(self) -> Iterator[Node]:
        """Yield the rows."""
        return (row.node for row in self.rows)

    def step(self, part: str | int) -> Node | None:
        """Return a row by its place."""
        return self.rows[part].node if isinstance(part, int) and 0 <= part < len(self.rows) else None

    @property
    def is_plain(self) -> bool:
        """Whether a row is a single field."""
        return isinstance(self.shape.item, Scalar | Choice | Flag)


class PairsNode(ManyNode):
    """Values, each under a name that somebody gives it."""

    template = "dashboard/forms/pairs.html"
    shape: Pairs

    def give(self, value: Any) -> bool:
        """Show names and values."""
        if self.take_blank(value):
            if value is ABSENT:
                self._begin()
            return True
        if not isinstance(value, dict) or not 0 < len(value) <= MOST_ROWS:
            return False
        self.rows = [self._row(str(place), *pair) for place, pair in enumerate(value.items())]
        return True

    def _row(self, key: str, name: Any, value: Any) -> Row:
        path = below(self.path, key)
        named = self.builder.given(self.shape.key, f"{path}!name", Slot(is_bare=True, label="Name"), name)
        valued = self.builder.given(self.shape.value, f"{path}!value", self._value_slot(), value)
        return Row(key, path, valued, named)

    def _sent(self, key: str) -> Row:
        path = below(self.path, key)
        named = self.builder.posted(self.shape.key, f"{path}!name", Slot(is_bare=True, label="Name"))
        return Row(key, path, self.builder.posted(self.shape.value, f"{path}!value", self._value_slot()), named)

    def _value_slot(self) -> Slot:
        return Slot(is_bare=True, label="" if self.shape.value.label else "Value")

    def value(self) -> Any:
        """Return the JSON value; rows that nobody has touched do not count."""
        found: dict[str, Any] = {}
        for row in self._touched():
            assert row.name is not None  # noqa: S101  rows of pairs have names
            name = row.name.value()
            if isinstance(name, str) and name in found:
                row.name.note("This name is given twice.")
            found[str(name)] = row.node.value()
        values = {name: None if one is ABSENT else one for name, one in found.items()}
        return values if values else self.blank_value({})

    def _touched(self) -> list[Row]:
        return [row for row in self.rows if not (_is_untouched(row.name) and _is_untouched(row.node))]

    def children(self) -> Iterator[Node]:
        """Yield names and values."""
        for row in self.rows:
            if row.name is not None:
                yield row.name
            yield row.node

    def step(self, part: str | int) -> Node | None:
        """Return a value by its name."""
        return next((row.node for row in self.rows if row.name is not None and row.name.value() == part), None)

    def step_to_name(self, part: str | int) -> Node | None:
        """Return the field of a name."""
        return next((row.name for row in self.rows if row.name is not None and row.name.value() == part), None)


def _is_untouched(node: Node | None) -> bool:
    return node is None or (node.is_left_blank and node.blank is Blank.MISSING)


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of the shapes, or one of the ways to give no value."""

    key: str
    label: str
    node: Node | None = None


class VariantsNode(Container):
    """A value of one of several shapes. All of them stand in the page, the chosen one is seen."""

    template = "dashboard/forms/variants.html"
    shape: Variants

    def __init__(self, shape: Variants, path: str, slot: Slot, builder: Builder) -> None:
        super().__init__(shape, path, slot, builder)
        self.nodes: list[Node] = []
        self.key = "" if self.blank is Blank.MISSING else self.blank.value

    def give(self, value: Any) -> bool:
        """Show a value under the first shape that it has."""
        if self.take_blank(value):
            value, self.key = ABSENT, "" if self.blank is Blank.MISSING else self.blank.value
        chosen: int | None = None
        for place, variant in enumerate(self.shape.options):
            node = self._given(place, variant, value) if chosen is None and value is not ABSENT else None
            if node is not None:
                chosen, self.key = place, str(place)
            self.nodes.append(node or self.builder.given(variant.shape, self._path(place), self._slot(variant), ABSENT))
        return value is ABSENT or chosen is not None

    def _given(self, place: int, variant: Variant, value: Any) -> Node | None:
        node = self.builder.given(variant.shape, self._path(place), self._slot(variant), value)
        return node if _holds(node, value) else None

    def read(self, data: QueryDict) -> None:
        """Take what was sent, for all shapes: whoever goes back to one finds it as it was."""
        self.key = data.get(f"{self.path}!is", "")
        for place, variant in enumerate(self.shape.options):
            self.nodes.append(self.builder.posted(variant.shape, self._path(place), self._slot(variant)))

    def _path(self, place: int) -> str:
        return f"{self.path}!{place}"

    def _slot(self, variant: Variant) -> Slot:
        return Slot(is_bare=True, label=variant.label if variant.label != "Fill in" else "")

    @property
    def chosen(self) -> Node | None:
        """The fields that count."""
        is_place = _is_key(self.key) and int(self.key) < len(self.nodes)
        return self.nodes[int(self.key)] if is_place else None

    @property
    def chosen_tags(self) -> frozenset[str]:
        """What the type's errors call the chosen shape."""
        return frozenset() if self.chosen is None else self.shape.options[int(self.key)].tags

    def value(self) -> Any:
        """Return the JSON value."""
        if self.chosen is not None:
            return self.chosen.value()
        self.blank = next((one for one in self.blanks if one.value == self.key), self.blanks[0])
        if self.blank is Blank.MISSING:
            self.note(CHOOSE_MESSAGE)
        return None if self.blank is Blank.NULL else ABSENT

    def children(self) -> Iterator[Node]:
        """Yield the fields that count."""
        return iter(() if self.chosen is None else (self.chosen,))

    @property
    def alternatives(self) -> Sequence[Alternative]:
        """What one can choose from."""
        words = {Blank.NULL: "None", Blank.ABSENT: "Default"}
        none = [Alternative(one.value, words[one]) for one in self.blanks if one in words]
        options = zip(self.shape.options, self.nodes, strict=True)
        return none + [Alternative(str(place), one.label, node) for place, (one, node) in enumerate(options)]

    @property
    def is_marked_required(self) -> bool:
        """Whether one must be chosen."""
        return Blank.MISSING in self.blanks and self.slot.is_required


def _holds(node: Node, value: Any) -> bool:
    """Tell whether fields hold exactly a value, each in a field of its own."""
    if any(isinstance(one, JsonNode) and one.is_forced for one in walk(node)):
        return False
    held = node.value()
    errors = [error for one in walk(node) for error in one.errors]
    for one in walk(node):
        one.errors.clear()
    # A member that takes its default still is the same value to the type.
    return not errors and (
        held == value or (isinstance(held, dict) and isinstance(value, dict) and value.items() <= held.items())
    )


def walk(node: Node) -> Iterator[Node]:
    """Yield fields and all that is in them."""
    yield node
    for child in node.children():
        yield from walk(child)
