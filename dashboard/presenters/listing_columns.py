"""The columns of the list, and how many rows it has: what somebody chose, and the cookie that keeps it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: the rows of a page that somebody can choose
SIZES = (50, 100, 200)


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    key: str
    label: str
    is_default: bool = True
    is_number: bool = False


COLUMNS: tuple[Column, ...] = (
    Column("status", "Status"),
    Column("name", "Orchestrator"),
    Column("id", "Instance"),
    Column("now", "Waiting for, error"),
    Column("created", "Created"),
    Column("duration", "Duration", is_number=True),
    Column("custom", "Custom status"),
    Column("tags", "Tags"),
    Column("updated", "Last change", is_default=False),
    Column("version", "Version", is_default=False),
    Column("parent", "Parent", is_default=False),
    Column("retries", "Retries", is_default=False, is_number=True),
)
_ALWAYS = "id"


@dataclass(frozen=True, slots=True)
class Layout:
    """How the list is drawn."""

    columns: tuple[Column, ...] = tuple(column for column in COLUMNS if column.is_default)
    size: int = SIZES[0]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its columns."""
        return tuple(column.key for column in self.columns)

    def cookie(self) -> str:
        """Return it as a cookie keeps it."""
        return f"{'.'.join(self.keys)}-{self.size}"


def layout(keys: Iterable[str], size: str = "") -> Layout:
    """Return the layout with these columns. The instance is always there; without any column it is the default."""
    wanted = {*keys}
    chosen = tuple(column for column in COLUMNS if column.key in wanted or (wanted and column.key == _ALWAYS))
    rows = int(size) if size in map(str, SIZES) else SIZES[0]
    return Layout(chosen, rows) if wanted & {column.key for column in COLUMNS} else Layout(size=rows)


def of_cookie(text: str) -> Layout:
    """Return what a cookie says; what it says wrongly counts as not said."""
    keys, _, size = text.partition("-")
    return layout(keys.split("."), size)
