"""The subcommands: their names, their options and who carries them out."""

from __future__ import annotations

import json
import sys
from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from django.core.management.base import CommandError, CommandParser, DjangoHelpFormatter

from . import catalogue, doctoring, keeping, looking, replaying, starting, steering, values
from .exits import HELP, CliError, Exit
from .work import Handler


class Formatter(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Django's order of options, and texts as they were written."""


class SubcommandParser(CommandParser):
    """Says what is wrong with a subcommand's words: as JSON where ``--json`` asks for it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(formatter_class=Formatter, allow_abbrev=False, **kwargs)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; what nobody knows is an error here, with the usage of this very subcommand."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """End with code 2."""
        if not self.called_from_command_line:
            raise CommandError(f"Error: {message}", returncode=int(Exit.USAGE))
        if "--json" in sys.argv:
            self.exit(Exit.USAGE, json.dumps(CliError(message).to_json(), indent=2) + "\n")
        ArgumentParser.error(self, message)


@dataclass(frozen=True, slots=True)
class Subcommand:
    """One subcommand."""

    name: str
    help: str
    declare: Callable[[ArgumentParser], None]
    run: Handler
    #: further text of its ``--help``
    notes: str = ""


def declare(parser: ArgumentParser, subcommands: Sequence[Subcommand]) -> None:
    """Add all subcommands to the command's parser."""
    rooms = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="subcommand", prog=parser.prog, parser_class=SubcommandParser
    )
    for one in subcommands:
        room = rooms.add_parser(one.name, help=one.help, description=one.help, epilog=f"{one.notes}{HELP}")
        one.declare(room)
        room.add_argument("--json", action="store_true", help="Print JSON, for scripts; errors too, on stderr.")
        # Django declares these two for the whole command; after the subcommand is where people type them.
        room.add_argument("--no-color", action="store_true", default=SUPPRESS, help="Print without colours.")
        room.add_argument("--force-color", action="store_true", default=SUPPRESS, help="Print colours in a pipe too.")


# --- options that several subcommands have ----------------------------------------------------------------------------


def _instance(parser: ArgumentParser) -> None:
    parser.add_argument("instance_id", metavar="ID", help="Instance id.")


def _with_reason(parser: ArgumentParser) -> None:
    _instance(parser)
    parser.add_argument("--reason", metavar="TEXT", help="Why; kept in history.")


def _waiting(parser: ArgumentParser) -> None:
    parser.add_argument("--wait", action="store_true", help="Wait for its end and print it.")
    parser.add_argument(
        "--timeout", type=values.seconds, metavar="TIME", help="With --wait: wait at most so long (30, 90s, 2h)."
    )


def _filters(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--status",
        dest="statuses",
        type=values.statuses,
        action="extend",
        default=[],
        metavar="STATUS",
        help="Only these statuses; repeat it, or separate by commas.",
    )
    parser.add_argument("--name", help="Only this orchestrator.")
    parser.add_argument("--id-prefix", metavar="TEXT", help="Only ids that begin so.")
    _tags(parser, "Only with this tag; may be repeated, then all must be there.")


def _tags(parser: ArgumentParser, help_: str) -> None:
    parser.add_argument(
        "--tag", dest="tags", type=values.tag, action="append", default=[], metavar="NAME=VALUE", help=help_
    )


# --- subcommands ------------------------------------------------------------------------------------------------------


def _start_new(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="Registered name of the orchestrator.")
    parser.add_argument("--input", metavar="JSON|@FILE|-", help="Its input; - reads standard input.")
    parser.add_argument("--instance-id", metavar="ID", help="An id of your own; a new one by default.")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--start-at", type=values.moment, metavar="TIME", help="Start then: 2026-03-01T18:30.")
    when.add_argument(
        "--in", dest="start_at", type=values.future_moment, metavar="DURATION", help="Start after 90s, 1h30m, 2d."
    )
    _tags(parser, "A tag to find it by; may be repeated.")
    parser.add_argument("--version", dest="start_version", metavar="V", help="Its version.")
    parser.add_argument(
        "--if-not-running", action="store_true", help="With --instance-id: leave an unfinished instance as it is."
    )
    _waiting(parser)


