"""What was measured of a study's mask as a DICOM Structured Report."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scanweave.pipeline.measurements import Measured
from scanweave.pipeline.save_seg import headers_of
from scanweave.transforms.io.dicom_seg_settings import SegSettings
from scanweave.transforms.io.remarks import quiet

SERIES_DESCRIPTION = "scanweave measurements"
MEASURED_SEGS = ("dicom-seg", "dicom-seg-labelmap")
"""The Segmentations that hold the mask itself, the better known first: of those written, the report names one."""


def save_sr(
    files: Mapping[str, Path], study: Mapping[Hashable, Any], settings: SegSettings, predecessor: Path | None = None
) -> None:
    """Write `files["sr"]`, of an empty mask too, after the Segmentations that `files` names.

    `settings` are those of the study's SEG; `predecessor` is an earlier report on the same study.
    """
    import pydicom

    from scanweave.transforms.io.dicom_sr import write_dicom_sr

    measured: Measured = study["measurements"]
    flair, further = headers_of(study["loaded"])
    own = replace(settings.of_the_finding, series_description=SERIES_DESCRIPTION)
    written = [files[name] for name in MEASURED_SEGS if name in files and files[name].exists()]
    with quiet():
        seg = pydicom.dcmread(written[0], stop_before_pixels=True) if written else None
        older = [pydicom.dcmread(predecessor)] if predecessor else []
        write_dicom_sr(files["sr"], measured.segments, flair, further, own, seg=seg, predecessors=older)
