"""Exit codes, and which error means which."""

from __future__ import annotations

from enum import IntEnum

from durable_host.core.errors import BadRequestError, InstanceAlreadyExistsError, InvalidOperationError


class Exit(IntEnum):
    """What a script learns from the command. Documented in docs/cli.md and in ``--help``."""

    OK = 0
    TROUBLE = 1
    USAGE = 2
    FAILED = 3
    NOT_FOUND = 4
    CONFLICT = 5
    TIMEOUT = 6
    TERMINATED = 7
    INTERRUPTED = 130
    BROKEN_PIPE = 141


HELP = """\
exit codes:
  0    done; where it waited: the instance has completed
  1    the host is in trouble: no database, bad configuration, a defect
  2    bad usage or bad input; nothing was stored
  3    the instance that was waited for has failed
  4    no such instance, orchestrator or execution
  5    conflict: the id is in use, or the status does not allow it
  6    not finished within --timeout; it goes on
  7    the instance that was waited for was terminated
  130  stopped by Ctrl-C, or answered with no; what was started goes on
"""


class CliError(Exception):
    """Ends the command with a message and an exit code."""

    def __init__(self, message: str, code: Exit = Exit.USAGE, *, kind: str = "UsageError") -> None:
        super().__init__(message)
        self.code = code
        self.kind = kind

    @classmethod
    def of(cls, error: BadRequestError) -> CliError:
        """Return the command's form of an error that the client raised on purpose."""
        code = Exit.USAGE
        if isinstance(error, LookupError):
            code = Exit.NOT_FOUND
        elif isinstance(error, InstanceAlreadyExistsError | InvalidOperationError):
            code = Exit.CONFLICT
        return cls(str(error), code, kind=type(error).__name__)

    def to_json(self) -> dict[str, object]:
        """Return what ``--json`` prints to stderr."""
        return {"error": {"type": self.kind, "message": str(self), "exitCode": int(self.code)}}
