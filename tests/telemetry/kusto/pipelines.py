"""Queries: tables, passed from operator to operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

from lark import Token
from lark.visitors import Interpreter

from .expressions import POSITION, GroupExpression, Node, Row, RowExpression, Scope, Table, default_name, trees, words
from .functions import is_better
from .values import KustoError, concrete, plain

Item = tuple[str, Node]


def run_query(tree: Node, scope: Scope) -> Table:
    """Run a parsed query.

    Raises:
        KustoError: it cannot be run.
    """
    *lets, last = trees(tree)
    for let in lets:
        scope = _defined(let, scope)
    return Pipeline(scope).run(last)


def _defined(let: Node, scope: Scope) -> Scope:
    (name,), (pipeline,) = words(let), trees(let)
    source, *operators = trees(pipeline)
    if operators or source.data == "union" or _name_of(source) in scope.tables:
        return replace(scope, tables={**scope.tables, name: Pipeline(scope).run(pipeline)})
    return replace(scope, constants={**scope.constants, name: RowExpression(scope).visit(source)({})})


def _name_of(tree: Node) -> str:
    return words(tree)[0] if tree.data in {"name", "table"} else ""


class Pipeline(Interpreter[Token, Table]):
    """Runs one pipeline; each method is an operator on the table so far."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope
        self.table = Table((), [])

    def run(self, pipeline: Node) -> Table:
        """Return what comes out at the end."""
        source, *operators = trees(pipeline)
        self.table = self.visit(source) if source.data == "union" else self._named(source)
        for operator in operators:
            self.table = self.visit(operator)
        return self.table

    def __default__(self, tree: Node) -> Table:
        raise KustoError(f"A {tree.data} has no place here.")

    def _named(self, tree: Node) -> Table:
        name = _name_of(tree)
        if name not in self.scope.tables:
            raise KustoError(f"No table {name or tree.data!r}. There are: {', '.join(self.scope.tables)}.")
        return self.scope.tables[name]

    def _tabular(self, tree: Node) -> Table:
        return self._named(tree) if tree.data == "table" else Pipeline(self.scope).run(tree)

    def _on_row(self, tree: Node) -> Callable[[Row], Any]:
        evaluate: Callable[[Row], Any] = RowExpression(self.scope.over(self.table)).visit(tree)
        return evaluate

    def _rows(self) -> Iterator[Row]:
        for position, row in enumerate(self.table.rows, start=1):
            yield {**row, POSITION: position}

    # ---- rows ----

    def where(self, tree: Node) -> Table:
        is_wanted = self._on_row(trees(tree)[0])
        return replace(self.table, rows=[row for row in self.table.rows if plain(is_wanted(row)) is True])

    def sort(self, tree: Node) -> Table:
        rows = list(self.table.rows)
        for key in reversed(trees(tree)):
            rows = self._sorted(rows, key)
        return Table(self.table.columns, rows, is_ordered=True)

    def _sorted(self, rows: list[Row], key: Node) -> list[Row]:
        value = self._on_row(trees(key)[0])
        # Greatest first is the default, and then nulls come last.
        is_ascending = "asc" in words(key)
        nulls_first = "first" in words(key)[-1] if any("nulls" in word for word in words(key)) else is_ascending
        values = [(concrete(value(row), "A key of sort"), row) for row in rows]
        known = [(found, row) for found, row in values if found is not None]
        unknown = [row for found, row in values if found is None]
        known.sort(key=lambda pair: pair[0], reverse=not is_ascending)
        ordered = [row for _, row in known]
        return unknown + ordered if nulls_first else ordered + unknown

    def take(self, tree: Node) -> Table:
        return replace(self.table, rows=self.table.rows[: self._on_row(trees(tree)[0])({})])

    def top(self, tree: Node) -> Table:
        size, key = trees(tree)
        number = self._on_row(size)({})
        return Table(self.table.columns, self._sorted(self.table.rows, key)[:number], is_ordered=True)

    def serialize(self, _: Node) -> Table:
        return replace(self.table, is_ordered=True)

    def render(self, _: Node) -> Table:
        return self.table

    def count(self, _: Node) -> Table:
        return Table(("Count",), [{"Count": len(self.table.rows)}])

    # ---- columns ----

    def extend(self, tree: Node) -> Table:
        items = [(name, self._on_row(expression)) for name, expression in _items(tree)]
        rows = [self.table.rows[number] | _made(items, row) for number, row in enumerate(self._rows())]
        return replace(
            self.table, columns=_without_doubles(*self.table.columns, *(name for name, _ in items)), rows=rows
        )

    def project(self, tree: Node) -> Table:
        items = [(name, self._on_row(expression)) for name, expression in _items(tree)]
        columns = tuple(name for name, _ in items)
        if len(set(columns)) < len(columns):
            raise KustoError(f"A column is named twice: {', '.join(columns)}.")
        return replace(self.table, columns=columns, rows=[_made(items, row) for row in self._rows()])

    def project_away(self, tree: Node) -> Table:
        unwanted = set(words(tree))
        if unknown := unwanted - set(self.table.columns):
            raise KustoError(f"No columns to take away: {', '.join(sorted(unknown))}.")
        return self._only(tuple(name for name in self.table.columns if name not in unwanted))

    def _only(self, columns: tuple[str, ...]) -> Table:
        return replace(
            self.table, columns=columns, rows=[{name: row[name] for name in columns} for row in self.table.rows]
        )

    def distinct(self, tree: Node) -> Table:
        table = self.table if words(tree) else self.project(tree)
        groups = {tuple(concrete(row[name], f"Column {name}") for name in table.columns): row for row in table.rows}
        return Table(table.columns, list(groups.values()))

    # ---- groups ----

    def summarize(self, tree: Node) -> Table:
        parts = {part.data: part for part in trees(tree)}
        keys = [(name, self._on_row(key)) for name, key in _items(parts["keys"])] if "keys" in parts else []
        results = [_Result(self, item) for item in _items(parts["results"])] if "results" in parts else []
        groups: dict[tuple[Any, ...], list[Row]] = {} if keys else {(): []}
        for row in self.table.rows:
            values = tuple(concrete(key(row), f"Summarize group key {name!r}") for name, key in keys)
            groups.setdefault(values, []).append(row)
        names = tuple(name for name, _ in keys)
        rows = []
        for values, members in groups.items():
            row = dict(zip(names, values, strict=True))
            for result in results:
                row |= {name: value for name, value in result.of(members).items() if name not in names}
            rows.append(row)
        made = [name for result in results for name in result.columns]
        return Table(_without_doubles(*names, *made), rows)

    # ---- several tables ----

    def union(self, tree: Node) -> Table:
        tables = [self._tabular(child) for child in trees(tree) if child.data != "option"]
        options = _options(tree)
        if options.pop("kind", "outer") != "outer" or options.pop("isfuzzy", "true") != "true" or options:
            raise KustoError("Only the outer union is known here.")
        # As an operator it joins the table so far.
        tables = [self.table, *tables] if self.table.columns else tables
        columns = _without_doubles(*(name for table in tables for name in table.columns))
        return Table(columns, [{name: row.get(name) for name in columns} for table in tables for row in table.rows])

    def join(self, tree: Node) -> Table:
        right = next(self._tabular(child) for child in trees(tree) if child.data not in {"option", "join_key"})
        kind = _options(tree).get("kind", "innerunique")
        pairs = [_join_names(child) for child in trees(tree) if child.data == "join_key"]
        return _joined(self.table, right, pairs, kind)


