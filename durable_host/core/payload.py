"""User values as JSON text, and back: the one boundary where what cannot be stored is refused.

The rules are stricter than any one database's, so that a value accepted on SQLite is accepted on PostgreSQL too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from .errors import PayloadError

DEFAULT_MAX_BYTES = 1024 * 1024
MAX_DEPTH = 100

#: longer whole numbers are refused: Python itself no longer reads them back (sys.int_info.default_max_str_digits)
_MAX_DIGITS = 4_300
_LONG_NUMBER = re.compile(rb"(?<![0-9])[0-9]{%d}" % (_MAX_DIGITS + 1))
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.S)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"
_TOO_LONG_NUMBER = f"it holds a number of more than {_MAX_DIGITS:,} digits"
_NOT_A_NUMBER = "it holds NaN or infinity, which JSON does not have: send null or a string"
_NUL = "it holds a NUL character (U+0000): remove it"
_HALF_A_PAIR = "it holds half of a surrogate pair, which is not text"


@dataclass(frozen=True, slots=True)
class PayloadCodec:
    """Converts and checks user values. One instance serves a whole host."""

    #: largest accepted JSON text in bytes
    max_bytes: int = DEFAULT_MAX_BYTES

    def dumps(self, value: Any, what: str) -> str:
        """Return ``value`` as compact JSON text.

        Dataclasses, pydantic models, enums, dates, Decimal, UUID, sets and tuples are accepted, nested at will.

        Args:
            value: what to store.
            what: name of the argument or result, for the error message.

        Raises:
            PayloadError: NaN or infinity, NUL, a lone surrogate, a number of more than 4,300 digits, more than 100
                levels, more than ``max_bytes`` bytes, or an object that has no JSON form.
        """
        try:
            text = to_json(value, inf_nan_mode="constants")
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            raise PayloadError(f"{what} cannot be stored: {_explain(error)}.") from error
        self._check(text, what)
        return text.decode()

    def check_json(self, text: str | bytes, what: str) -> str:
        """Return JSON text that came from outside in stored form, after the same checks as :meth:`dumps`.

        Raises:
            PayloadError: as :meth:`dumps`, and for text that is not JSON.
        """
        raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        if len(raw) > self.max_bytes:
            raise PayloadError(self._too_large(len(raw), what))
        try:
            value = from_json(raw, allow_inf_nan=False)
        except ValueError as error:
            raise PayloadError(f"{what} is not JSON that can be stored: {_explain(error)}.") from error
        return self.dumps(value, what)

    def loads(self, text: str | None, type_: Any, what: str) -> Any:
        """Return the value in ``text`` as ``type_`` (``typing.Any`` leaves plain JSON values; None text is null).

        Raises:
            PayloadError: the value does not fit the type; the message names the field.
        """
        raw = "null" if text is None else text
        if type_ is Any:
            return from_json(raw)
        try:
            return adapter_of(type_).validate_json(raw, by_alias=True, by_name=True)
        except ValidationError as error:
            raise PayloadError(f"{what} does not fit {describe_type(type_)}: {_fields_of(error)}.") from error
        except Exception as error:  # user code: a validator of the type; or pydantic does not know the type
            raise PayloadError(f"{what} cannot be read as {describe_type(type_)}: {error}") from error

    def _check(self, text: bytes, what: str) -> None:
        if len(text) > self.max_bytes:
            raise PayloadError(self._too_large(len(text), what))
        problem = _problem_of(text)
        if problem is not None:
            raise PayloadError(f"{what} cannot be stored: {problem}.")

    def _too_large(self, size: int, what: str) -> str:
        return (
            f"{what} is too large: {size:,} bytes of JSON, the limit is {self.max_bytes:,}. Store it elsewhere and "
            f"pass a reference, or raise DURABLE_HOST['MAX_PAYLOAD_BYTES']."
        )


@lru_cache(maxsize=4096)
def adapter_of(type_: Any) -> TypeAdapter[Any]:
    """Return pydantic's adapter of a type; building one is slow, so each is built once."""
    return TypeAdapter(type_)


def describe_type(type_: Any) -> str:
    """Return a type's name as its author wrote it."""
    return type_.__qualname__ if isinstance(type_, type) and not hasattr(type_, "__args__") else str(type_)


def _problem_of(text: bytes) -> str | None:
    """Return why JSON text as pydantic writes it cannot be stored, or None."""
    if b"\\u0000" in text and _NUL_ESCAPE.search(text):
        return _NUL
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _is_too_deep(text):
        return _TOO_DEEP
    if b"NaN" in text or b"Infinity" in text or (len(text) > _MAX_DIGITS and _LONG_NUMBER.search(text)):
        try:
            from_json(text, allow_inf_nan=False)
        except ValueError as error:
            return _TOO_LONG_NUMBER if "out of range" in str(error) else _NOT_A_NUMBER
    return None


def _is_too_deep(text: bytes) -> bool:
    """Peel off the innermost brackets, one level at a time: much faster than a walk over the text."""
    brackets = _STRING.sub(b"", text).translate(None, _NOT_BRACKETS).replace(b"{", b"[").replace(b"}", b"]")
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _fields_of(error: ValidationError) -> str:
    problems = [
        f"{'.'.join(str(part) for part in problem['loc']) or 'the value'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)[:5]
    ]
    return "; ".join(problems)


def _explain(error: Exception) -> str:
    text = str(error).removeprefix("Error serializing to JSON: ")
    if "surrogate" in text or "hex escape" in text or "unicode code point" in text:
        return _HALF_A_PAIR
    if "depth" in text or "Circular" in text or "recursion limit" in text or isinstance(error, RecursionError):
        return f"{_TOO_DEEP}, or contains itself"
    if "number out of range" in text:
        return _TOO_LONG_NUMBER
    return text.rstrip(".")
