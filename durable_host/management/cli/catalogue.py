"""``functions``: what this project can run."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from rich.console import RenderableType
from rich.text import Text

from durable_host.core.errors import UnknownOrchestratorError, did_you_mean
from durable_host.core.payload import adapter_of
from durable_host.core.registry import ActivitySpec, FunctionSpec, OrchestratorSpec, default_registry

from .screen import Column, Screen, shown
from .words import length, type_name
from .work import Work

_KINDS = {OrchestratorSpec: "orchestrator", ActivitySpec: "activity"}


def functions(work: Work, options: Namespace) -> None:
    """Print the catalogue, or one function with its documentation and the schema of its input."""
    orchestrators = _sorted(default_registry.orchestrators.values())
    activities = _sorted(default_registry.activities.values())
    if options.name is None:
        if work.screen.as_json:
            work.screen.json(
                {
                    "orchestrators": [_json(spec) for spec in orchestrators],
                    "activities": [_json(spec) for spec in activities],
                }
            )
        else:
            _show_all(work.screen, orchestrators, activities)
        return
    found = [spec for spec in (*orchestrators, *activities) if spec.name == options.name]
    if not found:
        names = [spec.name for spec in (*orchestrators, *activities)]
        raise UnknownOrchestratorError(
            f"No function {options.name!r} is registered here. {did_you_mean(options.name, names)}"
        )
    if work.screen.as_json:
        work.screen.json([_json(spec) | {"inputSchema": _schema(spec)} for spec in found])
        return
    for spec in found:
        _show_one(work.screen, spec)


def _sorted(specs: Iterable[FunctionSpec]) -> list[FunctionSpec]:
    return sorted(specs, key=lambda spec: spec.name)


def _show_all(screen: Screen, orchestrators: list[FunctionSpec], activities: list[FunctionSpec]) -> None:
    if screen.is_plain:
        columns = [Column("Kind"), Column("Name"), Column("Signature"), Column("Queue"), Column("Description")]
        screen.table(columns, [_row(spec) for spec in (*orchestrators, *activities)])
        return
    one_queue = len({row[3].plain for row in map(_row, activities)}) <= 1
    for title, specs, has_queue in (("Orchestrators", orchestrators, False), ("Activities", activities, not one_queue)):
        screen.line(Text(f"{title} ({len(specs)})", "bold underline"))
        columns = [
            Column("Name"),
            Column("Signature"),
            *([Column("Queue")] if has_queue else []),
            Column("Description"),
        ]
        rows = [_row(spec) for spec in specs]
        screen.table(columns, [[*row[1 : 4 if has_queue else 3], row[4]] for row in rows])
        screen.line()
    screen.note("manage.py durable functions NAME shows one with its documentation and the schema of its input.")


def _row(spec: FunctionSpec) -> list[Text]:
    return [
        Text(_KINDS[type(spec)]),
        shown(spec.name, "bold"),
        shown(_signature(spec), "cyan"),
        shown(spec.queue if isinstance(spec, ActivitySpec) else "-", "dim"),
        shown(_first_line(spec)),
    ]


def _show_one(screen: Screen, spec: FunctionSpec) -> None:
    pairs: list[tuple[str, RenderableType]] = [
        ("Name", shown(spec.name, "bold")),
        ("Kind", Text(_KINDS[type(spec)])),
        ("Signature", shown(_signature(spec), "cyan")),
    ]
    if isinstance(spec, ActivitySpec):
        pairs += [("Queue", shown(spec.queue)), ("Timeout", Text(length(spec.timeout) or "none"))]
    pairs += [("Defined at", shown(spec.where)), ("Description", shown(spec.doc))]
    schema = _schema(spec)
    if schema is not None:
        pairs.append(("Input schema", screen.value(schema)))
    screen.fields(pairs)
    screen.line()


def _json(spec: FunctionSpec) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": spec.name,
        "kind": _KINDS[type(spec)],
        "inputName": spec.input_name if spec.takes_input else None,
        "inputType": _type(spec, "input_type") if spec.takes_input else None,
        "inputRequired": not spec.input_is_optional,
        "resultType": _type(spec, "result_type"),
        "doc": spec.doc,
    }
    if isinstance(spec, ActivitySpec):
        data |= {"queue": spec.queue, "timeoutSeconds": spec.timeout and spec.timeout.total_seconds()}
    return data


def _signature(spec: FunctionSpec) -> str:
    given = ""
    if spec.takes_input:
        given = f"{spec.input_name}{'?' if spec.input_is_optional else ''}: {_type(spec, 'input_type')}"
    return f"({given}) -> {_type(spec, 'result_type')}"


def _type(spec: FunctionSpec, which: str) -> str:
    try:
        return type_name(getattr(spec, which))
    except NameError as error:  # an annotation that exists for type checkers alone
        return f"? ({error})"


def _first_line(spec: FunctionSpec) -> str:
    return spec.doc.partition("\n")[0]


def _schema(spec: FunctionSpec) -> Any:
    if not spec.takes_input:
        return None
    try:
        return adapter_of(spec.input_type).json_schema()
    except (NameError, PydanticUserError, PydanticSchemaGenerationError):
        return None
