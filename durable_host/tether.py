"""Start a command that ends when its parent does, however the parent ends.

Run as a script (``python tether.py PARENT_PID COMMAND …``), so that starting it does not import the package.
Linux only; elsewhere the command runs untethered.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def die_with_parent(signum: int) -> None:
    """Ask the kernel to send this process a signal when its parent dies. Survives exec, not fork."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)


def command(parent: int | str, argv: Sequence[str]) -> list[str]:
    """The command line that runs ``argv`` tethered to the process ``parent``."""
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(parent), *argv]


def main(parent: str, *argv: str) -> None:
    """Tether this process and become the command."""
    die_with_parent(signal.SIGTERM)
    # A parent that died before the line above sends no signal any more.
    if os.getppid() == int(parent):
        os.execvp(argv[0], argv)  # noqa: S606 - the caller is the one-command run, and there is no shell to want


if __name__ == "__main__":
    main(*sys.argv[1:])
