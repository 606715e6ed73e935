"""JSON schemas, read into shapes. Whatever has no shape of its own is typed as JSON, so every schema has a form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .shapes import (
    ABSENT,
    Choice,
    Fixed,
    Flag,
    Group,
    JsonShape,
    Kind,
    Member,
    Option,
    Pairs,
    Rows,
    Scalar,
    Shape,
    Variant,
    Variants,
)

#: how often a type may contain itself before it is typed as JSON
_REPEATS = 2
_DEEPEST = 10
#: shapes of one schema; a schema that grows beyond has its rest as JSON
_MOST_SHAPES = 600
_MOST_OPTIONS = 500
_MOST_VARIANTS = 12

_FORMATS = {
    "date": Kind.DATE,
    "time": Kind.TIME,
    "date-time": Kind.DATETIME,
    "duration": Kind.DURATION,
    "uuid": Kind.UUID,
    "email": Kind.EMAIL,
    "uri": Kind.URI,
    "password": Kind.SECRET,
    "decimal": Kind.DECIMAL,
    "textarea": Kind.LONG_TEXT,
    "multiline": Kind.LONG_TEXT,
}
#: JSON schema's words for types → pydantic's, which its errors use
_TAGS = {"integer": "int", "string": "str", "number": "float", "boolean": "bool", "array": "list", "object": "dict"}
_WORDS = {
    Flag: "Yes or no",
    Rows: "List",
    Pairs: "Names and values",
    JsonShape: "JSON",
    Choice: "One of a few",
}


def read(schema: Any) -> Shape:
    """Return the shape of a JSON schema (2020-12, as pydantic writes it), whatever it is."""
    try:
        return _Reader(schema if isinstance(schema, Mapping) else {}).shape(schema, ())
    except (RecursionError, TypeError, ValueError, KeyError):  # no schema that anybody meant
        return JsonShape()


def humanized(name: str) -> str:
    """Return a name in code as a label: ``order_id`` → ``Order id``."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:] if words else name


@dataclass
class _Reader:
    """Reads one schema, with its definitions."""

    root: Mapping[str, Any]
    left: int = field(default=_MOST_SHAPES)

    def shape(self, schema: Any, path: tuple[str, ...], name: str = "") -> Shape:
        """Return the shape of a part; ``path`` has the references that lead to it."""
        self.left -= 1
        if not isinstance(schema, Mapping) or self.left < 0 or len(path) > _DEEPEST * (_REPEATS + 1):
            return JsonShape(label=humanized(name))
        resolved, path = self._resolved(schema, path)
        if resolved is None:
            return JsonShape(label=_label(schema, name), help=_text(schema.get("description")))
        found = self._by_keyword(resolved, path)
        return replace(
            found,
            schema=resolved if not found.schema else found.schema,
            label=_label(resolved, name),
            help=_text(resolved.get("description")) or found.help,
            is_nullable=found.is_nullable,
        )

    def _resolved(
        self, schema: Mapping[str, Any], path: tuple[str, ...]
    ) -> tuple[Mapping[str, Any] | None, tuple[str, ...]]:
        """Follow references; None where one leads nowhere or to itself too often."""
        while True:
            whole = schema.get("allOf")
            if isinstance(whole, list) and len(whole) == 1 and isinstance(whole[0], Mapping):
                schema = {**whole[0], **{key: value for key, value in schema.items() if key != "allOf"}}
            if "$ref" not in schema:
                return schema, path
            reference = schema["$ref"]
            target = self._target(reference)
            if target is None or path.count(reference) > _REPEATS or len(path) > _DEEPEST * (_REPEATS + 1):
                return None, path
            own = {key: value for key, value in schema.items() if key != "$ref"}
            schema, path = {**target, **own}, (*path, reference)

    def _target(self, reference: Any) -> Mapping[str, Any] | None:
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return None
        found: Any = self.root
        for part in reference[2:].split("/"):
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else None

    def _by_keyword(self, schema: Mapping[str, Any], path: tuple[str, ...]) -> Shape:
        for keyword in ("anyOf", "oneOf"):
            if isinstance(schema.get(keyword), list):
                return self._union(schema, schema[keyword], path)
        if isinstance(schema.get("type"), list):
            rest = {key: value for key, value in schema.items() if key not in ("type", "title", "description")}
            return self._union(schema, [{**rest, "type": one} for one in schema["type"]], path)
        if "const" in schema:
            return Fixed(value=schema["const"])
        if isinstance(schema.get("enum"), list) and 0 < len(schema["enum"]) <= _MOST_OPTIONS:
            return _choice([(value, "") for value in schema["enum"]])
        if schema.get("contentMediaType") == "application/json" or "allOf" in schema or "not" in schema:
            return JsonShape()
        readers: dict[Any, Callable[..., Shape]] = {
            "object": self._object, "array": self._array, "boolean": lambda *_: Flag(),
            "null": lambda *_: Fixed(value=None), "string": _scalar, "integer": _scalar, "number": _scalar,
        }  # fmt: skip
        reader = readers.get(schema.get("type")) if isinstance(schema.get("type"), str) else None
        return reader(schema, path) if reader else JsonShape()

    def _union(self, schema: Mapping[str, Any], parts: Sequence[Any], path: tuple[str, ...]) -> Shape:
        real = [part for part in parts if not (isinstance(part, Mapping) and part.get("type") == "null")]
        is_nullable = len(real) < len(parts)
        if not real:
            return Fixed(value=None)
        if [part.get("type") if isinstance(part, Mapping) else None for part in real] == ["number", "string"]:
            # How pydantic writes Decimal. As text it keeps all its digits.
            return Scalar(kind=Kind.DECIMAL, schema={**real[1], **real[0], **schema}, is_nullable=is_nullable)
        if len(real) == 1:
            only = self.shape({**_mapping(real[0]), **_words_of(schema)}, path)
            return replace(only, is_nullable=is_nullable or only.is_nullable)
        if len(real) > _MOST_VARIANTS:
            return JsonShape(is_nullable=is_nullable)
        shapes = [self.shape(part, path) for part in real]
        constants = _constants(shapes)
        if constants is not None:
            return replace(_choice(constants), is_nullable=is_nullable)
        variants = [
            Variant(label=_name_of(one), shape=one, tags=self._tags(part, one))
            for part, one in zip(real, shapes, strict=True)
        ]
        return Variants(options=_told_apart(variants), is_nullable=is_nullable)

    def _tags(self, part: Any, shape: Shape) -> frozenset[str]:
        schema = _mapping(part)
        tags = {str(schema.get("$ref", "")).rpartition("/")[2], _text(shape.schema.get("title"))}
        tags.add(_TAGS.get(_text(shape.schema.get("type")), ""))
        if isinstance(shape, Group):
            tags |= {str(one.shape.value) for one in shape.members if isinstance(one.shape, Fixed)}
        return frozenset(tags - {""})

    # --- objects and arrays ----------------------------------------------------------------------------------------

    def _object(self, schema: Mapping[str, Any], path: tuple[str, ...]) -> Shape:
        properties = _mapping(schema.get("properties"))
        extras = self._pairs(schema, path)
        if not properties:
            return extras or (Group(members=()) if schema.get("additionalProperties") is False else JsonShape())
        required = schema.get("required")
        required = required if isinstance(required, list) else []
        members = tuple(
            Member(
                name=str(name),
                shape=self.shape(part, path, str(name)),
                is_required=name in required,
                default=ABSENT if name in required else _mapping(part).get("default", ABSENT),
            )
            for name, part in properties.items()
        )
        return Group(members=members, extras=extras)

    def _pairs(self, schema: Mapping[str, Any], path: tuple[str, ...]) -> Pairs | None:
        patterns = _mapping(schema.get("patternProperties"))
        key: Mapping[str, Any] = {"type": "string", **_mapping(schema.get("propertyNames"))}
        value = schema.get("additionalProperties")
        if len(patterns) == 1 and not value:
            pattern, value = next(iter(patterns.items()))
            key = {"type": "string", "pattern": pattern}
        if value is None or value is False:
            return None
        key_shape = self.shape(key, path)
        if not isinstance(key_shape, Choice | Fixed):
            key_shape = Scalar(kind=Kind.TEXT, schema=key_shape.schema)
        return Pairs(key=replace(key_shape, label="Name"), value=self.shape(value, path))

    def _array(self, schema: Mapping[str, Any], path: tuple[str, ...]) -> Shape:
        places = schema.get("prefixItems")
        if not isinstance(places, list):
            return Rows(item=self.shape(schema.get("items", {}), path))
        if schema.get("items", False) not in (False, None) and schema.get("maxItems") != len(places):
            return JsonShape()
        fewest = schema.get("minItems", len(places))
        members = tuple(
            Member(
                name=str(place),
                shape=self.shape(part, path, _text(_mapping(part).get("title")) or str(place + 1)),
                is_required=not isinstance(fewest, int) or place < fewest,
                default=_mapping(part).get("default", ABSENT),
            )
            for place, part in enumerate(places)
        )
        return Group(members=members, is_list=True)


