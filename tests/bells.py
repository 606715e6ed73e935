"""Bells without the Redis that would carry them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from durable_host.dispatch import doorbell
from durable_host.dispatch.endings import Endings


@dataclass
class Bells:
    """What was rung."""

    queues: list[str] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    #: instances whose end was announced
    ended: list[str] = field(default_factory=list)


def hear_bells(monkeypatch: pytest.MonkeyPatch) -> Bells:
    """Note every bell that this process rings; nobody else hears them, or listens."""
    heard = Bells()
    monkeypatch.setattr(doorbell, "_ring_queue", heard.queues.append)
    monkeypatch.setattr(doorbell, "_tell", heard.workers.append)
    monkeypatch.setattr(doorbell, "_announce", lambda ids: heard.ended.extend(json.loads(ids)))
    monkeypatch.setattr(Endings, "_listen", lambda self: None)
    return heard
