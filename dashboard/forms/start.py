"""The form that starts an orchestration: for the dashboard and for the Django admin."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any

from django.http import HttpRequest, QueryDict
from pydantic import AwareDatetime, BaseModel, Field

from dashboard.acting import acting
from dashboard.presenters.equivalents import Start
from durable_host.client import DurableClient, OrchestrationStatus
from durable_host.conf import host_settings
from durable_host.core.access import Operation
from durable_host.core.errors import (
    BadRequestError,
    InstanceAlreadyExistsError,
    InvalidInstanceIdError,
    PayloadError,
)
from durable_host.core.registry import OrchestratorSpec
from durable_host.store.audit import About, AlreadyDoneError

from .schema import ABSENT, BoundForm, TypedForm

TagName = Annotated[str, Field(min_length=1, max_length=64)]
TagValue = Annotated[str, Field(max_length=256)]


class StartOptions(BaseModel):
    """How to start."""

    instance_id: str | None = Field(
        default=None, min_length=1, description="An id of your own, to find it by and to start it only once."
    )
    start_at: AwareDatetime | None = Field(default=None, description="When to start; at once if nothing stands here.")
    tags: dict[TagName, TagValue] = Field(default={}, description="Short texts to find it by.")
    version: str | None = Field(default=None, min_length=1, max_length=256)


@dataclass(frozen=True, slots=True)
class Started:
    """What came of a form that was sent."""

    instance_id: str
    said: str


@dataclass(frozen=True, slots=True)
class StartForm:
    """One orchestrator's form: its input, and how to start."""

    spec: OrchestratorSpec
    input: BoundForm
    options: BoundForm
    #: names the form as it is shown
    once: str = field(default_factory=lambda: secrets.token_hex(16))
    #: names the very form that was sent, with all that stands in it; empty while nothing was sent
    sent: str = ""

    @classmethod
    def empty(cls, spec: OrchestratorSpec, *, as_json: bool = False) -> StartForm:
        """Return it with its defaults."""
        return cls(spec, input_form(spec).empty(as_json=as_json), _options().empty())

    @classmethod
    def like(cls, spec: OrchestratorSpec, status: OrchestrationStatus, *, as_json: bool = False) -> StartForm:
        """Return it with what an earlier instance was given; only the id is left out."""
        input_ = ABSENT if status.input is None else status.input
        options = {"tags": dict(status.tags)} | ({"version": status.version} if status.version else {})
        return cls(spec, input_form(spec).filled(input_, as_json=as_json), _options().filled(options))

    @classmethod
    def posted(cls, spec: OrchestratorSpec, data: QueryDict) -> StartForm:
        """Return it with what somebody has sent."""
        sent = sha256(data.urlencode().encode()).hexdigest()[:32] if data.get("once") else ""
        return cls(spec, input_form(spec).posted(data), _options().posted(data), sent=sent)

    @property
    def is_edit(self) -> bool:
        """Whether only the form itself is to be changed."""
        return self.input.is_edit or self.options.is_edit

    @property
    def is_input_folded(self) -> bool:
        """Whether it declares no input, and none was given."""
        return not self.spec.takes_input and not self.input.summary and self.input.draft is ABSENT

    @property
    def has_options(self) -> bool:
        """Whether somebody has said how to start, or must hear what is wrong with it."""
        return bool(self.options.summary) or self.options.draft != _options().empty().draft

    def is_valid(self) -> bool:
        """Tell whether all of it fits; both parts are looked at."""
        return all([self.input.is_valid(), self.options.is_valid()])

    def start(self, request: HttpRequest, detail: str = "") -> Started | None:
        """Start it in the name of whoever asks; return what came of it, or None where errors stand beside the fields.

        The same form with the same in it starts once, however often its button is pressed.

        Raises:
            MissingPermissionError: the user may not; the audit says so.
        """
        about = About(target=self.spec.name, instance_id=self._asked_id, detail=detail, request_key=self.sent)
        try:
            with acting(request, Operation.START, **about) as deed:
                # After the check of the right: whoever may not start learns nothing of what would be wrong.
                return Started(self._commit(deed), f"Started {self.spec.name} as") if self.is_valid() else None
        except AlreadyDoneError as done:
            return Started(done.instance_id, "This was sent twice and started once: it is")
        except InvalidInstanceIdError as error:
            self.options.add_error(str(error), ["instance_id"])
        except InstanceAlreadyExistsError as error:
            self.options.add_error(_already_there(error), ["instance_id"])
        except PayloadError as error:
            self.input.add_error(str(error))
        except BadRequestError as error:
            self.options.add_error(str(error))
        return None

    def _commit(self, deed: Any) -> str:
        client = DurableClient()
        how = StartOptions.model_validate(self.options.value)
        new = client.prepare(
            self.spec.name,
            None if self.input.value is ABSENT else self.input.value,
            how.instance_id,
            how.start_at,
            how.tags,
            how.version,
        )
        return str(deed.commit_start(client.start_prepared, new))

    @property
    def _asked_id(self) -> str:
        draft = self.options.draft
        asked = draft.get("instance_id") if isinstance(draft, dict) else None
        return asked if isinstance(asked, str) else ""

    @property
    def equivalent(self) -> Start:
        """What stands in it, for showing how else it could be started; secrets are hidden."""
        input_, options = self.input.draft, self.options.draft
        said = options if isinstance(options, dict) else {}
        texts = {key: said[key] for key in ("instance_id", "start_at", "version") if isinstance(said.get(key), str)}
        tags = said.get("tags")
        return Start(
            name=self.spec.name,
            input=None if input_ is ABSENT else input_,
            has_input=input_ is not ABSENT,
            tags={name: str(value or "") for name, value in tags.items()} if isinstance(tags, dict) else {},
            **texts,
        )


def input_form(spec: OrchestratorSpec) -> TypedForm:
    """Return the form of an orchestrator's input; one without a parameter may still ask for it in its code."""
    is_required = spec.takes_input and not spec.input_is_optional
    label = spec.input_name.replace("_", " ").capitalize()
    return TypedForm.of_type(spec.input_type, prefix="input", label=label, is_required=is_required)


def _options() -> TypedForm:
    return TypedForm.of_type(StartOptions, prefix="options")


def _already_there(error: InstanceAlreadyExistsError) -> str:
    return f"An instance of this id exists and is {error.status}. Choose another id, or wait until it has finished."


def default_version() -> str:
    """Return the version of an instance that is started without one."""
    return host_settings().default_version