def _scalar(schema: Mapping[str, Any], _: Any) -> Scalar:
    if schema["type"] != "string":
        return Scalar(kind=Kind.INTEGER if schema["type"] == "integer" else Kind.NUMBER)
    format_ = schema.get("format")
    return Scalar(kind=_FORMATS.get(format_, Kind.TEXT) if isinstance(format_, str) else Kind.TEXT)


def _choice(values: Sequence[tuple[Any, str]]) -> Shape:
    is_nullable = any(value is None for value, _ in values)
    options = tuple(Option(value, label or _said(value)) for value, label in values if value is not None)
    return Choice(options=options, is_nullable=is_nullable) if options else Fixed(value=None)


def _constants(shapes: Sequence[Shape]) -> list[tuple[Any, str]] | None:
    """Return the values of a union of constants and enumerations, None where it has another part."""
    found: list[tuple[Any, str]] = []
    for shape in shapes:
        if isinstance(shape, Fixed):
            found.append((shape.value, ""))
        elif isinstance(shape, Choice) and not shape.is_nullable:
            found += [(option.value, option.label) for option in shape.options]
        else:
            return None
    return found


def _name_of(shape: Shape) -> str:
    if shape.label:
        return shape.label
    if isinstance(shape, Scalar):
        return humanized(shape.kind)
    if isinstance(shape, Rows):
        return f"List of {_name_of(shape.item).lower()}"
    return _said(shape.value) if isinstance(shape, Fixed) else _WORDS.get(type(shape), "Value")


def _told_apart(variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """Return variants whose labels differ."""
    seen: Counter[str] = Counter()
    told = []
    for one in variants:
        seen[one.label] += 1
        count = seen[one.label]
        told.append(one if count == 1 else replace(one, label=f"{one.label} ({count})"))
    return tuple(told)


def _label(schema: Mapping[str, Any], name: str) -> str:
    title = _text(schema.get("title"))
    # Pydantic makes titles of names: Order Id. Labels here are written as sentences: Order id.
    if name and (not title or title.replace(" ", "").lower() == name.replace("_", "").lower()):
        return humanized(name)
    return title


def _said(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _words_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: schema[key] for key in ("title", "description", "examples", "default") if key in schema}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
