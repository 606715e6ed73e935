"""Words that help to fill in a field: what it takes, within which bounds, for example what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from . import scalars
from .shapes import ABSENT, Flag, Group, JsonShape, Kind, Pairs, Rows, Scalar, Shape

INPUT_MODES = {
    Kind.INTEGER: "numeric",
    Kind.NUMBER: "decimal",
    Kind.DECIMAL: "decimal",
    Kind.EMAIL: "email",
    Kind.URI: "url",
}
_PLACEHOLDERS = {
    Kind.DURATION: "1h 30m",
    Kind.UUID: "00000000-0000-0000-0000-000000000000",
    Kind.URI: "https://",
}
_LONGEST = 80
_MOST_EXAMPLES = 3


def hint(shape: Shape, default: Any) -> str:
    """Return one line: bounds, default, examples; empty where there is nothing to say."""
    parts = [_bounds(shape), _pattern(shape.schema), _default(shape, default), _examples(shape.schema)]
    return " ".join(f"{part}." for part in parts if part)


def kind_of(shape: Shape) -> str:
    """Return what a value is called that has no name."""
    words: dict[type[Shape], str] = {
        Flag: "Yes or no", Rows: "List", Pairs: "Names and values", Group: "Values", JsonShape: "JSON",
    }  # fmt: skip
    if isinstance(shape, Scalar):
        return shape.kind[:1].upper() + shape.kind[1:]
    return words.get(type(shape), "Value")


def placeholder(kind: Kind) -> str:
    """Return what stands in a field while it is empty."""
    return _PLACEHOLDERS.get(kind, "")


def said(value: Any) -> str:
    """Return a value in words, cut if it is long."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _bounds(shape: Shape) -> str:
    schema = shape.schema
    if isinstance(shape, Scalar):
        if shape.kind in (Kind.INTEGER, Kind.NUMBER, Kind.DECIMAL):
            return _numbers(schema)
        # 2,083 characters of a web address are nobody's concern.
        return "" if shape.kind is Kind.URI else _counted(schema, "minLength", "maxLength", "character")
    if isinstance(shape, Rows):
        distinct = "all different" if schema.get("uniqueItems") is True else ""
        return ", ".join(filter(None, (_counted(schema, "minItems", "maxItems", "entry"), distinct))).capitalize()
    return _counted(schema, "minProperties", "maxProperties", "entry") if isinstance(shape, Pairs) else ""


def _numbers(schema: Mapping[str, Any]) -> str:
    least, most = _number(schema.get("minimum")), _number(schema.get("maximum"))
    above, below = _number(schema.get("exclusiveMinimum")), _number(schema.get("exclusiveMaximum"))
    if least and most:
        text = f"{least} to {most}"
    else:
        words = {"at least": least, "more than": above, "at most": most, "less than": below}
        text = ", ".join(f"{word} {bound}" for word, bound in words.items() if bound)
    step = _number(schema.get("multipleOf"))
    return ", ".join(filter(None, (text, step and f"a multiple of {step}"))).capitalize()


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _counted(schema: Mapping[str, Any], least_key: str, most_key: str, word: str) -> str:
    least, most = schema.get(least_key), schema.get(most_key)
    least = least if isinstance(least, int) and least > 1 else None
    most = most if isinstance(most, int) else None
    many = "entries" if word == "entry" else f"{word}s"
    if least and most:
        return f"{least:,} {many}" if least == most else f"{least:,} to {most:,} {many}"
    if most:
        return f"At most {most:,} {many if most > 1 else word}"
    return f"At least {least:,} {many}" if least else ""


def _pattern(schema: Mapping[str, Any]) -> str:
    pattern = schema.get("pattern")
    return f"Written as {pattern[:_LONGEST]}" if isinstance(pattern, str) and "(?!" not in pattern else ""


def _default(shape: Shape, default: Any) -> str:
    is_plain = isinstance(shape, Scalar)
    is_telling = default is not ABSENT and default is not None and default not in ("", [], {})
    is_secret = isinstance(shape, Scalar) and shape.kind is Kind.SECRET
    if not (is_plain and is_telling and not is_secret):
        return ""
    shown = scalars.show(shape.kind, default) if isinstance(shape, Scalar) else None
    return f"Default: {said(shown.text if shown else default)}"


def _examples(schema: Mapping[str, Any]) -> str:
    examples = schema.get("examples")
    if not isinstance(examples, list) or not examples:
        return ""
    return "For example " + ", ".join(said(one) for one in examples[:_MOST_EXAMPLES])
