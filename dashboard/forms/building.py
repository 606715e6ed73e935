"""From shapes to fields: filled with a value, or with what somebody has sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from django.http import QueryDict

from .containers import GroupNode, PairsNode, RowsNode, VariantsNode
from .nodes import ChoiceNode, FixedNode, FlagNode, JsonNode, Node, ScalarNode
from .shapes import ABSENT, Choice, Fixed, Flag, Group, Option, Pairs, Rows, Scalar, Shape, Variant, Variants
from .slots import Slot

_MOST_NODES = 3_000


class TooManyFieldsError(ValueError):
    """A form would become too large to be one."""


@dataclass
class FormBuilder:
    """Builds the fields of one form."""

    #: what was sent
    data: QueryDict = field(default_factory=QueryDict)
    #: what was pressed besides: "add" or "remove", and where
    press: tuple[str, str] = ("", "")
    left: int = _MOST_NODES

    def given(self, shape: Shape, path: str, slot: Slot, value: Any) -> Node:
        """Return fields that hold a value; as JSON, where it does not fit into the fields."""
        value = slot.default if value is ABSENT else value
        node = self._made(shape, path, slot)
        if not node.give(value):
            node = JsonNode(shape, path, slot, is_forced=True)
            node.give(value)
        return node

    def posted(self, shape: Shape, path: str, slot: Slot) -> Node:
        """Return fields that hold what was sent."""
        is_forced = f"{path}!json" in self.data
        node = JsonNode(shape, path, slot, is_forced=True) if is_forced else self._made(shape, path, slot)
        node.read(self.data)
        return node

    def _made(self, shape: Shape, path: str, slot: Slot) -> Node:
        self.left -= 1
        if self.left < 0:
            raise TooManyFieldsError("This has too many fields for a form. Edit it as JSON.")
        can_be_none = shape.is_nullable or (not slot.is_required and slot.default is ABSENT)
        if can_be_none:
            shape = _with_none(shape)
        if isinstance(shape, Scalar):
            return ScalarNode(shape, path, slot)
        if isinstance(shape, Choice):
            return ChoiceNode(shape, path, slot)
        leaves: dict[type[Shape], type[Node]] = {Flag: FlagNode, Fixed: FixedNode}
        if type(shape) in leaves:
            return leaves[type(shape)](shape, path, slot)
        containers = {Group: GroupNode, Rows: RowsNode, Pairs: PairsNode, Variants: VariantsNode}
        found = containers.get(type(shape))
        return JsonNode(shape, path, slot) if found is None else found(shape, path, slot, self)


def _with_none(shape: Shape) -> Shape:
    """Return a shape in which one can choose that there is no value."""
    common: dict[str, Any] = {
        "schema": shape.schema, "label": shape.label, "help": shape.help, "is_nullable": shape.is_nullable,
    }  # fmt: skip
    if isinstance(shape, Flag):
        return Choice(**common, options=(Option(True, "Yes"), Option(False, "No")))
    if isinstance(shape, Fixed) and shape.value is not None:
        return Choice(**common, options=(Option(shape.value, str(shape.value)),))
    if isinstance(shape, Group):
        inner = replace(shape, is_nullable=False, help="")
        return Variants(**common, options=(Variant(label="Fill in", shape=inner),))
    return shape
