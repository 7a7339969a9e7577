"""Rows of the registration benchmark to the figures that count, and these to a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from registration_pairs import Kind
from registration_studies import Group, Study

GOOD_MM = 1.0
"""Pairs within this of the truth should not be flagged."""


@dataclass(frozen=True)
class Row:
    """One registration, the `number`th of its kind.

    `error_mm` and `worst_mm` are the mean and the largest over the head, None where nothing is right.
    """

    number: int
    kind: Kind
    group: Group
    name: str
    error_mm: float | None
    worst_mm: float | None
    tolerance_mm: float
    cpu_s: float
    flagged: bool
    reason: str
    after: Mapping[str, float]

    @property
    def failed(self) -> bool:
        """Farther from the truth than half a slice, or without any truth."""
        return self.error_mm is None or self.error_mm > self.tolerance_mm

    @property
    def good(self) -> bool:
        """Within `GOOD_MM` of the truth."""
        return self.error_mm is not None and self.error_mm <= GOOD_MM


def summary(studies: Sequence[Study], right: Sequence[Row], itk: Sequence[Row], flags: Sequence[Row]) -> dict[str, Any]:
    """All that is kept in registration.json, but for the machine."""
    by_source = {
        source: [row for row in right if _source(row) == source] for source in dict.fromkeys(map(_source, right))
    }
    plain = [row for row in flags if row.kind not in (Kind.MIRRORED, Kind.OUT_OF_VIEW)]
    same = {(row.name, row.number) for row in itk}
    return {
        "truth": {
            group.value: {
                study.name: [round(study.spread_mm, 2), round(study.moved_mm, 2)]
                for study in studies
                if study.group is group
            }
            for group in Group
        },
        "right": {source: found_of(rows) for source, rows in by_source.items()} | {"all": found_of(right)},
        "same pairs": {
            "scanweave": found_of([row for row in right if (row.name, row.number) in same]),
            "SimpleITK's methods": found_of(itk),
        },
        "flag": {
            group.value: {
                kind.value: flagged_of([row for row in flags if (row.group, row.kind) == (group, kind)])
                for kind in Kind
            }
            for group in Group
        },
        "flag, all but mirrored": flagged_of([row for row in flags if row.kind is not Kind.MIRRORED]),
        "flag, nor half out of view": flagged_of(plain),
        "not flagged": [
            asdict(row) for row in flags if row.failed and not row.flagged and row.kind is not Kind.MIRRORED
        ],
        "good but flagged": [asdict(row) for row in plain if row.good and row.flagged],
    }


def found_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Of right pairs: how many were found, errors (mean over the head, mm; the worst point's too), CPU seconds."""
    errors = [row.error_mm for row in rows if row.error_mm is not None]
    if not errors:
        return {"pairs": 0}
    return {
        "pairs": len(rows),
        "found": sum(not row.failed for row in rows),
        "flagged": sum(row.flagged for row in rows),
        "median_mm": round(median(errors), 2),
        "worst_mm": round(max(errors), 2),
        "worst_point_mm": round(max(row.worst_mm or 0.0 for row in rows), 2),
        "cpu_s": round(median(row.cpu_s for row in rows), 3),
        "worst_cpu_s": round(max(row.cpu_s for row in rows), 3),
    }


def flagged_of(rows: Iterable[Row]) -> dict[str, int]:
    """How many pairs, failures and good ones there are, and how many of these were flagged."""
    rows = list(rows)
    return {
        "pairs": len(rows),
        "failures": sum(row.failed for row in rows),
        "failures not flagged": sum(row.failed and not row.flagged for row in rows),
        "good": sum(row.good for row in rows),
        "good but flagged": sum(row.good and row.flagged for row in rows),
    }


def _source(row: Row) -> str:
    name = row.name.split(" ")[0]
    return f"LGG, {row.group}" if name.startswith("TCGA_") else f"{name}, {row.group}"


def page(found: Mapping[str, Any]) -> str:
    """The tables as markdown."""
    at = found["conditions"]
    lines = [
        f"Measured {at['date']}, commit {at['commit']}, one core of {at['processor']}.",
        "",
        "| right pairs | pairs | found | flagged | median, mm | worst, mm | worst point, mm | CPU s | worst CPU s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    both = {f"the first of each: {name}": row for name, row in found["same pairs"].items()}
    for name, row in (found["right"] | both).items():
        cells = [str(value) for value in row.values()]
        if row["pairs"]:
            lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| the flag | pairs | failures | not flagged | good | good, flagged |", "|---|---|---|---|---|---|"]
    wholes = {
        "all but mirrored": found["flag, all but mirrored"],
        "all but mirrored and half out of view": found["flag, nor half out of view"],
    }
    parts = {f"{kind} ({group})": row for group, kinds in found["flag"].items() for kind, row in kinds.items()}
    for name, row in (parts | wholes).items():
        lines.append(f"| {name} | {' | '.join(str(value) for value in row.values())} |")
    return "\n".join(lines)
