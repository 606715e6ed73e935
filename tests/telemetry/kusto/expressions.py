"""Expressions, compiled to functions: of one row, or of a group of rows."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from lark import Token, Tree
from lark.visitors import Interpreter

from .functions import AGGREGATES, SCALARS
from .values import Dynamic, KustoError, calculate, compare, match, moment_of, plain

Row = dict[str, Any]
Node = Tree[Token]
Evaluate = Callable[[Any], Any]

_QUOTES = "@'\""
#: pseudo-column of a row in an ordered table: its number, from 1
POSITION = "\0position"
_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
    "microsecond": timedelta(microseconds=1),
    "microseconds": timedelta(microseconds=1),
    "tick": timedelta(microseconds=0.1),
    "ticks": timedelta(microseconds=0.1),
}


@dataclass(frozen=True)
class Table:
    """Rows of the same columns."""

    columns: tuple[str, ...]
    rows: list[Row]
    #: in an order that means something, so that row_number() may be asked for
    is_ordered: bool = False


@dataclass(frozen=True)
class Scope:
    """What names mean."""

    now: datetime
    tables: Mapping[str, Table]
    constants: Mapping[str, Any] = field(default_factory=dict)
    columns: Collection[str] = ()

    def over(self, table: Table) -> Scope:
        """Return the scope of an expression on the rows of a table."""
        positions = (POSITION,) if table.is_ordered else ()
        return replace(self, columns=(*table.columns, *positions))


def _of_constant(value: Any) -> Evaluate:
    return lambda _: value


class RowExpression(Interpreter[Token, Evaluate]):
    """Compiles an expression on one row.

    Raises:
        KustoError: a name is unknown. (Types are checked when it is evaluated.)
    """

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope

    def __default__(self, tree: Node) -> Evaluate:
        raise KustoError(f"A {tree.data} has no place in an expression.")

    # ---- literals ----

    def string(self, tree: Node) -> Evaluate:
        text = words(tree)[0]
        if text.startswith("@"):
            quote = text[1]
            return _of_constant(text[2:-1].replace(quote * 2, quote))
        return _of_constant(ast.literal_eval(text))

    def number(self, tree: Node) -> Evaluate:
        return _of_constant(ast.literal_eval(words(tree)[0]))

    def timespan(self, tree: Node) -> Evaluate:
        text = words(tree)[0]
        digits = text.rstrip("abcdefghijklmnopqrstuvwxyz")
        return _of_constant(float(digits) * _UNITS[text[len(digits) :]])

    def moment(self, tree: Node) -> Evaluate:
        text = words(tree)[0].removeprefix("datetime(").removesuffix(")")
        moment = moment_of(text)
        if moment is None:
            raise KustoError(f"No date and time: {text!r}.")
        return _of_constant(moment)

    def null(self, _: Node) -> Evaluate:
        return _of_constant(None)

    def true(self, _: Node) -> Evaluate:
        return _of_constant(True)

    def false(self, _: Node) -> Evaluate:
        return _of_constant(False)

    # ---- names ----

    def name(self, tree: Node) -> Evaluate:
        name = words(tree)[0]
        if name in self.scope.columns:
            return self._column(name)
        if name in self.scope.constants:
            return _of_constant(self.scope.constants[name])
        raise KustoError(f"Unknown name {name!r}. Columns here: {', '.join(self.scope.columns) or 'none'}.")

    def _column(self, name: str) -> Evaluate:
        return lambda row: row[name]

    def member(self, tree: Node) -> Evaluate:
        bag, name = self.visit(trees(tree)[0]), words(tree)[0]
        return lambda env: _part(bag(env), name)

    def element(self, tree: Node) -> Evaluate:
        bag, key = map(self.visit, trees(tree))
        return lambda env: _part(bag(env), plain(key(env)))

    # ---- operators ----

    def either(self, tree: Node) -> Evaluate:
        left, right = map(self.visit, trees(tree))
        return lambda env: _logic(left(env), right(env), decisive=True)

    def both(self, tree: Node) -> Evaluate:
        left, right = map(self.visit, trees(tree))
        return lambda env: _logic(left(env), right(env), decisive=False)

    def compare(self, tree: Node) -> Evaluate:
        return self._binary(tree, compare)

    def match(self, tree: Node) -> Evaluate:
        return self._binary(tree, match)

    def arithmetic(self, tree: Node) -> Evaluate:
        return self._binary(tree, calculate)

    def _binary(self, tree: Node, apply: Callable[[str, Any, Any], Any]) -> Evaluate:
        left, right = map(self.visit, trees(tree))
        (symbol,) = words(tree)
        return lambda env: apply(symbol, left(env), right(env))

    def negative(self, tree: Node) -> Evaluate:
        value = self.visit(trees(tree)[0])
        return lambda env: calculate("*", value(env), -1)

    def between(self, tree: Node) -> Evaluate:
        value, low, high = map(self.visit, trees(tree))
        return lambda env: _logic(
            compare(">=", value(env), low(env)), compare("<=", value(env), high(env)), decisive=False
        )

    def membership(self, tree: Node) -> Evaluate:
        sought, *listed = trees(tree)
        (symbol,) = words(tree)
        value, choices = self.visit(sought), self._choices(listed)
        return lambda env: _is_member(symbol, value(env), choices(env))

    def _choices(self, listed: list[Node]) -> Callable[[Any], list[Any]]:
        """Return the values of a list, or of the first column of a named table."""
        table = self.scope.tables.get(words(listed[0])[0]) if listed[0].data == "name" else None
        if table is not None:
            column = [row[table.columns[0]] for row in table.rows]
            return lambda _: column
        items = [self.visit(tree) for tree in listed]
        return lambda env: [item(env) for item in items]

    # ---- functions ----

    def call(self, tree: Node) -> Evaluate:
        name, arguments = words(tree)[0], trees(tree)
        if name == "row_number":
            return self._row_number()
        if name in {"now", "ago"}:
            return self._clock(name, arguments)
        if name not in SCALARS:
            place = " in this place: it belongs into summarize" if name in AGGREGATES or name == "count" else ""
            raise KustoError(f"Unknown function {name}(){place}.")
        function, values = SCALARS[name], [self.visit(argument) for argument in arguments]
        return lambda env: _called(name, function, [value(env) for value in values])

    def _row_number(self) -> Evaluate:
        if POSITION not in self.scope.columns:
            raise KustoError("row_number() needs rows in an order: sort them first.")
        return self._column(POSITION)

    def _clock(self, name: str, arguments: list[Node]) -> Evaluate:
        offset = self.visit(arguments[0]) if arguments else _of_constant(timedelta())
        symbol = "-" if name == "ago" else "+"
        return lambda env: calculate(symbol, self.scope.now, offset(env))


class GroupExpression(RowExpression):
    """Compiles an expression of aggregates on the rows of a group."""

    def _column(self, name: str) -> Evaluate:
        raise KustoError(f"Column {name!r} needs an aggregate function, or a place after 'by'.")

    def call(self, tree: Node) -> Evaluate:
        name, arguments = words(tree)[0], trees(tree)
        if name == "count" and not arguments:
            return len
        if name not in AGGREGATES:
            return super().call(tree)
        function, of_row = AGGREGATES[name], RowExpression(self.scope)
        values = [of_row.visit(argument) for argument in arguments]
        return lambda rows: _called(name, function, [[value(row) for row in rows] for value in values])


def default_name(tree: Node) -> str:
    """Return the name that Kusto gives to a column without one; empty where it would number it."""
    if tree.data == "name":
        return words(tree)[0]
    if tree.data == "member":
        return f"{default_name(trees(tree)[0])}_{words(tree)[0]}"
    if tree.data == "element":
        bag, key = trees(tree)
        return f"{default_name(bag)}_{words(key)[0].strip(_QUOTES)}"
    return _name_of_call(tree) if tree.data == "call" else ""


def _name_of_call(tree: Node) -> str:
    function, arguments = words(tree)[0], trees(tree)
    inner = default_name(arguments[0]) if arguments else ""
    if function == "percentile":
        return f"{function}_{inner}_{words(arguments[1])[0]}"
    if function in AGGREGATES or function == "count":
        return f"{function.removeprefix('make_')}_{inner}"
    return inner if function == "bin" or function.startswith("to") else ""


def trees(tree: Node) -> list[Node]:
    """Return the parts of a node that have parts themselves."""
    return [child for child in tree.children if isinstance(child, Tree)]


def words(tree: Node) -> Sequence[str]:
    """Return the parts of a node that are names, operators or literals."""
    return [str(child) for child in tree.children if isinstance(child, Token)]


def _is_member(symbol: str, value: Any, choices: list[Any]) -> bool:
    if symbol.endswith("~"):
        is_in = any(match("=~", value, choice) for choice in choices)
    else:
        is_in = any(compare("==", value, choice) for choice in choices)
    return is_in != symbol.startswith("!")


def _part(bag: Any, key: Any) -> Dynamic:
    if not isinstance(bag, Dynamic):
        raise KustoError(f"Only a dynamic value has parts; {bag!r} has no {key!r}.")
    return bag.at(key)


def _logic(left: Any, right: Any, *, decisive: bool) -> bool | None:
    """Return ``or`` (decided by a True) or ``and`` (decided by a False), with nulls."""
    values = (plain(left), plain(right))
    if any(value is decisive for value in values):
        return decisive
    return None if None in values else not decisive


def _called(name: str, function: Callable[..., Any], arguments: list[Any]) -> Any:
    try:
        return function(*arguments)
    except TypeError as error:
        raise KustoError(f"{name}() does not take {arguments!r}: {error}") from error
