"""What a DICOM Segmentation says in words and codes, within the lengths that DICOM allows."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from enum import StrEnum

from scanweave import RESEARCH_NOTICE
from scanweave.transforms.segments import Segment

LO_LENGTH = 64
ST_LENGTH = 1024
"""Longest values of these VRs, in characters (PS3.5 table 6.2-1)."""
_ELLIPSIS = "..."


class SegKind(StrEnum):
    """SegmentationType (PS3.3 C.8.20.2.3), as DICOM spells it."""

    BINARY = "BINARY"
    FRACTIONAL = "FRACTIONAL"
    LABELMAP = "LABELMAP"


@dataclass(frozen=True)
class SegSettings:
    """What the file says of its segments and of how it was made. Text is cut to what its VR holds.

    The n-th of `segments`, from 1, is label n of the mask. `all_frames` keeps frames without any voxel, for readers
    that want one for each slice of the source. `flags` are reasons for doubt: any of them puts REVIEW into the
    SeriesDescription. `substituted` names the roles that another series stood in for. `run` is whatever else the result
    depends on (bundle, precision, component rule): it is not written, but results that differ in it get different UIDs.

    Raises
    ------
    ValueError
        Where there is no segment, or a label, algorithm, version or weights_sha256 is empty.
    """

    segments: tuple[Segment, ...]
    algorithm: str
    version: str
    weights_sha256: str
    kind: SegKind = SegKind.BINARY
    all_frames: bool = False
    series_description: str = "scanweave segmentation"
    flags: tuple[str, ...] = ()
    substituted: tuple[str, ...] = ()
    notes: str = ""
    run: str = ""
    body_part: str = "BRAIN"

    def __post_init__(self) -> None:
        said = {name: getattr(self, name) for name in ("algorithm", "version", "weights_sha256")}
        labels = {f"label of segment {number}": one.label for number, one in enumerate(self.segments, start=1)}
        for name, value in {**said, **(labels or {"segment": ""})}.items():
            if not plain_text(value):
                raise ValueError(f"expected a {name} that is not empty")

    @property
    def labels(self) -> str:
        """Of all segments, on one line."""
        return plain_text(", ".join(segment.label for segment in self.segments))

    @property
    def of_the_finding(self) -> SegSettings:
        """These settings but for what tells the objects of one finding apart: kind, frames, name and notes."""
        return replace(self, kind=SegKind.BINARY, all_frames=False, series_description="", notes="")

    @property
    def titled(self) -> str:
        """SeriesDescription: what a worklist shows; REVIEW comes first, where a narrow column cuts last."""
        return plain_text(("REVIEW: " if self.flags else "") + self.series_description)

    @property
    def warned(self) -> str:
        """ContentDescription: the research notice, and REVIEW where there are flags."""
        return f"{RESEARCH_NOTICE}; REVIEW" if self.flags else RESEARCH_NOTICE

    @property
    def described(self) -> str:
        """SegmentDescription: the research notice, every flag, every substituted role, the notes."""
        sentences = [RESEARCH_NOTICE]
        if self.flags:
            sentences.append(f"REVIEW: {'; '.join(self.flags)}")
        if self.substituted:
            sentences.append(f"Another series stands in for: {', '.join(self.substituted)}")
        if self.notes:
            sentences.append(self.notes)
        return plain_text(" ".join(f"{sentence.rstrip('. ')}." for sentence in sentences), ST_LENGTH)


def plain_text(value: str, length: int = LO_LENGTH) -> str:
    r"""`value` on one line of at most `length` characters, in ASCII, which every character set holds.

    Accents are dropped, and so is the backslash, which separates values in DICOM.
    """
    ascii_only = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode()
    printable = "".join(c if c.isprintable() else " " for c in ascii_only).replace("\\", "/")
    line = " ".join(printable.split())
    return line if len(line) <= length else line[: length - len(_ELLIPSIS)] + _ELLIPSIS
