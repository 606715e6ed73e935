"""Fan-out/fan-in: many activities at the same time, and one result from all of theirs."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, Field

from durable_host import OrchestrationContext, RetryPolicy, activity, orchestrator

#: some two thousand paths; far below the size limit of a payload, even where JSON needs six characters for one
PAGE_CHARACTERS = 150_000
CHUNK_BYTES = 1024 * 1024

#: what happens to files of other people, and to files that go away while we look; anything else is worth a retry
UNREADABLE = (FileNotFoundError, NotADirectoryError, PermissionError)

#: names from the root down, as the file system knows them
Parts = tuple[bytes, ...]


class Tree(BaseModel, frozen=True, extra="forbid"):
    """A directory, with all that is below it."""

    root: str = Field(min_length=1, description="A directory that all workers see; best an absolute path.")


@dataclass(frozen=True)
class PageRequest:
    """Asks for the files that come after one of them."""

    root: str
    after: str | None


@dataclass(frozen=True)
class Page:
    """Some of the files, in order. A payload has a limit, so a long list travels in pages."""

    paths: list[str]
    is_last: bool
    #: directories that could not be read
    skipped: int


@dataclass(frozen=True)
class FileRef:
    """One file below a root."""

    root: str
    path: str


@dataclass(frozen=True)
class Measure:
    """What is in a file."""

    bytes: int
    lines: int
    sha256: str


@dataclass(frozen=True)
class Totals:
    """What is in a tree."""

    files: int
    bytes: int
    lines: int
    #: equals find ROOT -type f -exec sha256sum -z {} + | cut -z -c 1-64 | tr '\0' '\n' | sort | sha256sum
    sha256: str
    largest: str | None
    #: files and directories that could not be read, or went away meanwhile; they are in no other number
    skipped: int


class UnreadableTreeError(Exception):
    """The root is no directory that this worker can read."""

    is_non_retriable = True


@orchestrator
async def fan_out_fan_in(ctx: OrchestrationContext, tree: Tree) -> Totals:
    """Measure all regular files below a directory, each in an activity of its own.

    Files, bytes and lines are those of "find ROOT -type f" and "wc": symbolic links are not followed.

        manage.py durable start-new fan_out_fan_in --wait --input '{"root": "/usr/share/doc"}'
    """
    paths: list[str] = []
    measuring = []
    skipped, is_last = 0, False
    while not is_last:
        page = await ctx.call_activity(list_files, PageRequest(tree.root, paths[-1] if paths else None))
        paths += page.paths
        measuring += [ctx.call_activity(measure_file, FileRef(tree.root, path)) for path in page.paths]
        skipped, is_last = skipped + page.skipped, page.is_last
    measures = await ctx.when_all(measuring)
    return add_up(dict(zip(paths, measures, strict=True)), skipped)


def add_up(measures: dict[str, Measure | None], skipped: int) -> Totals:
    """Make one result of all. Pure computation like this may stand in an orchestrator: replay repeats it exactly."""
    read = {path: measure for path, measure in measures.items() if measure is not None}
    digests = sorted(measure.sha256 for measure in read.values())
    return Totals(
        files=len(read),
        bytes=sum(measure.bytes for measure in read.values()),
        lines=sum(measure.lines for measure in read.values()),
        sha256=hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest(),
        largest=max(read, key=lambda path: read[path].bytes, default=None),
        skipped=skipped + len(measures) - len(read),
    )


@activity(retry=RetryPolicy())
def list_files(request: PageRequest) -> Page:
    """List the next regular files of a tree, in the order of their names."""
    after = tuple(to_bytes(request.after).split(b"/")) if request.after else ()
    skipped: list[Parts] = []
    paths: list[str] = []
    room = PAGE_CHARACTERS
    try:
        for parts in regular_files(os.fsencode(request.root), after, skipped):
            paths.append(to_text(b"/".join(parts)))
            room -= len(paths[-1])
            if room <= 0:
                return Page(paths, is_last=False, skipped=len(skipped))
    except UNREADABLE as error:
        raise UnreadableTreeError(f"Cannot list {request.root!r} on this worker: {error.strerror}.") from error
    return Page(paths, is_last=True, skipped=len(skipped))


@activity(retry=RetryPolicy())
def measure_file(file: FileRef) -> Measure | None:
    """Read a file and return its size, newlines and SHA-256; None if it cannot be read or is gone."""
    size, lines, digest = 0, 0, hashlib.sha256()
    try:
        with open(os.path.join(os.fsencode(file.root), to_bytes(file.path)), "rb", buffering=0) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                size += len(chunk)
                lines += chunk.count(b"\n")
                digest.update(chunk)
    except UNREADABLE:
        return None
    return Measure(size, lines, digest.hexdigest())


# --- walking a tree ---------------------------------------------------------------------------------------------------


def regular_files(root: bytes, after: Parts, skipped: list[Parts]) -> Iterator[Parts]:
    """Yield the files that come after one of them in order; note the directories that cannot be read.

    Raises:
        OSError: the root itself cannot be read.
    """
    to_visit: list[tuple[Parts, bool]] = [((), True)]
    while to_visit:
        parts, is_directory = to_visit.pop()
        if not is_directory:
            yield parts
            continue
        try:
            children = list(entries(root, parts))
        except UNREADABLE:
            if not parts:
                raise
            skipped.append(parts)
        else:
            to_visit += sorted((one for one in children if is_ahead(*one, after)), reverse=True)


def entries(root: bytes, parts: Parts) -> Iterator[tuple[Parts, bool]]:
    """Yield the files and directories in a directory, and whether each is a directory; nothing else."""
    with os.scandir(os.path.join(root, *parts)) as found:
        for entry in found:
            is_directory = entry.is_dir(follow_symlinks=False)
            if is_directory or entry.is_file(follow_symlinks=False):
                yield (*parts, entry.name), is_directory


def is_ahead(parts: Parts, is_directory: bool, after: Parts) -> bool:
    """Tell whether a file comes after the last one of the page before, or a directory may hold such files."""
    seen = after[: len(parts)]
    return parts > seen or (is_directory and parts == seen)


# --- names that are not text ------------------------------------------------------------------------------------------

# A file name is a row of bytes; a payload is text. So a byte that is not UTF-8 is written %FF, and % itself %25.


def to_text(path: bytes) -> str:
    """Write a path as text that any payload can hold."""
    lenient = path.decode("utf-8", "surrogateescape")
    return re.sub("[%\udc80-\udcff]", lambda found: f"%{found[0].encode('utf-8', 'surrogateescape').hex()}", lenient)


def to_bytes(path: str) -> bytes:
    """Return the path that :func:`to_text` has written."""
    return unquote_to_bytes(path)
