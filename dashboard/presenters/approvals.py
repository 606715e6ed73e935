"""How questions to people and their answers are shown: buttons from the type, answers in words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from durable_host.store.approvals import OpenWait

#: more choices than this are better in a list than as buttons
_MOST_BUTTONS = 8
_SIMPLE_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Button:
    """One answer that a press of a button gives."""

    label: str
    #: the answer as JSON text
    value: str
    #: "primary", "danger" or nothing: the class of the button
    look: str = ""
    #: whether it must be said why
    needs_comment: bool = False


def buttons_of(schema: Any) -> tuple[Button, ...]:
    """Return one button for each answer that a type allows; none where it allows more than buttons can say.

    A truth value gives Approve and Reject, or what the type's title calls them: ``"Release / Hold back"``.

    Args:
        schema: JSON schema of the answer; None for any.
    """
    found = _choices(schema, schema)
    if not 1 < len(found) <= _MOST_BUTTONS and found != ["null"]:
        return ()
    if set(found) >= {"true", "false"}:
        return (*_yes_or_no(schema), *(Button(_label(value), value) for value in found if value == "null"))
    return tuple(Button(_label(value), value) for value in found)


def _yes_or_no(schema: Any) -> tuple[Button, Button]:
    yes, slash, no = (part.strip() for part in str(schema.get("title", "")).partition("/"))
    if not (slash and yes and no):
        yes, no = "Approve", "Reject"
    return Button(yes, "true", "primary"), Button(no, "false", "danger", needs_comment=True)


def _choices(schema: Any, root: Any) -> list[str]:
    """Return the answers that a schema lists, as JSON texts; none where it does not list them."""
    if not isinstance(schema, dict):
        return []
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return _choices(root.get("$defs", {}).get(name), root)
    if "const" in schema:
        return [json.dumps(schema["const"])]
    if "enum" in schema:
        return [json.dumps(value) for value in schema["enum"]]
    if schema.get("type") in _LISTED:
        return list(_LISTED[schema["type"]])
    parts = [_choices(part, root) for part in schema.get("anyOf") or schema.get("oneOf") or ()]
    return [value for part in parts for value in part] if parts and all(parts) else []


_LISTED = {"boolean": ("true", "false"), "null": ("null",)}


def _label(value: str) -> str:
    """Return an answer in words: ``"in_person"`` is In person, null is None of these."""
    if value == "null":
        return "None of these"
    text = json.loads(value)
    if not isinstance(text, str):
        return value
    words = text.replace("_", " ").strip()
    return words[:1].upper() + words[1:] if words else "(empty)"


def hint_of(schema: Any) -> str:
    """Return what the type says about the answer, to be shown beside the buttons."""
    return str(schema.get("description", "")) if isinstance(schema, dict) else ""


# --- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AnswerLook:
    """An answer as it is shown."""

    label: str
    icon: str
    tone: str
    #: a value that somebody wrote, not one of a few that the code offers: a payload
    is_data: bool = False


def answer_look(answer: Any) -> AnswerLook:
    """Return how to show an answer that was given."""
    if answer is True:
        return AnswerLook("Approved", "check-circle", "good")
    if answer is False:
        return AnswerLook("Rejected", "x-circle", "bad")
    if isinstance(answer, str) and len(answer) <= _SIMPLE_LENGTH:
        return AnswerLook(_label(json.dumps(answer)), "bolt", "neutral", is_data=True)
    if answer is None:
        return AnswerLook("Answered", "bolt", "neutral")
    return AnswerLook("Answered with data", "code", "neutral", is_data=True)


# --- who is asked ----------------------------------------------------------------------------------------------------


def listed(names: Sequence[str], joint: str = "and") -> str:
    """Return names as people say them: ``ann, bob and eve``."""
    return f" {joint} ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def most_asked(waits: Iterable[OpenWait], most: int = 3) -> tuple[tuple[str, int], ...]:
    """Return for whom most of these questions wait: names with how many, the most first."""
    return tuple(Counter(name for wait in waits for name in wait.assignees).most_common(most))
