"""``export-history`` and ``replay``: would the code that is here still fit what was recorded elsewhere?"""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from durable_host.conf import host_settings
from durable_host.core import exported
from durable_host.core.errors import BadRequestError, DurableError
from durable_host.core.exported import ExportedExecution
from durable_host.core.registry import default_registry
from durable_host.store import history

from .exits import CliError, Exit
from .work import Work


def export_history(work: Work, options: Namespace) -> None:
    """Print one execution as JSON, with all its payloads."""
    found = history.find_execution(host_settings().task_hub, options.instance_id, options.execution)
    records = tuple(record for _, record in history.read_all(found))
    work.screen.json(exported.dump(ExportedExecution(options.instance_id, found.generation, records)))


def replay(work: Work, options: Namespace) -> None:
    """Replay exported histories by the code of this project.

    Raises:
        CliError: the code does not fit one of them; all are tried first.
    """
    results = [{"file": file, "problem": _problem(Path(file))} for file in options.files]
    misfits = [result for result in results if result["problem"]]
    if work.screen.as_json:
        work.screen.json({"replays": results})
    else:
        for result in results:
            work.screen.line(f"{result['file']}: {result['problem'] or 'fits'}")
    if misfits:
        said = f"{len(misfits)} of {len(results)} histories do not fit this code: their instances would stall."
        raise CliError(said, Exit.CONFLICT, kind="NonDeterminism")


def _problem(file: Path) -> str:
    """Return why a history does not fit; empty where it does."""
    try:
        execution = exported.load(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, BadRequestError) as error:
        raise CliError(f"{file}: {error}") from error
    try:
        exported.check([execution], default_registry)
    except (DurableError, LookupError) as error:
        return str(error)
    return ""
