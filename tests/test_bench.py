"""The benchmark runs, reports and cleans up. How fast anything is, is not for tests to say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.contenders import DBOS, DBOS_QUEUE, HOST, SQLITE, Contender
from bench.page import figures
from bench.report import Row, Section, Verdict, sections, shown
from bench.results import Results
from bench.workloads import Run, Sizes, workloads
from tests.services import PROJECT, wait_until

NAMED = {one.name: one for one in workloads(Sizes())}


@pytest.mark.e2e
@pytest.mark.slow
def test_quick_run_measures_prints_a_table_and_keeps_the_figures(tmp_path: Path) -> None:
    database = os.environ.get("TEST_DATABASE", "sqlite")
    output = tmp_path / "figures.json"
    argv = ["--quick", "--database", database, "--workload", "chains", "--peer", "host", "--output", str(output)]

    done = _bench(*argv)

    assert done.returncode == 0, done.stderr
    assert "20 instances of a chain of 5" in done.stdout
    kept = Results.load([output])
    assert {(case.contender, case.database) for case in kept.figures} == {("host", database)}
    assert all(figures["seconds"] > 0 for rounds in kept.figures.values() for figures in rounds)


@pytest.mark.parametrize(
    ("argv", "complaint"), [(["--workload", "nonsense"], "long-chain"), (["--peer", "nobody"], "DBOS")]
)
def test_what_it_does_not_know_is_refused_with_what_it_knows(argv: list[str], complaint: str) -> None:
    done = _bench(*argv)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_one_that_is_stopped_takes_its_files_along(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "bench", "--quick", "--database", "sqlite", "--workload", "idle"]
    with subprocess.Popen(
        argv, cwd=PROJECT, env={**os.environ, "TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE
    ) as bench:
        wait_until(lambda: any(tmp_path.glob("durable-bench-*")), "a measurement begins")
        bench.terminate()
        _, said = bench.communicate(timeout=60)

    assert bench.returncode == 130, said
    assert b"Stopped" in said
    assert not list(tmp_path.iterdir())


def test_host_is_held_against_the_fastest_configuration_of_a_peer_round_by_round() -> None:
    results = _results("chains", {HOST: [1.0, 2.0, 1.0], DBOS: [6.0, 12.0, 7.0], DBOS_QUEUE: [9.0, 18.0, 10.0]})
    row = _row(_section(results, "chains"), "→ speed ÷ DBOS")
    assert row.cells[SQLITE] == "6.00 ≥ 5"
    assert row.verdicts[SQLITE] is Verdict.MET


def test_a_peer_that_is_closer_than_the_mark_makes_it_missed() -> None:
    results = _results("chains", {HOST: [1.0], DBOS: [9.0], DBOS_QUEUE: [4.0]})
    assert _row(_section(results, "chains"), "→ speed ÷ DBOS").verdicts[SQLITE] is Verdict.MISSED


def test_a_contender_without_figures_shows_why_and_nothing_is_said_of_its_mark() -> None:
    results = _results("chains", {HOST: [1.0]})
    results.give_up(Run(DBOS, "chains", 1000).case(SQLITE), "no network")
    section = _section(results, "chains")
    assert _row(section, "DBOS in process").cells[SQLITE] == "no network"
    assert not [row for row in section.rows if row.what.startswith("→ speed")]


def test_a_piece_of_a_large_workload_is_held_against_one_of_a_small() -> None:
    results = _results("fan-out", {HOST: [1.0]})
    results.figures |= _results("wide-fan-out", {HOST: [15.0], DBOS: [75.0]}).figures
    row = _row(_section(results, "wide-fan-out"), "→ time a task ÷ that of 1,000")
    assert row.cells[SQLITE] == "1.50 ≤ 1.2"
    assert row.verdicts[SQLITE] is Verdict.MISSED


def test_figures_become_a_table_of_the_page_with_missed_marks_in_bold() -> None:
    results = _results("chains", {HOST: [1.0, 2.0], DBOS: [4.0, 9.0]})
    page = figures([results])
    assert "| host | 750 (500–1,000) |" in page
    assert "| → speed ÷ DBOS | 4.25 ≥ 5 **missed** |" in page


def test_figures_of_another_run_are_a_table_of_their_own() -> None:
    peers = _results("chains", {HOST: [1.0, 2.0], DBOS: [4.0, 9.0]})
    later = _results("chains", {HOST: [100.0, 100.0], DBOS: [100.0, 100.0]})
    page = figures([peers, later])
    assert page.count("instances of a chain of 5") == 1
    assert "4.25 ≥ 5" in page


def test_figures_keep_the_digits_that_count() -> None:
    assert [shown(value) for value in (0.123, 12.34, 1234.5)] == ["0.12", "12.3", "1,234"]


def test_a_figure_that_just_misses_its_mark_does_not_look_like_it() -> None:
    assert [shown(value, 0.95) for value in (0.9494, 0.94, 0.95)] == ["0.949", "0.94", "0.95"]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _bench(*argv: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "bench", *argv]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=150, check=False)


def _results(workload: str, seconds: dict[Contender, list[float]]) -> Results:
    """Results in which contenders took so long in each round."""
    results = Results(rounds=len(seconds[HOST]))
    for run in NAMED[workload].runs:
        for one in seconds.get(run.contender, []):
            results.add(run.case(SQLITE), {"seconds": one})
    return results


def _section(results: Results, workload: str) -> Section:
    (section,) = sections(results, [NAMED["fan-out"], NAMED[workload]], [SQLITE])[-1:]
    assert NAMED[workload].title in section.title
    return section


def _row(section: Section, what: str) -> Row:
    (row,) = (row for row in section.rows if row.what == what)
    return row
