"""Which code a worker has: what was given up under one is worth another try under the next."""

from __future__ import annotations

import hashlib
import inspect
from functools import lru_cache
from itertools import chain
from pathlib import Path

from durable_host.core.registry import Registry


def code_fingerprint(registry: Registry) -> str:
    """Return the same short text as long as no source file changes where orchestrators and activities live.

    Those are the files in which they are defined and, where these belong to packages, every file of the packages.
    """
    specs = chain(registry.orchestrators.values(), registry.activities.values())
    return _of(frozenset(inspect.unwrap(spec.function).__code__.co_filename for spec in specs))


@lru_cache(maxsize=8)  # hosts may come and go, the code of a process stays
def _of(defining: frozenset[str]) -> str:
    files = {file for name in defining for file in _family(Path(name))}
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(files):  # by name alone: the project may lie elsewhere on another machine
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _family(file: Path) -> list[Path]:
    """Return a file with those of its package, or nothing where it is no file (code made at run time)."""
    if (file.parent / "__init__.py").exists():
        return list(file.parent.rglob("*.py"))
    return [file] if file.exists() else []
