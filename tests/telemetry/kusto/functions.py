"""Scalar and aggregate functions of the Kusto Query Language."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from .values import Dynamic, KustoError, bin_of, compare, concrete, kind, moment_of, plain, text_of


def _to_bool(value: Any) -> bool | None:
    value = plain(value)
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return None if value is None else bool(value)


def _to_long(value: Any) -> int | None:
    number = _to_double(value)
    return None if number is None else int(number)


def _to_double(value: Any) -> float | None:
    value = plain(value)
    if value is None or isinstance(value, datetime):
        return None
    if isinstance(value, timedelta):
        raise KustoError("A timespan is no number: divide it by a timespan, as in wait / 1s.")
    try:
        return float(value)
    except ValueError:
        return None


def _to_datetime(value: Any) -> datetime | None:
    value = plain(value)
    return moment_of(value) if isinstance(value, str) else value


def _parse_json(value: Any) -> Dynamic:
    text = text_of(value)
    try:
        return Dynamic(json.loads(text))
    except ValueError:
        return Dynamic(text or None)


def _extract(pattern: str, group: int, text: Any) -> str:
    found = re.search(pattern, text_of(text))
    return (found[group] or "") if found else ""


def _case(*arguments: Any) -> Any:
    for condition, value in zip(arguments[:-1:2], arguments[1::2], strict=False):
        if plain(condition) is True:
            return value
    return arguments[-1]


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if plain(value) not in (None, "")), None)


def _is_empty(value: Any) -> bool:
    return text_of(value) == ""


def _not(value: Any) -> bool | None:
    value = plain(value)
    return None if value is None else not value


def _round(value: Any, digits: int = 0) -> float | None:
    value = concrete(value, "The argument of round()")
    return None if value is None else round(float(value), digits)


def _substring(text: Any, start: int, length: int | None = None) -> str:
    whole = text_of(text)
    return whole[start:] if length is None else whole[start : start + length]


def _array_length(value: Any) -> int | None:
    array = plain(value)
    return len(array) if isinstance(array, list) else None


def _joined(array: Any, delimiter: str) -> str:
    return delimiter.join(map(text_of, plain(array) or []))


_PARTS = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}


def _datetime_diff(part: str, later: datetime | None, earlier: datetime | None) -> int | None:
    """Count the borders of a part of time between two times, as Kusto does."""
    if later is None or earlier is None:
        return None
    if part not in _PARTS:
        raise KustoError(f"datetime_diff() counts {', '.join(_PARTS)} here, not {part!r}.")
    size = timedelta(seconds=_PARTS[part])
    borders: int = (bin_of(later, size) - bin_of(earlier, size)) // size
    return borders


SCALARS: dict[str, Callable[..., Any]] = {
    "array_length": _array_length,
    "bin": bin_of,
    "case": _case,
    "coalesce": _coalesce,
    "datetime_diff": _datetime_diff,
    "extract": _extract,
    "floor": bin_of,
    "iff": lambda condition, yes, no: yes if plain(condition) is True else no,
    "isempty": _is_empty,
    "isnotempty": lambda value: not _is_empty(value),
    "isnotnull": lambda value: plain(value) is not None,
    "isnull": lambda value: plain(value) is None,
    "not": _not,
    "parse_json": _parse_json,
    "round": _round,
    "strcat": lambda *values: "".join(map(text_of, values)),
    "strcat_array": _joined,
    "strlen": lambda value: len(text_of(value)),
    "substring": _substring,
    "tobool": _to_bool,
    "todatetime": _to_datetime,
    "todouble": _to_double,
    "todynamic": _parse_json,
    "toint": _to_long,
    "tolong": _to_long,
    "tolower": lambda value: text_of(value).lower(),
    "toreal": _to_double,
    "tostring": text_of,
    "toupper": lambda value: text_of(value).upper(),
    "trim": lambda pattern, value: re.sub(rf"^(?:{pattern})|(?:{pattern})$", "", text_of(value)),
}
SCALARS["iif"] = SCALARS["iff"]


Values = Sequence[Any]


def _known(values: Values) -> list[Any]:
    """Leave nulls out, as all aggregates do."""
    return [plain(value) for value in values if plain(value) is not None]


def _order(values: Values) -> list[Any]:
    known = [concrete(value, "The argument of an aggregate") for value in values if value is not None]
    if any(isinstance(value, str) for value in known):
        raise KustoError("This aggregate takes numbers, times and timespans, not texts. Cast them, as with todouble().")
    return sorted(known)


def _sum(values: Values) -> Any:
    known = _order(values)
    return sum(known, start=timedelta() if known and kind(known[0]) == "timespan" else 0)


def _average(values: Values) -> Any:
    known = _order(values)
    return _sum(known) / len(known) if known else None


def _percentile(values: Values, percents: Values) -> Any:
    """Return the nearest rank. Kusto estimates, for few values it gives the same."""
    known = _order(values)
    return known[max(0, math.ceil(percents[0] / 100 * len(known)) - 1)] if known else None


def _distinct(values: Values) -> list[Any]:
    distinct: list[Any] = []
    for value in _known(values):
        if value not in distinct:
            distinct.append(value)
    return distinct


def _count_if(values: Values) -> int:
    return sum(plain(value) is True for value in values)


def _filtered(aggregate: Callable[[Values], Any]) -> Callable[[Values, Values], Any]:
    def conditional(values: Values, conditions: Values) -> Any:
        return aggregate([value for value, met in zip(values, conditions, strict=True) if plain(met) is True])

    return conditional


#: each takes the values of its arguments, one list an argument
AGGREGATES: dict[str, Callable[..., Any]] = {
    "avg": _average,
    "avgif": _filtered(_average),
    "countif": _count_if,
    "dcount": lambda values: len(_distinct(values)),
    "dcountif": _filtered(lambda values: len(_distinct(values))),
    "make_list": lambda values: Dynamic(_known(values)),
    "make_set": lambda values: Dynamic(_distinct(values)),
    "max": lambda values: max(_order(values), default=None),
    "maxif": _filtered(lambda values: max(_order(values), default=None)),
    "min": lambda values: min(_order(values), default=None),
    "minif": _filtered(lambda values: min(_order(values), default=None)),
    "percentile": _percentile,
    "sum": _sum,
    "sumif": _filtered(_sum),
    "take_any": lambda values: values[0] if values else None,
}
AGGREGATES["any"] = AGGREGATES["take_any"]


def is_better(candidate: Any, best: Any, *, greatest: bool) -> bool:
    """Tell whether ``arg_max`` (or ``arg_min``) would take a value instead of the best so far."""
    candidate, best = (concrete(value, "The first argument of arg_max() or arg_min()") for value in (candidate, best))
    if candidate is None:
        return False
    return best is None or bool(compare(">" if greatest else "<", candidate, best))
