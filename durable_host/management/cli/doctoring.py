"""``doctor``: what is wrong with this host, why it matters, and what to do."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from importlib import metadata

from rich.padding import Padding
from rich.text import Text

from durable_host.conf import host_settings
from durable_host.management.doctor import bells, crew, database, deployment, stuck
from durable_host.management.doctor.findings import Finding, Level, warn
from durable_host.store import outage
from durable_host.store.limits import TooSlowError

from .exits import CliError, Exit
from .screen import Screen, shown
from .work import Work

_SIGNS = {Level.BAD: ("✗", "bold red"), Level.WARN: ("!", "bold yellow"), Level.GOOD: ("✓", "green")}
_DETAIL_INDENT = 4


def doctor(work: Work, options: Namespace) -> None:
    """Look at everything, and print what was found, the worst first.

    Raises:
        CliError: something is bad.
    """
    findings = sorted(_examine(), key=lambda found: list(Level).index(found.level))
    counts = Counter(found.level for found in findings)
    if work.screen.as_json:
        work.screen.json({"findings": [_json(found) for found in findings]})
    else:
        version, hub = metadata.version("durable-host"), host_settings().task_hub
        work.screen.note(f"Durable host {version}, task hub {hub!r}")
        for found in findings:
            _show(work.screen, found)
        work.screen.gap()
    problems, warnings = counts[Level.BAD], counts[Level.WARN]
    said = f"{_many(problems, 'problem')}, {_many(warnings, 'warning')}, {_many(counts[Level.GOOD], 'thing')} in order"
    if problems:
        raise CliError(f"{said}.", Exit.TROUBLE, kind="Unwell")
    work.screen.note(f"{said}.")


def _examine() -> Iterator[Finding]:
    try:
        yield from database.examine()
        if not outage.missing_migrations():
            yield from crew.examine()
            yield from stuck.examine()
    except outage.OUTAGE as error:
        yield database.away(error)
    except TooSlowError:
        yield warn("Not everything could be looked at.", "The database is too busy to answer.", "Try again later.")
    yield from bells.examine()
    yield from deployment.examine()


def _show(screen: Screen, found: Finding) -> None:
    sign, style = _SIGNS[found.level]
    first, *more = found.what.splitlines()
    label = f"{found.level.upper():<5}" if screen.is_plain else f"{sign} "
    screen.line(Text.assemble((label, style), shown(first)))
    for line in (*more, *found.why.splitlines()):
        _detail(screen, shown(line, "dim"))
    for line in found.remedy.splitlines():
        _detail(screen, Text.assemble("→ ", shown(line)))


def _detail(screen: Screen, text: Text) -> None:
    if screen.is_plain:
        screen.line(Text.assemble(" " * _DETAIL_INDENT, text))
    else:
        screen.out.print(Padding(text, (0, 0, 0, _DETAIL_INDENT), expand=False))


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _json(found: Finding) -> dict[str, str]:
    return {"level": found.level, "what": found.what, "why": found.why, "remedy": found.remedy}