class _Result:
    """One column of a summarize, or several: arg_max and arg_min keep whole rows."""

    def __init__(self, pipeline: Pipeline, item: Item) -> None:
        self.name, tree = item
        self._scope = pipeline.scope.over(pipeline.table)
        self._function = _called_name(tree)
        if self._function in {"arg_max", "arg_min"}:
            self._keep(tree, pipeline.table)
        else:
            self.columns: tuple[str, ...] = (self.name,)
            self._evaluate = GroupExpression(self._scope).visit(tree)

    def _keep(self, tree: Node, table: Table) -> None:
        best, *kept = trees(tree)
        self._best = RowExpression(self._scope).visit(best)
        first = default_name(best) or "max_"
        is_star = any(column.data == "star" for column in kept)
        names = table.columns if is_star else tuple(default_name(column) for column in kept)
        self.columns = _without_doubles(self.name or first, *names)

    def of(self, rows: list[Row]) -> Row:
        """Return the values for a group."""
        if self._function not in {"arg_max", "arg_min"}:
            return {self.name: self._evaluate(rows)}
        chosen: Row | None = None
        best = None
        for row in rows:
            value = self._best(row)
            if chosen is None or is_better(value, best, greatest=self._function == "arg_max"):
                chosen, best = row, value
        return {name: best if name == self.columns[0] else (chosen or {}).get(name) for name in self.columns}


