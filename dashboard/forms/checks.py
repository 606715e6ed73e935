"""Whether a JSON value fits: by its Python type where there is one, by the words of its schema otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from typing import Any, cast
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema, to_json

from durable_host.core.payload import adapter_of

from . import hints
from .scalars import Typed, UnreadableError, parse
from .shapes import Choice, Fixed, Flag, Group, Kind, Pairs, Rows, Scalar, Shape, Variants

#: where, as pydantic says it, and what is wrong there
Problem = tuple[tuple[str | int, ...], str]
Check = Callable[[Any], list[Problem]]

_MOST = 100


class FormSchema(GenerateJsonSchema):
    """Pydantic's schema, which says in addition what a form must tell apart."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Say that it is a decimal number, which travels as text to keep its digits."""
        words = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
        given = cast("Mapping[str, Any]", schema)
        bounds = {word: float(given[key]) for key, word in words.items() if given.get(key) is not None}
        return {"type": "string", "format": "decimal", **bounds}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        """Say whether a time may have a zone."""
        constraint = schema.get("tz_constraint")
        return {**super().datetime_schema(schema), **({"x-zone": constraint} if isinstance(constraint, str) else {})}


def schema_of_type(type_: Any) -> Any:
    """Return the schema of a type; of one that pydantic cannot describe, the schema of everything."""
    try:
        return adapter_of(type_).json_schema(schema_generator=FormSchema)
    except Exception:  # the user's type: whatever its schema hooks raise
        return {}


def by_type(type_: Any) -> Check:
    """Check as the client does: by the type itself."""
    if type_ is Any:
        return lambda value: []
    return lambda value: _type_problems(adapter_of(type_), value)


