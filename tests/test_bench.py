"""The benchmark runs, reports and cleans up. How fast anything is, is not for tests to say."""

import os
import subprocess
import sys

import pytest

from bench.report import mark_text, shown, verdict
from bench.workloads import HOST, Case, Line, Mark, Sizes, workloads
from tests.services import PROJECT


@pytest.mark.e2e
@pytest.mark.slow
def test_quick_run_measures_everything_and_prints_tables() -> None:
    database = os.environ.get("TEST_DATABASE", "sqlite")
    argv = [sys.executable, "-m", "bench", "--quick", "--database", database]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    for title in ("chains: 20 instances", "long-chain: ", "fan-out: ", "latency: "):
        assert title in done.stdout
    assert "host ÷ RQ jobs" in done.stdout
    assert done.stdout.count("pass") + done.stdout.count("miss") >= 3


def test_unknown_workload_is_refused() -> None:
    argv = [sys.executable, "-m", "bench", "--workload", "nonsense"]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "long-chain" in done.stderr


@pytest.mark.parametrize(
    ("mark", "values", "expected"),
    [
        (Mark(5, is_least=True), (4.0, 6.0, 90.0), "pass"),
        (Mark(5, is_least=True), (4.0, 4.5, 90.0), "miss"),
        (Mark(1.3), (1.0, 1.3, 9.0), "pass"),
        (Mark(1.3), (1.0, 1.31, 1.4), "miss"),
    ],
)
def test_verdict_is_by_the_median(mark: Mark, values: tuple[float, ...], expected: str) -> None:
    assert expected in verdict(Line("ratio", values, mark=mark))


def test_a_figure_without_a_mark_has_no_verdict() -> None:
    assert verdict(Line("p50", (1.0,), "ms")) == ""
    assert mark_text(None) == ""


def test_figures_keep_the_digits_that_count() -> None:
    assert [shown(value) for value in (0.123, 12.34, 1234.5)] == ["0.12", "12.3", "1,234"]


def test_halves_of_a_long_chain_are_judged_against_each_other() -> None:
    (workload,) = (one for one in workloads(Sizes(chain_length=1000)) if one.name == "long-chain")
    figures = {Case(HOST, "long_chain", 1000): {"first_half": 1.0, "second_half": 1.5}}
    first, second, ratio = workload.judge([figures])
    assert (first.median, second.median) == (2.0, 3.0)
    assert ratio.median == 1.5
    assert "miss" in verdict(ratio)
