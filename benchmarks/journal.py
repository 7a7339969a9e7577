"""What has been measured of a study so far, on disk after each run: a call that was interrupted can be taken up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from environments import BENCHMARKS, CHECKOUT, NOT_SOURCES, PACKAGE, digest
from measure import Measured
from runs import Run

SAME = ("sources", "processor", "cores", "threads")
"""Conditions that runs of one table share: the code and the machine."""
PROSE = ("README.md", "LICENSE")


@dataclass(frozen=True)
class Journal:
    """The runs of one study under `conditions`, in one file."""

    path: Path
    conditions: Mapping[str, Any]

    def read(self) -> list[Run]:
        """What was measured under the same conditions; nothing where they were others."""
        if not self.path.is_file():
            return []
        held = json.loads(self.path.read_text())
        if any(held["conditions"].get(name) != self.conditions[name] for name in SAME):
            return []
        return [_run(record) for record in held["runs"]]

    def write(self, runs: Sequence[Run]) -> None:
        """All of them, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".part")
        beside.write_text(json.dumps({"conditions": self.conditions, "runs": [asdict(run) for run in runs]}))
        beside.replace(self.path)


def sources() -> str:
    """Digest of what is measured and of what measures; prose left out."""
    roots = [CHECKOUT / name for name in (*PACKAGE, "constraints.txt", "hubconf.py") if name not in PROSE]
    roots += [*BENCHMARKS.glob("*.py"), BENCHMARKS / "recipes", BENCHMARKS / "requirements"]
    files = sorted(path for root in roots for path in ((root,) if root.is_file() else root.rglob("*")))
    kept = [path for path in files if path.is_file() and not any(path.match(f"{name}/*") for name in NOT_SOURCES)]
    return digest(part for path in kept for part in (str(path.relative_to(CHECKOUT)), path.read_bytes()))


def _run(record: Mapping[str, Any]) -> Run:
    measured = record["measured"]
    return Run(**{**record, "measured": None if measured is None else Measured(**measured)})
