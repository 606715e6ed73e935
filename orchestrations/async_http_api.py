"""Async HTTP API: an operation that is too long for one request, and tells how far it is."""

from dataclasses import dataclass
from itertools import pairwise
from math import isqrt

from pydantic import BaseModel, Field

from durable_host import OrchestrationContext, activity, orchestrator

SIEVE_SIZE = 1_000_000


class Search(BaseModel, frozen=True, extra="forbid"):
    """How far to count, and in how many parts."""

    up_to: int = Field(ge=1, le=10**12, description="The last number that is looked at.")
    parts: int = Field(default=20, ge=1, le=1_000, description="Progress is reported after each.")


@dataclass(frozen=True)
class NumberRange:
    """The numbers from ``start`` to just before ``stop``."""

    start: int
    stop: int


@dataclass(frozen=True)
class Progress:
    """The custom status."""

    done: int
    of: int
    percent: int
    primes: int


@dataclass(frozen=True)
class PrimeCount:
    """The answer."""

    up_to: int
    primes: int


@orchestrator
async def async_http_api(ctx: OrchestrationContext, search: Search) -> PrimeCount:
    """Count the prime numbers up to a limit, part by part, and show the progress as custom status.

    A client starts it with one request, gets an address back, and asks there until the answer is ready.

        manage.py durable start-new async_http_api --wait --input '{"up_to": 50000000}'
    """
    bounds = [search.up_to * part // search.parts + 1 for part in range(search.parts + 1)]
    primes = 0
    for done, (start, stop) in enumerate(pairwise(bounds)):
        ctx.set_custom_status(Progress(done, search.parts, done * 100 // search.parts, primes))
        primes += await ctx.call_activity(count_primes, NumberRange(start, stop))
    ctx.set_custom_status(Progress(search.parts, search.parts, 100, primes))
    return PrimeCount(search.up_to, primes)


@activity
def count_primes(numbers: NumberRange) -> int:
    """Count the primes in a range."""
    divisors = [n for n, is_prime in enumerate(sieve(0, isqrt(numbers.stop) + 1)) if is_prime]
    starts = range(numbers.start, numbers.stop, SIEVE_SIZE)
    return sum(sum(sieve(start, min(start + SIEVE_SIZE, numbers.stop), divisors)) for start in starts)


def sieve(start: int, stop: int, divisors: list[int] | None = None) -> bytearray:
    """Mark the primes from ``start`` to just before ``stop`` with 1 (Eratosthenes)."""
    marks = bytearray(b"\1") * (stop - start)
    for number in range(start, min(2, stop)):
        marks[number - start] = 0
    for divisor in range(2, isqrt(stop) + 1) if divisors is None else divisors:
        first = max(divisor * divisor, -(-start // divisor) * divisor)
        if first < stop:
            marks[first - start :: divisor] = bytes(len(range(first, stop, divisor)))
    return marks
