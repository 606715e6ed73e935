"""The answer to a question: one of its buttons, or a form made from its type; and a comment."""

from __future__ import annotations

import json
from typing import Any

from django.http import QueryDict

from dashboard.forms.schema import ABSENT, BoundForm, TypedForm
from dashboard.presenters.approvals import Button, buttons_of, hint_of
from durable_host.store.approvals import OpenWait

COMMENT_LENGTH = 1_000


class AnswerForm:
    """Asks what a question asks.

    Args:
        wait: the question.
        data: what somebody has sent; None for a first look.

    Attributes:
        buttons: one for each answer, where there are few.
        bound: the typed form, where buttons cannot say it.
        comment, comment_error, choice_error: what was typed, and what is wrong with it.
    """

    def __init__(self, wait: OpenWait, data: QueryDict | None = None) -> None:
        self.wait = wait
        self.buttons: tuple[Button, ...] = buttons_of(wait.schema)
        self.hint = hint_of(wait.schema) if self.buttons else ""
        self.comment_length = COMMENT_LENGTH
        self.comment = "" if data is None else data.get("comment", "").strip()
        self.comment_error = self.choice_error = ""
        self._chosen: Button | None = None
        self.bound: BoundForm | None = None if self.buttons else self._typed(data)
        if data is not None and self.buttons:
            self._chosen = next((one for one in self.buttons if one.value == data.get("choice")), None)

    def _typed(self, data: QueryDict | None) -> BoundForm:
        form = TypedForm.of_schema(self.wait.schema, prefix="answer", label="Answer")
        return form.empty() if data is None else form.posted(data)

    @property
    def is_edit(self) -> bool:
        """Whether a button was pressed that changes the form itself: show it again."""
        return self.bound is not None and self.bound.is_edit

    @property
    def needs_comment_somewhere(self) -> bool:
        """Whether one of the buttons asks why."""
        return any(button.needs_comment for button in self.buttons)

    @property
    def asker(self) -> str:
        """Label of the button that must be explained."""
        return next((button.label for button in self.buttons if button.needs_comment), "")

    def is_valid(self) -> bool:
        """Tell whether it can be recorded; what is wrong is noted beside it."""
        self.comment_error = self._wrong_comment()
        if self.buttons:
            self.choice_error = "" if self._chosen else "Press one of the buttons."
            return not (self.comment_error or self.choice_error)
        return bool(self.bound and self.bound.is_valid()) and not self.comment_error

    def _wrong_comment(self) -> str:
        if self._chosen is not None and self._chosen.needs_comment and not self.comment:
            return f"Say why, then press {self._chosen.label} again."
        if len(self.comment) > COMMENT_LENGTH:
            return f"At most {COMMENT_LENGTH:,} characters; these are {len(self.comment):,}."
        return ""

    @property
    def value(self) -> Any:
        """The answer, once it is valid."""
        if self._chosen is not None:
            return json.loads(self._chosen.value)
        value = None if self.bound is None else self.bound.value
        return None if value is ABSENT else value

    @property
    def label(self) -> str:
        """The answer in a word."""
        return self._chosen.label if self._chosen else "Answered"