def _type_problems(adapter: TypeAdapter[Any], value: Any) -> list[Problem]:
    try:
        adapter.validate_json(to_json(value, inf_nan_mode="constants"), by_alias=True, by_name=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return [(one["loc"], _kindly(one["type"], one["msg"])) for one in found[:_MOST]]
    except Exception as error:  # the user's type: a validator of it
        return [((), str(error) or type(error).__name__)]
    return []


def _kindly(kind: str, message: str) -> str:
    if kind == "missing":
        return "Fill this in."
    text = message.removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ").removeprefix("Value ")
    text = f"It {text}" if text.startswith(("should ", "must ", "has ", "is ")) else text
    return text if text.endswith((".", "!", "?")) else f"{text}."


# --- by the schema ---------------------------------------------------------------------------------------------------


def by_shape(shape: Shape) -> Check:
    """Check by the words of a schema. The host checks again by the type, when the value arrives there."""
    return lambda value: list(_problems(shape, value, ()))[:_MOST]


def _problems(shape: Shape, value: Any, where: tuple[str | int, ...]) -> Iterator[Problem]:
    if value is None and shape.is_nullable:
        return
    checks: dict[type[Shape], Callable[..., Iterator[Problem]]] = {
        Scalar: _scalar, Flag: _flag, Choice: _choice, Fixed: _choice, Group: _group, Rows: _rows, Pairs: _pairs,
        Variants: _variants,
    }  # fmt: skip
    check = checks.get(type(shape))
    if check is not None:
        yield from check(shape, value, where)


def _flag(shape: Flag, value: Any, where: tuple[str | int, ...]) -> Iterator[Problem]:
    if not isinstance(value, bool):
        yield where, "It should be true or false."


def _choice(shape: Choice | Fixed, value: Any, where: tuple[str | int, ...]) -> Iterator[Problem]:
    values = [shape.value] if isinstance(shape, Fixed) else [option.value for option in shape.options]
    if to_json(value) not in [to_json(one) for one in values]:
        yield where, f"It should be {' or '.join(hints.said(one) for one in values[:5])}."


def _scalar(shape: Scalar, value: Any, where: tuple[str | int, ...]) -> Iterator[Problem]:
    if shape.kind in (Kind.INTEGER, Kind.NUMBER, Kind.DECIMAL):
        yield from _number(shape, value, where)
    elif not isinstance(value, str):
        yield where, "It should be a text."
    else:
        yield from ((where, problem) for problem in _text(shape, value))


def _number(shape: Scalar, value: Any, where: tuple[str | int, ...]) -> Iterator[Problem]:
    is_text = shape.kind is Kind.DECIMAL and isinstance(value, str)
    try:
        number = float(parse(shape.kind, Typed(value))) if is_text else value
    except UnreadableError as error:
        yield where, str(error)
        return
    kinds = int if shape.kind is Kind.INTEGER else (int, float)
    if isinstance(number, bool) or not isinstance(number, kinds):
        yield where, "It should be a whole number." if kinds is int else "It should be a number."
        return
    tests: dict[str, tuple[str, Callable[[float], bool]]] = {
        "minimum": ("at least", lambda bound: number >= bound),
        "exclusiveMinimum": ("more than", lambda bound: number > bound),
        "maximum": ("at most", lambda bound: number <= bound),
        "exclusiveMaximum": ("less than", lambda bound: number < bound),
        "multipleOf": ("a multiple of", lambda bound: bound == 0 or abs(number / bound - round(number / bound)) < 1e-9),
    }
    for key, (words, holds) in tests.items():
        bound = shape.schema.get(key)
        if isinstance(bound, int | float) and not holds(bound):
            yield where, f"It should be {words} {bound:g}."


def _text(shape: Scalar, value: str) -> Iterator[str]:
    least, most, pattern = (shape.schema.get(key) for key in ("minLength", "maxLength", "pattern"))
    if isinstance(least, int) and len(value) < least:
        yield f"It should have at least {least:,} characters."
    if isinstance(most, int) and len(value) > most:
        yield f"It should have at most {most:,} characters."
    if isinstance(pattern, str) and _is_refused(pattern, value):
        yield f"It should be written as {pattern[:80]}."
    reader = _READERS.get(shape.kind)
    try:
        if reader is not None:
            reader(value)
    except ValueError:
        yield f"It should be a {shape.kind}." if shape.kind is not Kind.EMAIL else "It should be an email address."


def _is_refused(pattern: str, value: str) -> bool:
    try:
        # Long texts are left to the host: a pattern may take ages on them.
        return len(value) <= 1_000 and not re.search(pattern, value)
    except (re.error, RecursionError):
        return False


def _email(text: str) -> None:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError


_READERS: dict[Kind, Callable[[str], Any]] = {
    Kind.DATE: date.fromisoformat,
    Kind.TIME: time.fromisoformat,
    Kind.DATETIME: datetime.fromisoformat,
    Kind.UUID: UUID,
    Kind.DURATION: lambda text: parse(Kind.DURATION, Typed(text)),
    Kind.EMAIL: _email,
}


def _group(shape: Group, value: Any, where: tuple[str | int, ...]) -> Iterator[Problem]:
    if not isinstance(value, list if shape.is_list else dict):
        yield where, "It should be a list." if shape.is_list else "It should be a set of names and values."
        return
    given: dict[str, Any] = {str(place): one for place, one in enumerate(value)} if shape.is_list else dict(value)
    for member in shape.members:
        if member.name in given:
            yield from _problems(member.shape, given[member.name], (*where, member.name))
        elif member.is_required:
            yield (*where, member.name), "Fill this in."
    unknown = [name for name in given if name not in {member.name for member in shape.members}]
    if shape.extras is not None:
        yield from _pairs(shape.extras, {name: given[name] for name in unknown}, where)
    elif unknown and (shape.is_list or shape.schema.get("additionalProperties") is False):
        yield where, f"There is no place for {', '.join(unknown[:5])}."


def _rows(shape: Rows, value: Any, where: tuple[str | int, ...]) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield where, "It should be a list."
        return
    yield from _count(shape, len(value), where, "minItems", "maxItems")
    if shape.schema.get("uniqueItems") is True and len({to_json(one) for one in value}) < len(value):
        yield where, "Its entries should all be different."
    for place, one in enumerate(value):
        yield from _problems(shape.item, one, (*where, place))


def _pairs(shape: Pairs, value: Any, where: tuple[str | int, ...]) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield where, "It should be a set of names and values."
        return
    yield from _count(shape, len(value), where, "minProperties", "maxProperties")
    for name, one in value.items():
        yield from _problems(shape.key, name, (*where, name, "[key]"))
        yield from _problems(shape.value, one, (*where, name))


def _count(shape: Shape, count: int, where: tuple[str | int, ...], least: str, most: str) -> Iterator[Problem]:
    fewest, greatest = shape.schema.get(least), shape.schema.get(most)
    if isinstance(fewest, int) and count < fewest:
        yield where, f"It should have at least {fewest:,} entries."
    if isinstance(greatest, int) and count > greatest:
        yield where, f"It should have at most {greatest:,} entries."


def _variants(shape: Variants, value: Any, where: tuple[str | int, ...]) -> Iterator[Problem]:
    found = [list(_problems(one.shape, value, where)) for one in shape.options]
    if all(found):
        # What is nearest to one of the shapes is most likely meant to be it.
        yield from min(found, key=len)
