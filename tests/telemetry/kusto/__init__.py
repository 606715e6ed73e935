"""Runs queries of the Kusto Query Language over rows in memory, shaped as Application Insights' tables.

It knows what the saved queries and those published for Durable Functions are made of, and refuses the rest. Where
Kusto refuses a query (a dynamic key to group by, a text compared with a number) it does so, too: what runs here can be
pasted into the portal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from lark import Lark
from lark.exceptions import UnexpectedInput, VisitError

from .expressions import Row, Scope, Table
from .pipelines import run_query
from .schema import COLUMNS, ITEM_TYPES
from .values import Dynamic, KustoError, plain

__all__ = ["KustoError", "Row", "run"]


def run(query: str, tables: Mapping[str, Iterable[Mapping[str, Any]]], *, now: datetime) -> list[Row]:
    """Run a query.

    Args:
        query: text in the Kusto Query Language.
        tables: rows by the name of their table; tables that are not given are empty.
        now: what ``now()`` says.

    Raises:
        KustoError: it cannot be run, or a row has a value for which its table has no column.
    """
    try:
        tree = _parser().parse(query)
    except UnexpectedInput as error:
        raise KustoError(f"Line {error.line}, column {error.column}:\n{error.get_context(query)}{error}") from error
    given = {name: _table(name, tables.get(name, ())) for name in COLUMNS.keys() | tables.keys()}
    try:
        result = run_query(tree, Scope(now=now, tables=given))
    except VisitError as error:
        raise error.orig_exc from error
    return [{name: plain(row[name]) for name in result.columns} for row in result.rows]


@cache
def _parser() -> Lark:
    return Lark(Path(__file__).with_name("grammar.lark").read_text(), parser="lalr", maybe_placeholders=True)


def _table(name: str, rows: Iterable[Mapping[str, Any]]) -> Table:
    if name not in COLUMNS:
        raise KustoError(f"Application Insights has no table {name!r}. There are: {', '.join(sorted(COLUMNS))}.")
    columns = COLUMNS[name]
    made = []
    for row in rows:
        if unknown := {key for key, value in row.items() if key not in columns and value not in (None, "")}:
            raise KustoError(f"Table {name} has no column {', '.join(sorted(unknown))}.")
        whole = {"itemType": ITEM_TYPES[name], "customDimensions": {}, **row}
        made.append({column: _cell(whole.get(column)) for column in columns})
    return Table(columns, made)


def _cell(value: Any) -> Any:
    return Dynamic(value) if isinstance(value, (dict, list)) else value
