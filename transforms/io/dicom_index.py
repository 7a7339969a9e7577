"""Which series a heap of files holds, from their headers alone: no pixel is read here.

One SeriesInstanceUID can hold several acquisitions (echoes, time points, magnitude and phase), which common
readers stack into one wrong volume: such a series is split first, then checked for its geometry.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.errors import InvalidDicomError

from scanweave.errors import Code, Problem
from scanweave.transforms.io.dicom_facts import header_facts, number, numbers, text, texts
from scanweave.transforms.io.dicom_geometry import (
    MIN_SLICES,
    ORIENTATION_TOLERANCE,
    SliceGeometry,
    geometry_problems,
    slice_spacing,
)
from scanweave.transforms.io.dicom_instance import Instance, count_patients, frame_count, open_image, patient_facts
from scanweave.transforms.io.dicom_slices import frame_geometries, slice_geometry
from scanweave.transforms.io.series import Series

DICOM_SUFFIXES = {".dcm", ".dicom", ".ima"}
"""Files so named must be DICOM; any other is looked at and passed over when it is not."""
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class DicomIndex:
    """All image series among some files, and the problems of files that cannot be told to belong to any."""

    series: tuple[Series, ...]
    stray_problems: tuple[Problem, ...]


def index_dicom(files: Iterable[Path]) -> DicomIndex:
    """Read the headers of `files`, in any order and mixture, and sort the images into series."""
    instances: dict[str, Instance] = {}
    stray: list[Problem] = []
    foreign: list[Path] = []
    for path in files:
        try:
            found = open_image(path)
        except InvalidDicomError:
            foreign.append(path)
            continue
        if isinstance(found, Problem):
            stray.append(found)
        elif found is not None:
            uid = text(found.header, "SOPInstanceUID")
            stray += _clash(found, instances.get(uid))
            if uid not in instances or instances[uid].problem:
                instances[uid] = found  # an instance stored twice is one instance, and the whole copy counts
    stray += _broken_by_name(foreign, instances.values())
    by_uid: dict[str, list[Instance]] = defaultdict(list)
    for item in instances.values():
        by_uid[text(item.header, "SeriesInstanceUID")].append(item)
    series = [_series(uid, part, some) for uid, all_of in by_uid.items() for part, some in _split(all_of)]
    series.sort(key=lambda item: (item.facts.series_number is None, item.facts.series_number or 0, item.label))
    return DicomIndex(tuple(series), tuple(stray))


def _clash(found: Instance, earlier: Instance | None) -> list[Problem]:
    """Two different images under one SOPInstanceUID: one would be dropped and the series left with a hole."""
    if earlier is None or _identity(found) == _identity(earlier):
        return []
    message = f"two different images bear one SOPInstanceUID, the other is {earlier.path.name}"
    return [Problem(Code.UNREADABLE, message, found.path.name)]


def _identity(instance: Instance) -> tuple[object, ...]:
    header = instance.header
    position = numbers(header, "ImagePositionPatient") or ()
    place = str([round(value, 2) for value in position])
    return text(header, "StudyInstanceUID"), text(header, "SeriesInstanceUID"), place, patient_facts(header)


def _broken_by_name(files: Iterable[Path], images: Iterable[Instance]) -> list[Problem]:
    """Files without DICOM's marks that are named as DICOM, or as the images beside them but for the digits."""
    shapes = {(item.path.parent, _DIGITS.sub("#", item.path.name)) for item in images}
    return [
        Problem(Code.TRUNCATED, "expected a DICOM file, found none of its marks", path.name)
        for path in files
        if path.suffix.lower() in DICOM_SUFFIXES or (path.parent, _DIGITS.sub("#", path.name)) in shapes
    ]


def _origin_problems(instances: Sequence[Instance], where: str) -> list[Problem]:
    """One series is of one patient and one study, whatever UIDs a faulty export repeats."""
    problems = []
    patients = count_patients(patient_facts(item.header) for item in instances)
    if patients > 1:
        message = f"expected one patient, found {patients} in one series"
        problems.append(Problem(Code.PATIENT_MISMATCH, message, where))
    studies = {text(item.header, "StudyInstanceUID") for item in instances}
    if len(studies) > 1:
        message = f"expected one study, found {len(studies)} in one series"
        problems.append(Problem(Code.MULTIPLE_STUDIES, message, where))
    return problems


