"""async_http_api: the right count, and a custom status that moves."""

from __future__ import annotations

import pytest

from orchestrations import async_http_api
from orchestrations.async_http_api import NumberRange, count_primes
from tests.orchestrations.world import World


@pytest.mark.parametrize(("up_to", "primes"), [(1, 0), (2, 1), (3, 2), (4, 2), (100, 25), (1_000_000, 78_498)])
def test_counts_the_primes(up_to: int, primes: int) -> None:
    assert World("async_http_api", {"up_to": up_to}).run().output == {"up_to": up_to, "primes": primes}


@pytest.mark.parametrize("parts", [1, 2, 7, 100])
def test_the_number_of_parts_changes_nothing(parts: int) -> None:
    world = World("async_http_api", {"up_to": 541, "parts": parts}).run()

    assert world.output == {"up_to": 541, "primes": 100}
    assert world.calls == ["count_primes"] * parts


def test_shows_its_progress_while_it_runs() -> None:
    world = World("async_http_api", {"up_to": 100, "parts": 4}).run()

    assert world.statuses == [
        {"done": 0, "of": 4, "percent": 0, "primes": 0},
        {"done": 1, "of": 4, "percent": 25, "primes": 9},
        {"done": 2, "of": 4, "percent": 50, "primes": 15},
        {"done": 3, "of": 4, "percent": 75, "primes": 21},
        {"done": 4, "of": 4, "percent": 100, "primes": 25},
    ]


def test_a_sieve_does_not_grow_with_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = count_primes(NumberRange(1, 10_001))
    monkeypatch.setattr(async_http_api, "SIEVE_SIZE", 100)

    assert count_primes(NumberRange(1, 10_001)) == whole == 1_229


def test_counts_far_from_zero() -> None:
    # 1,000,000,007 and 1,000,000,009 are the first two primes above a thousand million.
    assert count_primes(NumberRange(10**9, 10**9 + 10)) == 2


def test_refuses_what_would_never_end() -> None:
    for input_ in ({"up_to": 0}, {"up_to": 10**13}, {"up_to": 10, "parts": 1001}, {"up_to": 10, "part": 1}):
        assert World("async_http_api", input_).run().failure.error_type == "PayloadError"
