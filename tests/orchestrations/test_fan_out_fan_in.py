"""fan_out_fan_in: the totals are those of find and wc, whatever the files are called."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrations import fan_out_fan_in
from orchestrations.fan_out_fan_in import (
    FileRef,
    Measure,
    PageRequest,
    list_files,
    measure_file,
    to_bytes,
    to_text,
)
from tests.orchestrations.world import World

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "b" / "deep" / "deeper").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "a.txt").write_text("one\ntwo\nno newline at the end")
    (root / "b" / "größe 100%.txt").write_bytes(b"\xff\n\x00\n")
    (root / "b" / "new\nline\\").write_bytes(b"")
    (root / "b" / "deep" / "deeper" / "big").write_bytes(b"x\n" * 1_000_000)
    (root / "b.txt").write_text("sorts before b/\n")
    Path(os.fsdecode(os.fsencode(root) + b"/b/not \xfftf-8")).write_text("\n")
    (root / "link").symlink_to(root / "a.txt")
    (root / "loop").symlink_to(root)
    (root / "broken").symlink_to(root / "nowhere")
    os.mkfifo(root / "pipe")
    return root


def shell(command: str, root: Path) -> str:
    return subprocess.run(["sh", "-c", command], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def run(root: Path) -> dict[str, object]:
    output: dict[str, object] = World("fan_out_fan_in", {"root": str(root)}).run().output
    return output


def test_totals_are_those_of_find_and_wc(tree: Path) -> None:
    totals = run(tree)

    assert totals["files"] == len(shell("find . -type f -print0 | tr -cd '\\0'  | tr '\\0' x", tree)) == 6
    assert totals["bytes"] == int(shell("find . -type f -exec cat {} + | wc -c", tree))
    assert totals["lines"] == int(shell("find . -type f -exec cat {} + | wc -l", tree))
    assert totals["largest"] == "b/deep/deeper/big"
    assert totals["skipped"] == 0


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum of the GNU core utilities is not installed")
def test_the_digest_is_the_documented_one(tree: Path) -> None:
    command = "find . -type f -exec sha256sum -z {} + | cut -z -c 1-64 | tr '\\0' '\\n' | sort | sha256sum"

    assert run(tree)["sha256"] == shell(command, tree)[:64]


def test_pages_give_every_file_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(tree)
    monkeypatch.setattr(fan_out_fan_in, "PAGE_CHARACTERS", 1)
    world = World("fan_out_fan_in", {"root": str(tree)}).run()

    assert world.output == whole
    assert world.calls.count("list_files") == 7
    assert world.calls.count("measure_file") == 6


def test_each_file_is_one_activity_and_measuring_starts_while_listing_goes_on(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out_fan_in, "PAGE_CHARACTERS", 1)
    world = World("fan_out_fan_in", {"root": str(tree)}).run()

    assert world.calls[:4] == ["list_files", "measure_file", "list_files", "measure_file"]


def test_an_empty_directory_is_zero_everything(tmp_path: Path) -> None:
    assert run(tmp_path) == {
        "files": 0,
        "bytes": 0,
        "lines": 0,
        "sha256": EMPTY_SHA256,
        "largest": None,
        "skipped": 0,
    }


def test_a_file_that_goes_away_meanwhile_is_skipped(tree: Path) -> None:
    def vanishing(file: FileRef) -> Measure | None:
        if file.path == "a.txt":
            (tree / "a.txt").unlink()
        return measure_file(file)

    output = World("fan_out_fan_in", {"root": str(tree)}, {"measure_file": vanishing}).run().output

    assert (output["files"], output["skipped"]) == (5, 1)


@pytest.mark.parametrize("characters", [1, 150_000])
def test_a_directory_that_cannot_be_read_is_skipped_once(
    tree: Path, monkeypatch: pytest.MonkeyPatch, characters: int
) -> None:
    real = os.scandir

    def scandir(path: bytes) -> object:
        if os.path.basename(path) in (b"deep", b"empty"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(fan_out_fan_in, "PAGE_CHARACTERS", characters)
    totals = run(tree)

    assert (totals["files"], totals["skipped"]) == (5, 2)


def test_a_root_that_is_no_directory_fails_at_once(tree: Path) -> None:
    for root in (tree / "nowhere", tree / "a.txt"):
        world = World("fan_out_fan_in", {"root": str(root)}).run()

        assert [cause.error_type for cause in world.failure.chain()][:2] == ["TaskFailedError", "UnreadableTreeError"]
        assert str(root) in world.failure.error_message
        assert world.calls == ["list_files"]


def test_a_relative_root_is_below_the_workers_directory(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)

    assert run(Path()) == run(tree)


def test_lines_are_newlines_and_long_files_are_read_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"a\nb\r\nc")
    monkeypatch.setattr(fan_out_fan_in, "CHUNK_BYTES", 2)
    measure = measure_file(FileRef(str(tmp_path), "file"))

    assert measure is not None
    assert (measure.bytes, measure.lines) == (6, 2)


def test_very_deep_trees_are_no_trouble(tmp_path: Path) -> None:
    path = "d/" * 1_200
    shell(f"mkdir -p {path} && : > {path}file", tmp_path)
    try:
        assert list_files(PageRequest(str(tmp_path), None)).paths == [f"{path}file"]
    finally:  # pathlib and pytest would run out of stack
        shell("rm -rf d", tmp_path)


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_every_name_can_be_stored_and_comes_back(name: bytes) -> None:
    text = to_text(name)

    assert to_bytes(text) == name
    assert text.encode("utf-8").decode("utf-8") == text


def test_ordinary_names_stay_readable() -> None:
    assert to_text("größe/日本.txt".encode()) == "größe/日本.txt"
    assert to_text(b"100%\xff") == "100%25%ff"
