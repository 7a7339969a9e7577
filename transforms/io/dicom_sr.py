"""What was measured of a mask as a DICOM Structured Report (PS3.3 A.35.13, Comprehensive 3D; PS3.16 TID 1500).

Nothing in the file comes from a clock or a random number: dates are the source's, UIDs are hashes. The same run twice
gives the same bytes, and a PACS keeps one report.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
from pydicom.dataset import Dataset

from scanweave.transforms.io.dicom_derived import equipment, replace_clock, restore_identity, series_number, tracking
from scanweave.transforms.io.dicom_seg_references import once
from scanweave.transforms.io.dicom_seg_settings import SegSettings
from scanweave.transforms.io.dicom_seg_sources import patient_and_study, sorted_headers
from scanweave.transforms.io.dicom_sr_content import Finding, Reported, ReportedSeg, sr_content
from scanweave.transforms.io.uids import derived_uid
from scanweave.transforms.measure_mask import MaskSize

SERIES_NUMBER_OFFSET = 5000
"""Added to the FLAIR's SeriesNumber; those of the other results are smaller."""


def write_dicom_sr(
    path: Path,
    sizes: Sequence[MaskSize],
    flair_headers: Sequence[Dataset],
    further_headers: Sequence[Dataset],
    settings: SegSettings,
    *,
    seg: Dataset | None = None,
    predecessors: Sequence[Dataset] = (),
) -> None:
    """Write `sizes`, one a segment, as a measurement report on the FLAIR series.

    Parameters
    ----------
    path
        The file, overwritten where it exists.
    sizes
        Measured on the FLAIR's own slices (`measure_mask`); an empty segment is reported as 0 ml.
    flair_headers
        Every slice of the FLAIR, or its one enhanced multi-frame instance, in any order.
    further_headers
        Those of the other series that the network saw: evidence, named once each.
    settings
        What the report says of the findings, its segments, and of how they were made.
    seg
        Header of the Segmentation that holds the mask; None where none was written.
    predecessors
        Headers of earlier reports that this one stands in for (PS3.3 C.17.2, Predecessor Documents Sequence).

    Raises
    ------
    ValueError
        A measured line that lies on no slice of the FLAIR: a mistake of the caller, not of the input.
    """
    headers, planes = sorted_headers(flair_headers)
    first = headers[0]
    further = once(further_headers, {header.SOPInstanceUID for header in headers})
    made_from = (*sorted(str(header.SOPInstanceUID) for header in (*headers, *further)), repr(settings))
    findings = [
        Finding(size, segment, *tracking([*headers, *further], settings, segment), number)
        for number, (size, segment) in enumerate(zip(sizes, settings.segments, strict=True), start=1)
    ]
    content = sr_content(Reported(findings, headers, planes, settings, None if seg is None else ReportedSeg.of(seg)))
    said = json.dumps([content[0].to_json_dict(), sorted(str(item.SOPInstanceUID) for item in predecessors)])
    report = hd.sr.Comprehensive3DSR(
        evidence=[patient_and_study(first), *headers[1:], *further, *([seg] if seg is not None else [])],
        content=content[0],
        series_instance_uid=derived_uid("SR series", *made_from),
        series_number=series_number(first, SERIES_NUMBER_OFFSET),
        sop_instance_uid=derived_uid("SR instance", *made_from, said),
        instance_number=1,
        **equipment(settings),
        series_description=settings.titled,
        is_complete=True,
        previous_versions=list(predecessors) or None,
        specific_character_set=None,
    )
    restore_identity(report, first)
    replace_clock(report, first)
    report.save_as(path, enforce_file_format=True)
