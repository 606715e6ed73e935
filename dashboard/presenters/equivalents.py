"""The same start in Python, on the command line and over HTTP: what somebody can copy into a script."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pprint import pformat
from typing import Any
from urllib.parse import quote, urlencode

_WIDTH = 76
_INDENT = "    "
_CONTINUED = " \\\n    "


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What is to be started."""

    name: str
    #: the input; ``has_input`` tells null from none at all
    input: Any = None
    has_input: bool = False
    instance_id: str = ""
    #: ISO 8601, with an offset
    start_at: str = ""
    version: str = ""
    tags: Mapping[str, str]


def python(start: Start) -> str:
    """Return it as Python."""
    arguments = [repr(start.name)]
    if start.has_input:
        arguments.append(pformat(start.input, width=_WIDTH, sort_dicts=False))
    named = {
        "instance_id": repr(start.instance_id) if start.instance_id else "",
        "start_at": f"datetime.fromisoformat({start.start_at!r})" if start.start_at else "",
        "version": repr(start.version) if start.version else "",
        "tags": pformat(dict(start.tags), width=_WIDTH, sort_dicts=False) if start.tags else "",
    }
    arguments += [f"{name}={text}" for name, text in named.items() if text]
    imports = "from datetime import datetime\n\n" if start.start_at else ""
    body = "\n".join(_indented(f"{argument},") for argument in arguments)
    return f"{imports}from durable_host.client import DurableClient\n\nDurableClient().start_new(\n{body}\n)"


def command(start: Start) -> str:
    """Return it as a line for a shell."""
    words = [f"python manage.py durable start-new {shlex.quote(start.name)}"]
    if start.has_input:
        words.append(f"--input {shlex.quote(_compact(start.input))}")
    if start.instance_id:
        words.append(f"--instance-id {shlex.quote(start.instance_id)}")
    if start.start_at:
        words.append(f"--start-at {shlex.quote(start.start_at)}")
    if start.version:
        words.append(f"--version {shlex.quote(start.version)}")
    words += [f"--tag {shlex.quote(f'{name}={value}')}" for name, value in start.tags.items()]
    return _CONTINUED.join(words)


def curl(start: Start, root: str) -> str:
    """Return it as a call of the HTTP API; ``root`` is its address, up to and with the last slash."""
    path = f"{root}orchestrators/{quote(start.name, safe='')}"
    if start.instance_id:
        path += f"/{quote(start.instance_id, safe=':')}"
    query = [("version", start.version)] if start.version else []
    query += [("scheduledStartTime", start.start_at)] if start.start_at else []
    query += [("tag", f"{name}:{value}") for name, value in start.tags.items()]
    address = path + (f"?{urlencode(query)}" if query else "")
    words = [f"curl -X POST {shlex.quote(address)}", '-H "x-functions-key: $DURABLE_KEY"']
    if start.has_input:
        words += ["-H 'Content-Type: application/json'", f"--data-raw {shlex.quote(_compact(start.input))}"]
    return _CONTINUED.join(words)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _indented(text: str) -> str:
    return "\n".join(_INDENT + line for line in text.splitlines())