def _split(instances: Sequence[Instance]) -> list[tuple[str, list[Instance]]]:
    """Parts of one UID by echo, time point and image type; one unnamed part where they agree.

    Echoes and time points image the same planes: a UID of several orientations is left whole, to be refused.
    """
    orientations = {text(item.header, "ImageOrientationPatient") for item in instances}
    if len(orientations) > 1 and _orientation_spread(instances) > ORIENTATION_TOLERANCE:
        return [("", list(instances))]
    echo = "EchoNumbers" if all(number(i.header, "EchoNumbers") is not None for i in instances) else "EchoTime"
    parts: dict[tuple[str, str, str], list[Instance]] = defaultdict(list)
    for item in instances:
        echo_number = number(item.header, echo)
        echo_text = "" if echo_number is None else f"{echo_number:.4g}"  # 90 and 90.0 are one echo time
        time_point = text(item.header, "TemporalPositionIdentifier")
        parts[echo_text, time_point, "\\".join(texts(item.header, "ImageType"))].append(item)
    if len(parts) == 1 or len(parts) == len(instances):  # what differs in every slice tells no acquisitions apart
        return [("", list(instances))]
    names = ("echo", "time", "type")
    varying = [len({key[axis] for key in parts}) > 1 for axis in range(len(names))]
    return [
        (" ".join(f"{n} {v or '-'}" for n, v, differs in zip(names, key, varying, strict=True) if differs), some)
        for key, some in parts.items()
    ]


def _orientation_spread(instances: Sequence[Instance]) -> float:
    """Largest difference between direction cosines; 0 where the headers hold none to compare."""
    found = [numbers(item.header, "ImageOrientationPatient") for item in instances]
    cosines = [value for value in found if value is not None and len(value) == 6]
    return float(np.ptp(cosines, axis=0).max()) if cosines else 0.0


def _series(uid: str, part: str, instances: Sequence[Instance]) -> Series:
    first = instances[0].header
    where = f"series {uid} [{part}]" if part else f"series {uid}"
    multiframe = frame_count(first) > 1
    slices = frame_geometries(first) if multiframe else [slice_geometry(item.header) for item in instances]
    problems = [*_origin_problems(instances, where), *(item.problem for item in instances if item.problem)]
    if multiframe and len(instances) > 1:
        message = f"expected one multi-frame image, found {len(instances)}"
        problems.append(Problem(Code.UNSUPPORTED_FORM, message, where))
    problems += geometry_problems(slices, where)
    if text(first, "PhotometricInterpretation") == "MONOCHROME1":
        message = "expected bright tissue on black (MONOCHROME2), found MONOCHROME1"
        problems.append(Problem(Code.UNSUPPORTED_FORM, message, where))
    samples = number(first, "SamplesPerPixel") or 1
    if samples != 1:
        message = f"expected one value a pixel, found {samples:g}: colours"
        problems.append(Problem(Code.UNSUPPORTED_FORM, message, where))
    if text(first, "Modality") != "MR":
        problems.append(Problem(Code.NOT_MR, f"expected MR, found {text(first, 'Modality') or 'nothing'}", where))
    if len(slices) < MIN_SLICES:
        message = f"expected at least {MIN_SLICES} slices, found {len(slices)}"
        problems.append(Problem(Code.TOO_FEW_SLICES, message, where))
    placed = all(item.complete for item in slices)
    spacing = _spacing(slices) if placed else None
    return Series(
        source="dicom",
        name=uid,
        part=part,
        files=tuple(item.path for item in instances),
        facts=header_facts(
            [i.header for i in instances], _normal_ras(slices) if placed else None, spacing, len(slices)
        ),
        study_uid=text(first, "StudyInstanceUID"),
        patient=patient_facts(first),
        frame_of_reference=text(first, "FrameOfReferenceUID"),
        shape=(slices[0].columns, slices[0].rows, len(slices)),
        spacing=spacing,
        problems=tuple(problems),
    )


def _spacing(slices: Sequence[SliceGeometry]) -> tuple[float, float, float]:
    """Along columns, rows and slices in mm; PixelSpacing names rows first (PS3.3 10.7.1.3)."""
    between_rows, between_columns = slices[0].pixel_spacing or (0.0, 0.0)
    thickness = slice_spacing(slices) or 0.0
    return round(between_columns, 4), round(between_rows, 4), round(thickness, 4)


def _normal_ras(slices: Sequence[SliceGeometry]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in slices[0].normal)
    return -x, -y, z
