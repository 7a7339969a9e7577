"""Rows of the registration benchmark to the figures that count, and these to a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from registration_pairs import Kind
from registration_studies import Group, Study

GOOD_MM = 1.0
"""Pairs within this of the truth should not be flagged."""


@dataclass(frozen=True)
class Row:
    """One registration. `error_mm` and `worst_mm` (mean and largest over the head) are None where nothing is right."""

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
    return {}


def page(found: Mapping[str, Any]) -> str:
    return ""
