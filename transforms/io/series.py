"""What is known of a series before its pixels are read: header facts, geometry, problems."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from scanweave.errors import Problem


@dataclass(frozen=True)
class HeaderFacts:
    """The header values by which a series is recognised. Absent values are "" or None or ().

    `acquired_s` is in seconds on an arbitrary clock common to a study, sequence times are in ms as DICOM states them
    (PS3.3 C.8.3.1), angles in degrees. `normal_ras` is the unit vector across the slices.
    """

    modality: str = ""
    manufacturer: str = ""
    description: str = ""
    protocol: str = ""
    sequence_name: str = ""
    series_number: int | None = None
    image_type: tuple[str, ...] = ()
    scanning_sequence: tuple[str, ...] = ()
    sequence_variant: tuple[str, ...] = ()
    scan_options: tuple[str, ...] = ()
    acquisition_type: str = ""
    tr_ms: float | None = None
    te_ms: float | None = None
    ti_ms: float | None = None
    flip_angle: float | None = None
    contrast_agent: str | None = None
    contrast_volume_ml: float | None = None
    b_value: float | None = None
    acquired_s: float | None = None
    slice_count: int = 0
    normal_ras: tuple[float, float, float] | None = None
    spacing: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Series:
    """One acquisition that could fill a role: DICOM instances of one UID, a NIfTI file, a channel of 2-D slices.

    A UID that holds several acquisitions (echoes, time points, image types) is split; `part` tells them apart.
    `shape` counts voxels as the volume will be read. `problems` are reasons why it cannot be used, `remarks` what
    the reader of a result made from it must know.
    """

    source: str  # "dicom", "nifti" or "slices"
    name: str  # SeriesInstanceUID, the NIfTI file's name, or the name of the stack of slices
    files: tuple[Path, ...]
    facts: HeaderFacts = field(default_factory=HeaderFacts)
    part: str = ""
    volume: int = 0  # which one of a 4-D NIfTI file, or which channel of slices
    study_uid: str = ""  # StudyInstanceUID, or the name of the stack of slices
    # opaque facts in a fixed order, "" where unknown; compared, never shown
    patient: tuple[str, ...] = field(default=(), repr=False)
    frame_of_reference: str = ""
    shape: tuple[int, int, int] | None = None
    spacing: tuple[float, float, float] | None = None
    problems: tuple[Problem, ...] = ()
    remarks: tuple[str, ...] = ()
    masks: tuple[Path | None, ...] = ()  # of slices: the mask that was given with each of `files`

    @property
    def label(self) -> str:
        """How messages name the series: its UID (with the part) or file name; never its description."""
        return f"{self.name} [{self.part}]" if self.part else self.name


def count_patients(facts: Iterable[tuple[str, ...]]) -> int:
    """How many patients these are at least: the most different values that any one fact has."""
    columns = zip(*(known for known in facts if known), strict=True)
    return max((len(set(column) - {""}) for column in columns), default=0)
