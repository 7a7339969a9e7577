"""Studies as lists of series headers, taken from public sources, with the role that each series plays.

`tests/series_tables/tune.yaml` was at hand while the selection rules were made; `held.yaml` was labelled at the same
time and not looked at until they stood. An entry has its `source`, its `series` (DICOM keywords as the source gives
them, and a `label`: pre, flair, post, t1_unknown where the source does not tell contrast, other) and what to `expect`
of each role: a SeriesNumber, several that are equally good, "ambiguous" where nothing can tell, or null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from scanweave.errors import InputRefused
from scanweave.transforms.io.series import HeaderFacts, Series
from scanweave.transforms.selection.select import Role, assign_roles

TABLES = Path(__file__).parent / "series_tables"
ROLE_NAMES = ("pre", "flair", "post")
AMBIGUOUS = "ambiguous"
REFUSED = "refused"
NORMALS = {"axial": (0.0, 0.0, 1.0), "sagittal": (1.0, 0.0, 0.0), "coronal": (0.0, 1.0, 0.0)}
"""Across the slices, in RAS."""


@dataclass(frozen=True)
class Verdict:
    """One role of one study: the series chosen (SeriesNumber, None for none, "refused") beside those expected."""

    study: str
    role: str
    chosen: str | None
    label: str | None
    expected: tuple[str, ...]
    excused: bool
    """A refusal where a role of the study is ambiguous, or several series are equally good."""
    segmented: bool
    """Whether the study has a FLAIR by the rules, without which nothing is segmented."""

    @property
    def wrong(self) -> bool:
        """A series that plays another role, or none; one whose source does not tell its contrast is not counted."""
        return self.segmented and self.label is not None and self.label not in (self.role, "t1_unknown")

    @property
    def right(self) -> bool:
        return self.label == self.role

    @property
    def missed(self) -> bool:
        return bool(self.expected) and self.label is None and not self.excused


def read_table(name: str) -> list[dict[str, Any]]:
    """The studies of `tests/series_tables/<name>.yaml`."""
    studies: list[dict[str, Any]] = yaml.safe_load((TABLES / f"{name}.yaml").read_text())
    return studies


def judged(study: Mapping[str, Any], roles: Sequence[Role]) -> list[Verdict]:
    """What the rules make of one study. An ambiguous role refuses a study; so each role is judged with those before it
    alone: the FLAIR, the T1 after contrast agent beside it, then all three."""
    series = [_series(study, item) for item in study["series"]]
    labels = {str(item["SeriesNumber"]): item["label"] for item in study["series"]}
    optional = [replace(role, required=False, substitute=role.substitute or "post") for role in roles]
    verdicts = []
    for asked in (("flair",), ("flair", "post"), ("pre", "flair", "post")):
        name = {1: "flair", 2: "post", 3: "pre"}[len(asked)]
        try:
            choice = assign_roles(series, [role for role in optional if role.name in asked]).assigned[name]
            chosen = choice.series.name if choice.series else None
        except InputRefused:
            chosen = REFUSED
        wanted = study["expect"].get(name)
        expected = tuple(map(str, wanted if isinstance(wanted, list) else [wanted]))
        if wanted in (None, AMBIGUOUS):
            expected = ()
        excused = chosen == REFUSED and (len(expected) > 1 or AMBIGUOUS in study["expect"].values())
        segmented = (verdicts[0].chosen if verdicts else chosen) not in (None, REFUSED)
        verdicts.append(Verdict(study["id"], name, chosen, labels.get(chosen or ""), expected, excused, segmented))
    return verdicts


def _series(study: Mapping[str, Any], said: Mapping[str, Any]) -> Series:
    thickness = _number(said.get("SpacingBetweenSlices")) or _number(said.get("SliceThickness"))
    facts = HeaderFacts(
        modality=str(said.get("Modality", "MR")),
        manufacturer="" if study["vendor"] == "unknown" else study["vendor"],
        description=str(said.get("SeriesDescription") or ""),
        protocol=str(said.get("ProtocolName") or ""),
        sequence_name=str(said.get("SequenceName") or ""),
        series_number=int(said["SeriesNumber"]),
        image_type=_words(said.get("ImageType")),
        scanning_sequence=_words(said.get("ScanningSequence")),
        sequence_variant=_words(said.get("SequenceVariant")),
        scan_options=_words(said.get("ScanOptions")),
        acquisition_type=str(said.get("MRAcquisitionType") or ""),
        tr_ms=_number(said.get("RepetitionTime")),
        te_ms=_number(said.get("EchoTime")),
        ti_ms=_number(said.get("InversionTime")),
        flip_angle=_number(said.get("FlipAngle")),
        contrast_agent=said.get("ContrastBolusAgent"),
        b_value=_number(said.get("DiffusionBValue")),
        slice_count=int(said.get("slices") or 0),
        normal_ras=NORMALS.get(said.get("plane", "")),
        spacing=(1.0, 1.0, thickness) if thickness else None,
    )
    return Series("dicom", str(said["SeriesNumber"]), (), facts, study_uid="1")


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(word).upper() for word in (value if isinstance(value, list) else [value] if value else []))


def _number(value: object) -> float | None:
    first = value[0] if isinstance(value, list) and value else value
    try:
        return float(first)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
