"""Where in the user's code something happened: file and line for error messages."""

from __future__ import annotations

import os
import sys
import traceback
from types import CodeType, FrameType
from typing import Any

_OWN = f"{__name__.rpartition('.')[0]}."
_LIBRARIES = (
    os.path.dirname(os.__file__) + os.sep,
    f"{os.sep}site-packages{os.sep}",
    f"{os.sep}dist-packages{os.sep}",
)


def caller_line() -> str:
    """Return ``file:line`` of the nearest frame outside the core: the user's line that made this call."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_own(frame):
        frame = frame.f_back
    return _line(frame.f_code, frame.f_lineno) if frame else "unknown line"


def suspended_line(code: Any) -> str:
    """Return ``file:line`` at which a coroutine or generator is suspended, as deep as the user's own code goes."""
    places: list[tuple[FrameType, int]] = []
    while code is not None:
        frame = getattr(code, "cr_frame", None) or getattr(code, "gi_frame", None)
        if frame is None:
            break
        places.append((frame, frame.f_lineno))
        code = getattr(code, "cr_await", None) or getattr(code, "gi_yieldfrom", None)
    return _deepest_of_user(places)


def raising_line(error: BaseException) -> str:
    """Return ``file:line`` of the deepest user frame that an exception passed."""
    return _deepest_of_user(list(traceback.walk_tb(error.__traceback__)))


def raising_module(error: BaseException) -> str:
    """Return the name of the module in which an exception was raised."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")) if frames else ""


def _deepest_of_user(places: list[tuple[FrameType, int]]) -> str:
    """Return the last place in the user's files; if he lives among the libraries, the first one that is not our own."""
    foreign = [(frame.f_code, line) for frame, line in places if not _is_own(frame)]
    users = [(code, line) for code, line in foreign if not _is_library(code)]
    return _line(*(users[-1:] or foreign[:1])[0]) if foreign else "unknown line"


def _is_own(frame: FrameType) -> bool:
    return bool(frame.f_globals.get("__name__", "").startswith(_OWN))


def _is_library(code: CodeType) -> bool:
    return any(place in code.co_filename for place in _LIBRARIES)


def _line(code: CodeType, line: int) -> str:
    return f"{code.co_filename}:{line}"
