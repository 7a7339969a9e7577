"""Measurement reports of invented masks, read with other people's programs, for the tests of the DICOM SR."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_series import SETTINGS, every_element, lesion
from external_tools import require_tool, run_tool
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from scanweave.transforms.geometry import LPS_FROM_RAS, Affine, Volume
from scanweave.transforms.io.dicom_seg import SegSettings, write_dicom_seg
from scanweave.transforms.io.dicom_sr import write_dicom_sr
from scanweave.transforms.measure_mask import Diameters, measure_mask

TIMEOUT_S = 300
SAME_MM, SAME_ML = 0.01, 1e-4
"""What lengths and volumes are rounded to in the report, or less."""
ENDS_MM = 1e-3
"""Coordinates are stored in single precision, positions as decimals."""
JAVA_OPTIONS = " ".join(
    (
        *(f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("ExprGrp", "ExprOp", "TotalOp")),  # its rules are longer
        "-XX:TieredStopAtLevel=1",  # it runs once: a better compiler costs more than it saves
        "-XX:+UseSerialGC",
    )
)
NAMED = {
    "volume": codes.SCT.Volume,
    "count": codes.SCT.NumberOfLesions,
    "long": codes.SCT.LongAxis,
    "short": codes.SCT.ShortAxis,
}
UNITS = {"volume": "cm3", "count": "1", "long": "mm", "short": "mm"}
_ROWS = ("[Row 5] SCOORD", "[Row 7] IMAGE", "[Row 10] SCOORD3D")
_PART = re.compile(
    r"Error: Template 1411 VolumetricROIMeasurements/\[Row 1\] CONTAINER \(125007,DCM,\"Measurement Group\"\)/"
    r"(\[Row \d+\] \w+) .*: within 1\.(\d+\.\d+): .*: Missing conditional content item"
)


def sr_errors(*paths: Path) -> list[list[str]]:
    """Of each report the lines of PixelMed's DicomSRValidator that start with Error; reports are checked at once.

    The validator takes every measurement group of a report that references a segment for one that must (TID 1411),
    though TID 1500 allows others beside it (TID 1501): the three errors that it has for each such group, beyond the
    first, are known to be false and left out, by their exact wording.
    """
    options = {**os.environ, "JAVA_TOOL_OPTIONS": JAVA_OPTIONS}
    command = [require_tool("DicomSRValidator")]
    runs = [
        subprocess.Popen([*command, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=options)
        for path in paths
    ]
    return [_judged(run.communicate(timeout=TIMEOUT_S)[0]) for run in runs]


def _judged(said: str) -> list[str]:
    assert "Found Root Template TID_1500" in said and "IOD validation complete" in said, said
    errors = [line for line in said.splitlines() if line.startswith("Error")]
    false = [match for line in errors if (match := _PART.fullmatch(line)) and match[1] in _ROWS]
    groups = {match[2] for match in false}
    assert len(false) == len(groups) * len(_ROWS) and not any(group.endswith(".1") for group in groups), errors
    return [line for line in errors if line not in {match[0] for match in false}]


@dataclass(frozen=True)
class Group:
    """A measurement group as highdicom reads it: numbers by name, and where each axis ends, LPS mm (2, 3)."""

    group: Any
    numbers: dict[str, float]
    ends: dict[str, np.ndarray]
    drawn_on: set[str]


def read_report(path: Path, headers: Sequence[Dataset]) -> tuple[hd.sr.Comprehensive3DSR, list[Group], list[Group]]:
    """The report, its groups on a segment, and those on images; axes are placed by the headers of the source."""
    report = hd.sr.srread(path)
    assert isinstance(report, hd.sr.Comprehensive3DSR)
    on_segment = report.content.get_volumetric_roi_measurement_groups()
    on_images = report.content.get_image_measurement_groups()
    return report, [_group(item, headers) for item in on_segment], [_group(item, headers) for item in on_images]


def _group(group: Any, headers: Sequence[Dataset]) -> Group:
    numbers, ends, drawn_on = {}, {}, set()
    measurements = group.get_measurements()
    for key, code in NAMED.items():
        found = [item for item in measurements if item.name == code]
        assert len(found) <= 1
        for item in found:
            assert item.unit.value == UNITS[key]
            numbers[key] = item.value
            for place in item.referenced_coordinates:
                ends[key] = in_space(place, headers)
                drawn_on.add(_image(place).ReferencedSOPInstanceUID)
    assert len(numbers) == len(measurements)
    return Group(group, numbers, ends, drawn_on)


def _image(place: Dataset) -> Dataset:
    return place.ContentSequence[0].ReferencedSOPSequence[0]


def in_space(place: Dataset, headers: Sequence[Dataset]) -> np.ndarray:
    """LPS mm of coordinates on an image (PS3.3 C.18.6: the centre of the first pixel is 0.5, 0.5; C.7.6.2.1-1)."""
    image = _image(place)
    (header,) = (item for item in headers if item.SOPInstanceUID == image.ReferencedSOPInstanceUID)
    position, orientation, spacing = header, header, header
    if "ReferencedFrameNumber" in image:
        groups = (header.PerFrameFunctionalGroupsSequence[image.ReferencedFrameNumber - 1],
                  header.SharedFunctionalGroupsSequence[0])  # fmt: skip
        position, orientation, spacing = (
            next(group[name][0] for group in groups if name in group)
            for name in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
        )
    along, down = np.reshape(np.array(orientation.ImageOrientationPatient, float), (2, 3))
    between_rows, between_columns = map(float, spacing.PixelSpacing)
    columns, rows = (place.value - 0.5).T
    steps = columns[:, None] * between_columns * along + rows[:, None] * between_rows * down
    return np.array(position.ImagePositionPatient, float) + steps


def comments(report: Dataset) -> list[str]:
    """What the report says in words."""
    (words,) = (item for item in report.content[0].ContentSequence if item.name.value == "C0034375")
    return [item.TextValue for item in words.ContentSequence]


def write_report(
    folder: Path,
    mask: Volume,
    headers: Sequence[Dataset],
    further: Sequence[Dataset] = (),
    settings: SegSettings = SETTINGS,
    with_seg: bool = True,
    slice_axis: int = 2,
    **options: Any,
) -> SimpleNamespace:
    """Segmentation and report of `mask`, each read back."""
    seg = None
    if with_seg:
        write_dicom_seg(folder / "seg.dcm", mask, headers, list(further), settings)
        seg = pydicom.dcmread(folder / "seg.dcm", stop_before_pixels=True)
    path = folder / "sr.dcm"
    size = measure_mask(mask, slice_axis)
    write_dicom_sr(path, [size], headers, list(further), settings, seg=seg, **options)
    return SimpleNamespace(path=path, seg=seg, dataset=pydicom.dcmread(path))


def single(affine: Affine) -> Volume:
    """The mask of the tests without the parts that touch neither of its two large slices."""
    mask = lesion(affine)
    mask.array[:, :, 5:] = 0
    return mask


def check_numbers(group: Group, measured: Diameters, ml: float) -> None:
    """A group says what was measured, and its axes lie where they were, on one slice."""
    assert group.numbers["volume"] == pytest.approx(ml, abs=SAME_ML)
    for key, length, ends in (
        ("long", measured.long_mm, measured.long_ends),
        ("short", measured.short_mm, measured.short_ends),
    ):
        assert group.numbers[key] == pytest.approx(length, abs=SAME_MM)
        assert group.ends[key] == pytest.approx(np.array(ends) @ LPS_FROM_RAS[:3, :3], abs=ENDS_MM)
    assert len(group.drawn_on) == 1


def named_images(report: Dataset) -> set[str]:
    """Every instance that the content tree names."""
    return {str(e.value) for e in every_element(report) if e.keyword == "ReferencedSOPInstanceUID"}


def entity_errors(*files: Path) -> list[str]:
    """What dcentvfy finds different in one patient, study or series; its tables put one number of SR and MR apart."""
    judged = run_tool("dcentvfy", *files)
    false = (
        "Warning - Different information entities for attribute - Element=<AccessionNumber> IE <Study> versus <Series> "
    )
    return [line for line in (judged.stdout + judged.stderr).splitlines() if not line.startswith(false)]
