"""What is in an input, as `inspect` found it: its series, the role of each, and why it could not be segmented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scanweave.errors import Code, Problem, ScanweaveError
from scanweave.transforms.io.series import Series
from scanweave.transforms.selection.select import Selection
from scanweave.transforms.selection.series_rules import nature_of


@dataclass(frozen=True, repr=False)
class Inspection:
    """All series of an input, and what `segment` would make of them.

    Attributes
    ----------
    series
        Every series, usable or not. `label` is the name by which one is given to a role (`inputs={"flair": label}`):
        a SeriesInstanceUID, or a file's name. `shape` counts voxels (i, j, k), `spacing` is in mm, `facts` are the
        header's, `problems` says why it cannot be used.
    selection
        Which series fills each role, with the evidence; None where the input is refused.
    refusal
        Why it would be refused, ready to be raised; None where it would not.
    """

    series: tuple[Series, ...]
    selection: Selection | None = None
    refusal: ScanweaveError | None = None

    @property
    def roles(self) -> Mapping[str, Series]:
        """The roles that have a series of their own, and the series."""
        return series_by_role(self.selection) if self.selection else {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What would be done with reservations: a substituted role, a defective series passed over."""
        return self.selection.warnings if self.selection else ()

    @property
    def error(self) -> Code | None:
        """The code of the first, most telling problem; None where the input would be segmented."""
        return self.refusal.code if self.refusal else None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything for which the input would be refused."""
        return self.refusal.problems if self.refusal else ()

    @property
    def record(self) -> dict[str, Any]:
        """The JSON document of `scanweave inspect --json`; unlike result.json it names UIDs, to be given by hand."""
        return {
            "series": [series_record(item, self) for item in self.series],
            "roles": _roles_record(self),
            "warnings": list(self.warnings),
            "error": str(self.error) if self.error else None,
        }

    def __repr__(self) -> str:
        outcome = f"error {self.error}" if self.error else f"roles {', '.join(self.roles) or 'none'}"
        return f"<Inspection: {len(self.series)} series, {outcome}, {len(self.warnings)} warning(s)>"


def series_by_role(selection: Selection) -> dict[str, Series]:
    """The roles that are not substituted, in the bundle's order."""
    return {role: choice.series for role, choice in selection.assigned.items() if choice.series}


def series_record(item: Series, found: Inspection) -> dict[str, Any]:
    """One series of the JSON document."""
    role = next((role for role, series in found.roles.items() if series == item), None)
    if role is not None and found.selection is not None:
        evidence = found.selection.assigned[role].evidence
    else:
        evidence = nature_of(item).evidence
    return {
        "uid" if item.source == "dicom" else "name": item.name,
        "part": item.part,
        "modality": item.facts.modality,
        "description": item.facts.description,
        "shape": list(item.shape or ()),
        "spacing": list(item.spacing or ()),
        "role": role,
        "evidence": list(evidence),
        "problems": [{"code": str(p.code), "message": p.message} for p in item.problems],
    }


def _roles_record(found: Inspection) -> dict[str, Any]:
    """As in result.json, but with the UIDs by which a series can be named on the command line."""
    record = {}
    for role, choice in found.selection.assigned.items() if found.selection else ():
        series = found.roles.get(role) or found.roles.get(choice.substituted_by or "")
        record[role] = {
            "series": series.label if series else None,
            "evidence": list(choice.evidence),
            "substituted": choice.series is None,
        }
    return record