def _joined(left: Table, right: Table, pairs: list[tuple[str, str]], kind: str) -> Table:
    if kind not in {"inner", "leftouter", "leftanti", "leftsemi"}:
        raise KustoError(f"No join of kind {kind!r} here: write kind=inner, leftouter, leftanti or leftsemi.")
    for names, table in zip(zip(*pairs, strict=True), (left, right), strict=True):
        if unknown := set(names) - set(table.columns):
            raise KustoError(f"No columns to join on: {', '.join(sorted(unknown))}.")
    index: dict[tuple[Any, ...], list[Row]] = {}
    for row in right.rows:
        index.setdefault(_key(row, [name for _, name in pairs]), []).append(row)
    matches = [(row, index.get(_key(row, [name for name, _ in pairs]), [])) for row in left.rows]
    if kind in {"leftanti", "leftsemi"}:
        return Table(left.columns, [row for row, found in matches if bool(found) is (kind == "leftsemi")])
    renamed = {name: _free_name(name, left.columns) for name in right.columns}
    nothing: list[Row] = [dict.fromkeys(right.columns)] if kind == "leftouter" else []
    rows = [
        row | {renamed[name]: value for name, value in other.items()}
        for row, found in matches
        for other in found or nothing
    ]
    return Table((*left.columns, *renamed.values()), rows)


def _key(row: Row, names: list[str]) -> tuple[Any, ...]:
    return tuple(concrete(row[name], f"Join key {name!r}") for name in names)


def _free_name(name: str, taken: tuple[str, ...]) -> str:
    """Return the name of a column of the right table: numbered where the left one has it, too."""
    number, free = 0, name
    while free in taken:
        number += 1
        free = f"{name}{number}"
    return free


def _join_names(tree: Node) -> tuple[str, str]:
    names = words(tree)
    if len(names) == 1:
        return names[0], names[0]
    left, symbol, right = names
    if symbol != "==":
        raise KustoError(f"A join compares with ==, not with {symbol}.")
    return left, right


def _options(tree: Node) -> dict[str, str]:
    pairs = (words(child) for child in trees(tree) if child.data == "option")
    return {name: value for name, value in pairs}


def _called_name(tree: Node) -> str:
    return words(tree)[0] if tree.data == "call" else ""


def _items(tree: Node) -> list[Item]:
    """Return the columns of a list with their names, numbered where they have none."""
    items: list[Item] = []
    numbers = count(1)
    for item in trees(tree):
        expression = trees(item)[0]
        name = words(item)[0] if item.data == "named" else default_name(expression)
        is_row = _called_name(expression) in {"arg_max", "arg_min"}
        items.append((name or ("" if is_row else f"Column{next(numbers)}"), expression))
    return items


def _made(items: list[tuple[str, Callable[[Row], Any]]], row: Row) -> Row:
    return {name: evaluate(row) for name, evaluate in items}


def _without_doubles(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
