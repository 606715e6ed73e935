"""``retention``: what is kept how long, and what the next sweep will remove."""

from __future__ import annotations

from argparse import Namespace

from durable_host.conf import host_settings
from durable_host.core.retention import RetentionRule
from durable_host.store import retention as store
from durable_host.store.limits import TooSlowError
from durable_host.store.listing import CappedCount

from .exits import CliError, Exit
from .machine import stamp
from .screen import Column
from .work import Work


def retention(work: Work, options: Namespace) -> None:
    """Print the rules, with how many instances each removes at the next sweep. Removes nothing.

    Raises:
        CliError: the database needs too long to count.
    """
    hub, rules = host_settings().task_hub, host_settings().retention
    try:
        counts = store.count_expired(hub, rules)
    except TooSlowError as error:
        raise CliError(f"Not counted: {error}", Exit.TROUBLE, kind="TooSlow") from error
    due = store.next_sweep_at(hub)
    if work.screen.as_json:
        found = [
            {"status": rule.status, "name": rule.name, "days": rule.days, "expired": count.value}
            for rule, count in zip(rules, counts, strict=True)
        ]
        work.screen.json({"rules": found, "nextSweepTime": stamp(due)})
        return
    if not rules:
        work.screen.note("Every finished instance is kept for ever: the setting RETENTION has no rules.")
        return
    columns = [Column("Status"), Column("Orchestrator"), Column("Days", True), Column("To remove", True)]
    work.screen.table(columns, list(map(_row, rules, counts)))
    work.screen.gap()
    work.screen.note("The first rule that fits an instance decides. Sub-orchestrations go with what called them.")


def _row(rule: RetentionRule, count: CappedCount) -> tuple[str, ...]:
    days = "for ever" if rule.days is None else f"{rule.days:g}"
    return rule.status or "finished", rule.name or "all", days, str(count)