def _get_status(parser: ArgumentParser) -> None:
    _instance(parser)
    parser.add_argument("--no-input", action="store_true", help="Leave its input out.")
    _waiting(parser)


def _get_history(parser: ArgumentParser) -> None:
    _instance(parser)
    parser.add_argument("--all", action="store_true", help="Every event as it was recorded, turn markers included.")
    parser.add_argument("--payloads", action="store_true", help="Inputs and results too.")
    parser.add_argument(
        "--execution", type=values.generation, metavar="N", help="An earlier execution; the latest by default."
    )


def _export_history(parser: ArgumentParser) -> None:
    _instance(parser)
    parser.add_argument(
        "--execution", type=values.generation, metavar="N", help="An earlier execution; the latest by default."
    )


def _replay(parser: ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="What export-history has printed.")


def _list(parser: ArgumentParser) -> None:
    _filters(parser)
    parser.add_argument(
        "--since", type=values.past_moment, metavar="TIME", help="Created since (2026-03-01, or 2h ago)."
    )
    parser.add_argument("--until", type=values.past_moment, metavar="TIME", help="Created until.")
    parser.add_argument("--limit", type=values.positive, default=50, metavar="N", help="At most so many (50).")
    parser.add_argument("--continuation", metavar="TOKEN", help="Go on where a former list ended.")


def _raise_event(parser: ArgumentParser) -> None:
    _instance(parser)
    parser.add_argument("event_name", metavar="NAME", help="Name of the event, in any case.")
    parser.add_argument("--data", metavar="JSON|@FILE|-", help="Its data; - reads standard input.")


def _terminate(parser: ArgumentParser) -> None:
    _with_reason(parser)
    parser.add_argument("--no-recurse", action="store_true", help="Leave its sub-orchestrations running.")
    _waiting(parser)


def _restart(parser: ArgumentParser) -> None:
    _instance(parser)
    parser.add_argument("--same-id", action="store_true", help="Replace the finished instance; else it gets a new id.")
    _waiting(parser)


def _purge(parser: ArgumentParser) -> None:
    parser.add_argument("instance_id", metavar="ID", nargs="?", help="One instance; or use a filter:")
    _filters(parser)
    parser.add_argument(
        "--before",
        dest="until",
        type=values.past_moment,
        metavar="TIME",
        help="Created before (2026-03-01, or 7d ago).",
    )
    parser.set_defaults(since=None)
    parser.add_argument("--yes", action="store_true", help="Do not ask before purging by filter.")


def _nothing(parser: ArgumentParser) -> None:
    """Declare nothing: the subcommand has no options of its own."""


def _functions(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="Only this one, with documentation and input schema.")


SUBCOMMANDS = (
    Subcommand("start-new", "Start an orchestration and print its instance id.", _start_new, starting.start_new),
    Subcommand("get-status", "Show how an instance stands.", _get_status, looking.get_status),
    Subcommand("get-history", "Show what an instance has done.", _get_history, looking.get_history),
    Subcommand("export-history", "Print an execution for replay.", _export_history, replaying.export_history),
    Subcommand("replay", "Check that this code fits exported histories.", _replay, replaying.replay),
    Subcommand("list", "List instances, newest first.", _list, looking.list_),
    Subcommand("raise-event", "Send an external event to an instance.", _raise_event, steering.raise_event),
    Subcommand("terminate", "End an instance without running its code.", _terminate, steering.terminate),
    Subcommand("suspend", "Pause an instance; events are kept.", _with_reason, steering.suspend),
    Subcommand("resume", "Let a suspended instance go on.", _with_reason, steering.resume),
    Subcommand("rewind", "Take a failed instance back to before its failure.", _with_reason, steering.rewind),
    Subcommand("release", "Have a stalled or parked instance tried again.", _instance, steering.release),
    Subcommand("restart", "Start a finished instance again with its input.", _restart, starting.restart),
    Subcommand("purge", "Remove finished instances with their histories.", _purge, steering.purge),
    Subcommand("retention", "Show what is kept how long, and what goes next.", _nothing, keeping.retention),
    Subcommand("doctor", "Look for what keeps work from going on; say what to do.", _nothing, doctoring.doctor),
    Subcommand("functions", "List orchestrators and activities.", _functions, catalogue.functions),
)
BY_NAME = {one.name: one for one in SUBCOMMANDS}
