"""What was measured, and the file that keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement: who does what, how much of it, and where it is kept."""

    contender: str
    function: str
    size: int
    database: str

    def __str__(self) -> str:
        return f"{self.contender}, {self.database}: {self.function} {self.size:,}"


@dataclass(slots=True)
class Results:
    """The figures of each round, and why some have none."""

    machine: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    minutes: float = 0.0
    rounds: int = 0
    figures: dict[Case, list[Figures]] = field(default_factory=dict)
    #: why a case has no figures
    missing: dict[Case, str] = field(default_factory=dict)

    def add(self, case: Case, figures: Figures) -> None:
        """Keep the figures of one more round."""
        self.figures.setdefault(case, []).append(figures)

    def give_up(self, case: Case, reason: str) -> None:
        """Leave a case out; it is not tried again, and what it had is not comparable."""
        self.figures.pop(case, None)
        self.missing[case] = reason

    def save(self, path: Path) -> None:
        """Write a file that :meth:`load` reads."""
        document = {
            "machine": self.machine,
            "commands": self.commands,
            "minutes": self.minutes,
            "rounds": self.rounds,
            "figures": [asdict(case) | {"rounds": rounds} for case, rounds in self.figures.items()],
            "missing": [asdict(case) | {"reason": reason} for case, reason in self.missing.items()],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n")

    @classmethod
    def load(cls, paths: Iterable[Path]) -> Self:
        """Read one or more files; where two hold the same case, the later counts."""
        results = cls()
        for path in paths:
            document = json.loads(path.read_text())
            results.machine = document["machine"]
            results.commands += document["commands"]
            results.minutes += document["minutes"]
            results.rounds = document["rounds"]
            for kept in document["figures"]:
                rounds = kept.pop("rounds")
                results.figures[Case(**kept)] = rounds
            for left_out in document["missing"]:
                reason = left_out.pop("reason")
                results.missing[Case(**left_out)] = reason
        return results
