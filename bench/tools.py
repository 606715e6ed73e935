"""What the peers need that is no dependency of this project: an environment of their own under ``var/bench``.

Made by the first run that wants it, again when the list of what belongs in it changes. What a machine cannot have is
left out of the table, with the reason.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from enum import StrEnum
from functools import cache
from pathlib import Path

from tests.services import PROJECT

_ROOT = PROJECT / "var" / "bench"
_VENV = _ROOT / "venv"
_NPM = _ROOT / "npm"
_REQUIREMENTS = PROJECT / "bench" / "peers" / "requirements.txt"
_SERVER = "@restatedev/restate-server@1.7.12"


class Tools(StrEnum):
    """The environments that contenders run in."""

    PROJECT = "the project's own"
    PEERS = "Python packages"
    RESTATE = "Python packages and Restate's server"


class ToolsMissingError(Exception):
    """This machine cannot have them; the message says why."""


def python(tools: Tools) -> str:
    """Return the interpreter of an environment, which is made where it is missing.

    Raises:
        ToolsMissingError: it cannot be made.
    """
    if tools is Tools.PROJECT:
        return sys.executable
    if tools is Tools.RESTATE:
        restate_server()
    return _path(_make_venv())


def restate_server() -> str:
    """Return Restate's server program, which is installed where it is missing.

    Raises:
        ToolsMissingError: it cannot be installed.
    """
    return _path(_install_server())


def _path(made: Path | ToolsMissingError) -> str:
    if isinstance(made, ToolsMissingError):
        raise made
    return str(made)


@cache  # what failed once is not tried again for every measurement
def _make_venv() -> Path | ToolsMissingError:
    interpreter = _VENV / "bin" / "python"
    if not _is_stamped(_VENV, _REQUIREMENTS.read_text()):
        shutil.rmtree(_VENV, ignore_errors=True)
        venv.create(_VENV, with_pip=True)
        pip = [str(interpreter), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        if problem := _failure([*pip, "--requirement", str(_REQUIREMENTS)]):
            return ToolsMissingError(f"pip: {problem}")
        _stamp(_VENV, _REQUIREMENTS.read_text())
    return interpreter


@cache
def _install_server() -> Path | ToolsMissingError:
    if not _is_stamped(_NPM, _SERVER):
        npm = shutil.which("npm")
        if npm is None:
            return ToolsMissingError("no npm on this machine")
        shutil.rmtree(_NPM, ignore_errors=True)
        _NPM.mkdir(parents=True)
        if problem := _failure(
            [npm, "install", "--loglevel=error", "--no-audit", "--no-fund", "--prefix", str(_NPM), _SERVER]
        ):
            return ToolsMissingError(f"npm: {problem}")
        _stamp(_NPM, _SERVER)
    return _NPM / "node_modules" / ".bin" / "restate-server"


def _failure(command: list[str]) -> str:
    """Run a command; return what it says first if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = (done.stderr or done.stdout).strip().splitlines() or ["it failed and said nothing"]
    return said[0] if done.returncode else ""


def _is_stamped(directory: Path, content: str) -> bool:
    stamp = directory / ".installed"
    return stamp.exists() and stamp.read_text() == _digest(content)


def _stamp(directory: Path, content: str) -> None:
    (directory / ".installed").write_text(_digest(content))


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
