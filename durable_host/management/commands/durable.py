"""``manage.py durable``: start, watch, steer and clear away orchestrations."""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from durable_host.client import DurableClient
from durable_host.core.errors import BadRequestError
from durable_host.management.cli.exits import HELP, CliError, Exit
from durable_host.management.cli.parser import BY_NAME, SUBCOMMANDS, Formatter, declare
from durable_host.management.cli.screen import Screen
from durable_host.management.cli.work import Work

_JSON_OPTIONS = {"input", "data"}


class Command(BaseCommand):
    """The operator's command line. docs/cli.md tells more."""

    help = "Start, watch, steer and clear away orchestrations."
    requires_system_checks = ()
    _parser: ArgumentParser
    #: whether this process is the command; otherwise some Python code has called it
    _is_process = False

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as a process of its own."""
        self._is_process = True
        super().run_from_argv(argv)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Make the parser, with the exit codes at the end of its help."""
        return super().create_parser(prog_name, subcommand, formatter_class=Formatter, epilog=HELP, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        parser.usage = "%(prog)s COMMAND …  (%(prog)s COMMAND --help for its options)"
        declare(parser, SUBCOMMANDS)
        self._parser = parser

    def handle(self, *args: Any, **options: Any) -> None:
        """Carry out one subcommand.

        Raises:
            CommandError: it was refused, or what was waited for did not complete; ``returncode`` says which.
        """
        if options["subcommand"] is None:
            self._parser.print_help(sys.stderr)
            self._end(Exit.USAGE, "Say which command.")
        if self._is_process and options["verbosity"] < 2:
            # What matters here is said to the reader; on stderr, scripts expect nothing but errors.
            logging.getLogger("durable_host").setLevel(logging.ERROR)
        screen = self._screen(options)
        try:
            _check_texts(options)
            BY_NAME[options["subcommand"]].run(Work(DurableClient(), screen), Namespace(**options))
        except (CliError, BadRequestError, DatabaseError, KeyboardInterrupt) as error:
            problem = _problem(error)
            if self._is_process:
                screen.error(problem)
            self._end(problem.code, str(problem), error)
        except BrokenPipeError:
            # The reader has gone: head, less. Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._end(Exit.BROKEN_PIPE, "The reader of the output has gone.")

    def _screen(self, options: dict[str, Any]) -> Screen:
        color = False if options["no_color"] else True if options["force_color"] else None
        out = options.get("stdout") or sys.stdout
        err = options.get("stderr") or sys.stderr
        return Screen(out, err, color=color, as_json=options["json"])

    def _end(self, code: Exit, message: str, cause: BaseException | None = None) -> NoReturn:
        """End the process where this is one; for a caller in Python, raise."""
        if self._is_process:
            sys.exit(code)
        raise CommandError(message, returncode=int(code)) from cause


def _problem(error: BaseException) -> CliError:
    if isinstance(error, CliError):
        return error
    if isinstance(error, BadRequestError):
        return CliError.of(error)
    if isinstance(error, KeyboardInterrupt):
        return CliError("Interrupted.", Exit.INTERRUPTED, kind="Interrupted")
    text = f"The database refused: {error}".rstrip()
    hint = " Its tables are missing or old: run manage.py migrate." if _lacks_tables(str(error)) else ""
    return CliError(f"{text}.{hint}", Exit.TROUBLE, kind=type(error).__name__)


def _lacks_tables(message: str) -> bool:
    return any(part in message for part in ("no such table", "no such column", "does not exist"))


def _check_texts(options: dict[str, Any]) -> None:
    """Refuse what is not text: the shell hands on any bytes."""
    for name, value in options.items():
        if isinstance(value, str) and name not in _JSON_OPTIONS and any(map(_is_no_text, value)):
            raise CliError(f"The {name.replace('_', ' ')} {value!r} is not text: it is not UTF-8, or holds a NUL.")


def _is_no_text(char: str) -> bool:
    return char == "\0" or "\ud800" <= char <= "\udfff"
