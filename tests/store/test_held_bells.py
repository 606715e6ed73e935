"""A bell is answered when its host has looked for work: at once by an idle one, after a while by a busy one."""

from __future__ import annotations

import threading

import pytest

from durable_host.dispatch import bells, doorbell
from durable_host.dispatch.bells import HeldBells
from durable_host.store.shapes import Wake

QUEUE = "default"


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[Wake]:
    """What was rung, in place of ringing."""
    wakes: list[Wake] = []
    monkeypatch.setattr(doorbell, "ring", wakes.append)
    return wakes


@pytest.fixture
def held() -> tuple[HeldBells, threading.Event]:
    """A bell that has just rung, and who keeps it."""
    held, bell = HeldBells(QUEUE), threading.Event()
    held.keep(bell)
    return held, bell


def test_an_idle_host_answers_at_once(held: tuple[HeldBells, threading.Event], rung: list[Wake]) -> None:
    bells_of_host, bell = held
    bells_of_host.answer(is_busy=False, is_full=False)
    assert bell.is_set()
    assert not rung


def test_a_busy_host_answers_after_a_while(
    held: tuple[HeldBells, threading.Event], rung: list[Wake], monkeypatch: pytest.MonkeyPatch
) -> None:
    bells_of_host, bell = held
    monkeypatch.setattr(bells, "_BUSY", 3600.0)
    bells_of_host.answer(is_busy=True, is_full=False)
    assert not bell.is_set()
    monkeypatch.setattr(bells, "_BUSY", 0.0)
    bells_of_host.answer(is_busy=True, is_full=False)
    assert bell.is_set()
    assert not rung


def test_a_full_host_calls_another_once_and_answers_when_it_has_room(
    held: tuple[HeldBells, threading.Event], rung: list[Wake]
) -> None:
    bells_of_host, bell = held
    for _ in range(3):
        bells_of_host.answer(is_busy=True, is_full=True)
    assert not bell.is_set()
    assert rung == [Wake(frozenset({QUEUE}))]
    bells_of_host.answer(is_busy=False, is_full=False)
    assert bell.is_set()


def test_a_host_calls_for_help_with_a_flood_now_and_then(rung: list[Wake], monkeypatch: pytest.MonkeyPatch) -> None:
    bells_of_host = HeldBells(QUEUE)
    monkeypatch.setattr(bells, "_CALL", 3600.0)
    for _ in range(3):
        bells_of_host.call()
    assert rung == [Wake(frozenset({QUEUE}))]
    other = HeldBells(QUEUE)
    monkeypatch.setattr(bells, "_CALL", 0.0)
    for _ in range(3):
        other.call()
    assert len(rung) == 4
