"""Builders of header sets: series and studies as a reader hands them to the selection, without files."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.io.series import HeaderFacts, Series
from scanweave.transforms.selection.select import Selection, assign_roles, parse_roles

ROLES = parse_roles(
    [
        {
            "name": "pre",
            "required": False,
            "substitute": "flair",
            "rule": {"weighting": "t1", "contrast": "none"},
        },
        {"name": "flair", "rule": {"weighting": "flair"}},
        {
            "name": "post",
            "required": False,
            "substitute": "flair",
            "rule": {"weighting": "t1", "contrast": "given"},
        },
    ]
)
AXIAL, SAGITTAL, CORONAL = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
SLICES = 24
FIRST_S, STEP_S = 36000.0, 60.0
"""Series number n was acquired at ten o'clock and n minutes."""


def series(uid: str, description: str = "", **values) -> Series:
    """A DICOM MR series of 24 slices; `values`: header facts, or problems, shape, spacing, source."""
    own = {key: values.pop(key) for key in ("problems", "shape", "spacing", "source") if key in values}
    facts = {"modality": "MR", "slice_count": SLICES, "image_type": ("ORIGINAL", "PRIMARY")} | values
    return Series(**{"source": "dicom"} | own, name=uid, files=(), facts=HeaderFacts(description=description, **facts))


@dataclass(frozen=True)
class Labelled:
    """A series and what it is: "flair", "t1" or "no"; contrast "none", "given", or "-" for not told."""

    kind: str
    contrast: str
    description: str
    facts: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A labelled study: lines of number, kind, contrast and description; the right series of each role."""

    source: str
    manufacturer: str
    lines: str
    roles: dict[str, tuple[int, ...]]

    def rows(self) -> list[tuple[int, Labelled]]:
        """Each series' number and label."""
        parts = [line.strip().split(None, 3) for line in self.lines.strip().splitlines()]
        return [(int(n), Labelled(*rest, {"manufacturer": self.manufacturer})) for n, *rest in parts]

    def series(self) -> list[Series]:
        """The study as the reader would hand it over."""
        return [
            series(str(n), row.description, series_number=n, acquired_s=FIRST_S + STEP_S * n, **row.facts)
            for n, row in self.rows()
        ]


FLAIR = series("F", "AX FLAIR", acquired_s=FIRST_S, normal_ras=AXIAL)
MISSING_SLICE = Problem(Code.MISSING_SLICE, "1 slice missing", "series X")


def at(minute: float, uid: str, description: str, **facts) -> Series:
    """A series acquired that many minutes after `FLAIR`."""
    return series(uid, description, acquired_s=FIRST_S + 60 * minute, **facts)


def names(selection: Selection) -> dict[str, str]:
    """The series of each role that has one."""
    return {role: choice.series.name for role, choice in selection.assigned.items() if choice.series}


def refusal(found: list[Series], chosen: dict[str, Series] | None = None) -> InputRefused:
    """The refusal that `found` meets."""
    with pytest.raises(InputRefused) as caught:
        assign_roles(found, ROLES, chosen)
    return caught.value
