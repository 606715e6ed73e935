"""Typed forms: fields made from the type of a value, and the JSON value back from what somebody sends.

One engine serves the start of orchestrations, the answers to questions, and the Django admin::

    form = TypedForm.of_type(Order, prefix="input")
    bound = form.posted(request.POST) if request.method == "POST" else form.empty()
    if not bound.is_edit and bound.is_valid():
        start(bound.value)
    # otherwise: {% load typed_forms %} {% error_summary bound %} {% typed_fields bound %} {% json_toggle bound %}

The fields send exactly the JSON that the type accepts. Where a Python type is at hand it checks the value itself, as
:meth:`DurableClient.prepare` does; its errors stand beside their fields. Of an external event only the JSON schema is
known, which the instance wrote down when it began to wait: then the words of the schema are checked here, and the host
checks the data by the type again when the orchestrator takes it.

What a schema says that fields cannot (any value, a type that contains itself without end, odd unions) is typed as JSON,
and so is a given value that does not fit into its fields: nothing is lost on the way through a form.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict
from pydantic_core import from_json

from . import checks
from .building import FormBuilder, TooManyFieldsError
from .checks import Check
from .containers import GroupNode, PairsNode, RowsNode, VariantsNode, walk
from .nodes import JsonNode, Node
from .reading import read
from .shapes import ABSENT, Scalar, Shape
from .shapes import Kind as ScalarKind
from .slots import Slot

__all__ = ["ABSENT", "BoundForm", "Shown", "TypedForm"]

#: the name of the buttons that change the form itself: add a row, take one away, show it as JSON
PRESS = "!op"
MASK = "********"


@dataclass(frozen=True, slots=True)
class Shown:
    """An error as the summary has it."""

    label: str
    message: str
    #: id of the field
    anchor: str


@dataclass(frozen=True, slots=True)
class TypedForm:
    """A form for values of one type."""

    shape: Shape
    check: Check
    prefix: str
    slot: Slot

    @classmethod
    def of_type(cls, type_: Any, *, prefix: str, label: str = "", is_required: bool = True) -> TypedForm:
        """Make the form of a Python type.

        Args:
            type_: whatever pydantic knows: a model, a dataclass, ``int``, ``list[Order]``, ``Any``.
            prefix: letters that all its names in the page begin with.
            label: what it is called, where it is a single field.
            is_required: whether there must be a value; otherwise it may be ABSENT.
        """
        shape = read(checks.schema_of_type(type_))
        return cls(shape, checks.by_type(type_), prefix, Slot(is_required, label=label))

    @classmethod
    def of_schema(cls, schema: Any, *, prefix: str, label: str = "", is_required: bool = True) -> TypedForm:
        """Make the form of a JSON schema: a dict, or its text; None for any JSON. Otherwise as :meth:`of_type`."""
        shape = read(_parsed(schema))
        return cls(shape, checks.by_shape(shape), prefix, Slot(is_required, label=label))

    def empty(self, *, as_json: bool = False) -> BoundForm:
        """Return it as somebody first sees it, with its defaults; as JSON, those stand there to go on from."""
        fresh = self.filled(ABSENT)
        return fresh if not as_json or fresh.is_json else self.filled(fresh.root.value(), as_json=True)

    def filled(self, value: Any, *, as_json: bool = False) -> BoundForm:
        """Return it with a JSON value."""
        if not as_json:
            try:
                return BoundForm(self, FormBuilder().given(self.shape, self.prefix, self.slot, value))
            except TooManyFieldsError:
                pass
        node = JsonNode(self.shape, self.prefix, self.slot, is_forced=True)
        node.give(value)
        return BoundForm(self, node)

    def posted(self, data: QueryDict) -> BoundForm:
        """Return it with what somebody has sent: all of it stays, right or wrong."""
        verb, _, where = data.get(PRESS, "").partition(":")
        try:
            node = FormBuilder(data, (verb, where)).posted(self.shape, self.prefix, self.slot)
        except TooManyFieldsError as error:
            bound = self.empty(as_json=True)
            bound.add_error(str(error))
            return bound
        bound = BoundForm(self, node, is_edit=PRESS in data)
        return self._turned(bound, verb) if where == self.prefix and verb in ("json", "form") else bound

    def _turned(self, bound: BoundForm, verb: str) -> BoundForm:
        """Return it in its other dress, with the same value; JSON that is none stays as it is."""
        value = bound.root.value()
        is_unreadable = isinstance(bound.root, JsonNode) and bool(bound.root.errors)
        if is_unreadable or (verb == "json") == bound.is_json:
            return bound
        turned = self.filled(value, as_json=verb == "json")
        turned.is_edit = True
        return turned


class BoundForm:
    """A form with what stands in it.

    Attributes:
        root: its field, or its fields.
        is_edit: whether a button was pressed that changes the form itself. Then show it again, and do nothing else.
    """

    def __init__(self, form: TypedForm, root: Node, *, is_edit: bool = False) -> None:
        self.form = form
        self.root = root
        self.is_edit = is_edit
        self._value: Any = ABSENT
        self._is_checked = False
        self._others: list[Shown] = []

    @property
    def is_json(self) -> bool:
        """Whether all of it is one field for JSON."""
        return isinstance(self.root, JsonNode)

    @property
    def can_turn(self) -> bool:
        """Whether it has another dress than JSON, and fits into it."""
        return not (isinstance(self.root, JsonNode) and not self.root.is_forced)

    @property
    def is_plain(self) -> bool:
        """Whether the fields need no frame of their own."""
        return isinstance(self.root, GroupNode)

    def is_valid(self) -> bool:
        """Tell whether it has a value that fits; what does not is noted beside its field."""
        if not self._is_checked:
            self._is_checked = True
            self._value = self.root.value()
            if self._value is not ABSENT or self.form.slot.is_required:
                for where, message in self.form.check(None if self._value is ABSENT else self._value):
                    self._note(where, message)
        return not self.summary

    @property
    def value(self) -> Any:
        """The JSON value; ABSENT where there is none."""
        self.is_valid()
        return self._value

    @property
    def draft(self) -> Any:
        """What stands in it now, right or wrong, with its secrets hidden: to be shown. No errors come of it."""
        before = [(node, list(node.errors)) for node in walk(self.root)]
        value = _masked(self.root, self.root.value())
        for node, errors in before:
            node.errors[:] = errors
        return value

    def add_error(self, message: str, loc: Sequence[str | int] = ()) -> None:
        """Note an error that somebody else has found.

        Args:
            message: in words for people.
            loc: where it is, as pydantic says it.
        """
        self.is_valid()
        self._note(tuple(loc), message)

    @property
    def summary(self) -> list[Shown]:
        """All errors, in the order of the page."""
        return [Shown(label, message, node.path) for label, node in _named(self.root) for message in node.errors]

    def _note(self, where: tuple[str | int, ...], message: str) -> None:
        found = _located(self.root, where)
        if found is None:
            return
        node, rest = found
        # What could not be read as typed is told already, and better.
        if not node.errors or not _is_of_form(node.errors[0]):
            named = ".".join(map(str, rest))
            node.note(f"{named}: {message}" if named and isinstance(node, JsonNode) else message)


def _named(node: Node, around: str = "", *, is_root: bool = True) -> Iterator[tuple[str, Node]]:
    """Yield all fields, named so that one finds them in the page: ``Legs 2, To``."""
    own = "" if node.slot.is_bare or (is_root and isinstance(node, GroupNode)) else node.label
    name = ", ".join(filter(None, (around, own)))
    yield name, node
    for place, child in enumerate(node.children()):
        is_numbered = isinstance(node, RowsNode)
        yield from _named(child, f"{name} {place + 1}" if is_numbered else name, is_root=False)


def _is_of_form(message: str) -> bool:
    return message.startswith(("Type ", "Fill ", "Choose ", "Give ", "This is not JSON", "That number"))


def _located(node: Node, where: tuple[str | int, ...]) -> tuple[Node, tuple[str | int, ...]] | None:
    """Return the field that an error is about, and the way on that has no fields.

    None for an error that is about another shape than the chosen one.
    """
    for place, part in enumerate(where):
        if isinstance(node, JsonNode):
            return node, where[place:]
        if isinstance(node, PairsNode) and where[place + 1 :] == ("[key]",):
            return node.step_to_name(part) or node, ()
        if isinstance(node, VariantsNode):
            if node.chosen is None:
                return node, ()
            others = frozenset().union(*(one.tags for one in node.shape.options)) - node.chosen_tags
            if part in others and node.chosen.step(part) is None:
                return None
            node = node.chosen
        node = node.step(part) or node
    if isinstance(node, VariantsNode) and node.chosen is not None:
        return node.chosen, ()
    return node, ()


def _masked(node: Node, value: Any) -> Any:
    if isinstance(node.shape, Scalar) and node.shape.kind is ScalarKind.SECRET:
        return MASK if isinstance(value, str) and value else value
    if isinstance(node, VariantsNode) and node.chosen is not None:
        return _masked(node.chosen, value)
    if isinstance(value, dict):
        return {name: _masked_part(node, name, one) for name, one in value.items()}
    if isinstance(value, list):
        return [_masked_part(node, place, one) for place, one in enumerate(value)]
    return value


def _masked_part(node: Node, part: str | int, value: Any) -> Any:
    inner = node.step(part)
    return value if inner is None else _masked(inner, value)


def _parsed(schema: Any) -> Any:
    if not isinstance(schema, str | bytes):
        return schema
    try:
        return from_json(schema)
    except ValueError:
        return {}
