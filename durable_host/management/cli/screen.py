"""Where the command writes: tables and colours on a terminal, plain lines in a pipe, JSON on request."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any, NoReturn, TextIO

from rich.console import Console, RenderableType
from rich.highlighter import JSONHighlighter
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .exits import CliError

#: terminal escapes, other control characters and marks that reverse the writing direction
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_UNBOUNDED = 100_000
_LONGEST_BLOCK = 40
_LONGEST_LINE = 4_000
_DETAIL_INDENT = 14

Cell = str | Text


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    align_right: bool = False
    #: never broken over lines on a terminal
    rigid: bool = False


class Screen:
    """The command's two streams.

    Args:
        out: results.
        err: messages, progress and errors.
        color: True and False as ``--force-color`` and ``--no-color`` say; None to decide by the terminal.
        as_json: whether results are JSON.
    """

    def __init__(self, out: TextIO, err: TextIO, *, color: bool | None, as_json: bool) -> None:
        self.as_json = as_json
        self._stream = out
        self.out_is_terminal = _is_terminal(out)
        self.err_is_terminal = _is_terminal(err)
        self.out = _console(out, color, self.out_is_terminal)
        self.err = _console(err, color, self.err_is_terminal)

    @property
    def is_plain(self) -> bool:
        """Whether results go to a pipe or a file."""
        return not self.out_is_terminal

    @property
    def width(self) -> int:
        """Columns that results may use."""
        return self.out.width

    def json(self, value: object) -> None:
        """Print a result for machines."""
        unicode = _is_unicode(self._stream)
        self._stream.write(json.dumps(value, indent=2, ensure_ascii=not unicode) + "\n")
        self._stream.flush()

    def line(self, text: Cell = "") -> None:
        """Print one line of a result; it is never cut."""
        self.out.print(text if isinstance(text, Text) else shown(text), soft_wrap=True)

    def gap(self) -> None:
        """Leave a line between a result and a remark below it."""
        if not self.is_plain:
            self.line()

    def note(self, text: Cell, style: str = "dim") -> None:
        """Print a remark beside the result, for people only."""
        if not self.as_json:
            self.err.print(text if isinstance(text, Text) else shown(text, style), soft_wrap=not self.err_is_terminal)

    def done(self, text: str, result: Mapping[str, object]) -> None:
        """Print that an act was done."""
        if self.as_json:
            self.json(result)
        else:
            self.line(Text.assemble((self.symbol("✓ "), "green"), shown(text)))

    def error(self, error: CliError) -> None:
        """Print why the command ends."""
        if self.as_json:
            self.err.file.write(json.dumps(error.to_json(), indent=2) + "\n")
        else:
            self.err.print(
                Text.assemble(("Error: ", "bold red"), shown(str(error))), soft_wrap=not self.err_is_terminal
            )

    def symbol(self, text: str) -> str:
        """Return a symbol where the terminal can show it, else nothing."""
        return "" if self.is_plain or not _is_unicode(self._stream) else text

    def table(
        self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], details: Sequence[Sequence[Text]] = ()
    ) -> None:
        """Print a table: one line for each row in a pipe, folded to the width of a terminal.

        Args:
            columns: titles and how they are set.
            rows: as many cells each.
            details: for each row, what stands below it on a terminal, and at the end of its line in a pipe.
        """
        cells = [[_text(cell) for cell in row] for row in rows]
        if self.is_plain:
            self._plain_table(columns, cells, details)
            return
        titles = [Text(column.title, "bold") for column in columns]
        widths = self._widths(columns, [titles, *cells])
        below = [*details, *([] for _ in range(len(cells) + 1 - len(details)))]
        self._row(columns, widths, titles)
        for row, more in zip(cells, below, strict=False):
            self._row(columns, widths, row)
            for detail in more:
                self.out.print(Padding(detail, (0, 0, 0, _DETAIL_INDENT), expand=False))

    def _widths(self, columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> list[int]:
        """Return the widths of the columns; those that may be broken share what the others leave."""
        widths = [max(row[place].cell_len for row in rows) for place in range(len(columns))]
        free = self.width - 2 * (len(columns) - 1) - sum(widths)
        while free < 0:
            soft = [place for place, column in enumerate(columns) if not column.rigid and widths[place] > 8]
            if not soft:
                break
            widest = max(soft, key=lambda place: widths[place])
            widths[widest] -= 1
            free += 1
        return widths

    def _row(self, columns: Sequence[Column], widths: Sequence[int], cells: Sequence[Text]) -> None:
        """Print one row, each cell wrapped in its column, without spaces at the ends of the lines."""
        wrapped = [
            cell.wrap(self.out, max(1, width), overflow="fold") for cell, width in zip(cells, widths, strict=True)
        ]
        for number in range(max(len(lines) for lines in wrapped)):
            parts = [lines[number] if number < len(lines) else Text("") for lines in wrapped]
            self.out.print(_joined(columns, widths, parts), soft_wrap=True)

    def _plain_table(
        self, columns: Sequence[Column], rows: Sequence[Sequence[Text]], details: Sequence[Sequence[Text]]
    ) -> None:
        lines = [[Text(column.title.upper()) for column in columns]]
        lines += [[one_line(cell) for cell in row] for row in rows]
        endings = [Text("  ").join(map(one_line, more)) for more in details]
        if any(endings):
            columns = [*columns, Column("Detail")]
            lines = [[*line, more] for line, more in zip(lines, [Text("DETAIL"), *endings], strict=True)]
        widths = [max(line[place].cell_len for line in lines) for place in range(len(columns))]
        for line in lines:
            self.out.print(_joined(columns, widths, line), soft_wrap=True)

    def fields(self, pairs: Sequence[tuple[str, RenderableType]]) -> None:
        """Print names with their values."""
        width = max((len(name) for name, _ in pairs), default=0)
        if self.is_plain:
            for name, value in pairs:
                content = value if isinstance(value, Text) else Text(str(value))
                first, *more = content.plain.split("\n")
                self.out.print(Text(f"{name}:".ljust(width + 2) + first), soft_wrap=True)
                for line in more:
                    self.out.print(Text(" " * (width + 2) + line), soft_wrap=True)
            return
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in pairs:
            grid.add_row(name, value)
        self.out.print(Padding(grid, (0, 0, 0, 2), expand=False))

    def value(self, value: Any, *, indent: int = 18) -> Text:
        """Return a JSON value for people: on one line where there is room, cut where it is very long."""
        text = _shown_json(json.dumps(value, ensure_ascii=False))
        if self.is_plain:
            return Text(text)
        if len(text) <= max(20, self.width - indent):
            return JSONHighlighter()(Text(text))
        lines = json.dumps(value, ensure_ascii=False, indent=2).splitlines()
        block = self._value_line("\n".join(map(_shown_json, lines[:_LONGEST_BLOCK])))
        if len(lines) > _LONGEST_BLOCK:
            block += Text(f"\n… {len(lines) - _LONGEST_BLOCK:,} more lines; --json shows all", "dim")
        return block

    def value_line(self, value: Any) -> Text:
        """Return a JSON value without line breaks, cut where it is very long."""
        text = _shown_json(json.dumps(value, ensure_ascii=False))
        return Text(text) if self.is_plain else self._value_line(text)

    def _value_line(self, text: str) -> Text:
        line = JSONHighlighter()(Text(text[:_LONGEST_LINE]))
        if len(text) > _LONGEST_LINE:
            line += Text(f"… {len(text) - _LONGEST_LINE:,} more characters; --json shows all", "dim")
        return line


def _joined(columns: Sequence[Column], widths: Sequence[int], cells: Sequence[Text]) -> Text:
    line = Text()
    for column, width, cell in zip(columns, widths, cells, strict=True):
        space = " " * (width - cell.cell_len)
        line += Text.assemble(space, cell) if column.align_right else Text.assemble(cell, space)
        line += Text("  ")
    line.rstrip()
    return line


def shown(text: str, style: str = "") -> Text:
    """Return text that came from users, made harmless for a terminal."""
    return Text(_UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text), style)


def one_line(text: Text) -> Text:
    """Return the text with its line breaks and tabs escaped."""
    if "\n" not in text.plain and "\t" not in text.plain:
        return text
    return Text(text.plain.replace("\n", "\\n").replace("\t", "\\t"), text.style)


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else shown(cell)


def _shown_json(text: str) -> str:
    """Escape as JSON does what JSON itself lets through."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _is_terminal(stream: TextIO) -> bool:
    return bool(getattr(stream, "isatty", lambda: False)()) and os.environ.get("TERM") != "dumb"


def _is_unicode(stream: TextIO) -> bool:
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Leave the exit code to the command."""
        raise BrokenPipeError


def _console(stream: TextIO, color: bool | None, is_terminal: bool) -> Console:
    if isinstance(stream, TextIOWrapper) and not _is_unicode(stream):
        with suppress(OSError, ValueError):
            stream.reconfigure(errors="replace")
    wanted = color if color is not None else is_terminal and not os.environ.get("NO_COLOR")
    return _Console(
        file=stream,
        force_terminal=is_terminal or wanted,
        color_system=("auto" if is_terminal else "standard") if wanted else None,
        width=None if is_terminal else _UNBOUNDED,
        highlight=False,
        markup=False,
        emoji=False,
    )
