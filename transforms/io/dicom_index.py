"""Which series a heap of files holds, from their headers alone: no pixel is read here.

One SeriesInstanceUID can hold several acquisitions (echoes, time points, magnitude and phase), which common
readers stack into one wrong volume: such a series is split first, then checked for its geometry.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from scanweave.errors import Code, Problem
from scanweave.transforms.io.dicom_facts import header_facts, items, number, numbers, text, texts
from scanweave.transforms.io.dicom_geometry import (
    MIN_SLICES,
    ORIENTATION_TOLERANCE,
    SliceGeometry,
    geometry_problems,
    slice_spacing,
)
from scanweave.transforms.io.series import Series

DICOM_SUFFIXES = {".dcm", ".dicom", ".ima"}
"""Files so named must be DICOM; any other is looked at and passed over when it is not."""
EXPLICIT_HEADER_BYTES, IMPLICIT_HEADER_BYTES = 12, 8
"""Of the pixel data element (PS3.5 7.1.2, 7.1.3)."""
_DIGITS = re.compile(r"\d+")

_HEADER_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "Modality",
    "Manufacturer",
    "SeriesDescription",
    "ProtocolName",
    "SequenceName",
    "PulseSequenceName",
    "SeriesNumber",
    "ImageType",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "RepetitionTime",
    "EchoTime",
    "EffectiveEchoTime",
    "InversionTime",
    "InversionTimes",
    "FlipAngle",
    "EchoNumbers",
    "TemporalPositionIdentifier",
    "DiffusionBValue",
    "ContrastBolusAgent",
    "ContrastBolusVolume",
    "ContrastBolusAgentSequence",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "SeriesDate",
    "SeriesTime",
    "StudyDate",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "NumberOfFrames",
    "BitsAllocated",
    "SamplesPerPixel",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


@dataclass(frozen=True)
class Instance:
    """One DICOM image file: its header without the pixels, and what is wrong with the file itself."""

    path: Path
    header: pydicom.Dataset
    problem: Problem | None = None


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
            found = _open(path)
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


def _open(path: Path) -> Instance | Problem | None:
    """An image, a broken DICOM file, or None for a DICOM file that is no image; InvalidDicomError for any other."""
    try:
        with path.open("rb") as stream:
            header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_HEADER_TAGS)
            remaining = os.fstat(stream.fileno()).st_size - stream.tell()
    except InvalidDicomError:
        raise
    except Exception as error:  # pydicom raises nearly anything on damaged bytes, OSError without a number too
        if isinstance(error, OSError) and error.strerror:
            return Problem(Code.UNREADABLE, f"the file cannot be read ({error.strerror})", path.name)
        return Problem(Code.TRUNCATED, f"the header cannot be read ({type(error).__name__})", path.name)
    if "Rows" not in header:
        whole = _is_no_image(header)
        return None if whole else Problem(Code.TRUNCATED, "the header breaks off before its matrix", path.name)
    if not all(text(header, key) for key in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")):
        return Problem(Code.TRUNCATED, "the header lacks UIDs", path.name)
    return Instance(path, header, _missing_bytes(path, header, remaining))


def _clash(found: Instance, earlier: Instance | None) -> list[Problem]:
    """Two different images under one SOPInstanceUID: one would be dropped and the series left with a hole."""
    if earlier is None or _identity(found) == _identity(earlier):
        return []
    message = f"two different images bear one SOPInstanceUID, the other is {earlier.path.name}"
    return [Problem(Code.UNREADABLE, message, found.path.name)]


def _identity(instance: Instance) -> tuple[str, ...]:
    header = instance.header
    position = numbers(header, "ImagePositionPatient") or ()
    place = str([round(value, 2) for value in position])
    return text(header, "StudyInstanceUID"), text(header, "SeriesInstanceUID"), place, _patient_key(header)


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
    patients = {_patient_key(item.header) for item in instances} - {""}
    if len(patients) > 1:
        message = f"expected one patient, found {len(patients)} in one series"
        problems.append(Problem(Code.PATIENT_MISMATCH, message, where))
    studies = {text(item.header, "StudyInstanceUID") for item in instances}
    if len(studies) > 1:
        message = f"expected one study, found {len(studies)} in one series"
        problems.append(Problem(Code.MULTIPLE_STUDIES, message, where))
    return problems


def _is_no_image(header: pydicom.Dataset) -> bool:
    """Whether a header without a matrix is all there is: of a class that has none, or of an unknown class but whole."""
    meta = getattr(header, "file_meta", pydicom.Dataset())
    uid = pydicom.uid.UID(text(meta, "MediaStorageSOPClassUID") or text(header, "SOPClassUID"))
    if uid.name == uid:  # in no dictionary: private, or cut off
        return bool(text(header, "StudyInstanceUID") and text(header, "SeriesInstanceUID"))
    return "Image Storage" not in uid.name


def _missing_bytes(path: Path, header: pydicom.Dataset, remaining: int) -> Problem | None:
    """Uncompressed pixels have a known length: a shorter file is a broken copy."""
    syntax = getattr(header, "file_meta", pydicom.Dataset()).get("TransferSyntaxUID")
    if syntax is not None and syntax.is_deflated:  # read to its end to get at the header
        return None
    if remaining <= 0:
        return Problem(Code.TRUNCATED, "the file ends before its pixels", path.name)
    if syntax is None or syntax.is_compressed:
        return None
    remaining -= IMPLICIT_HEADER_BYTES if syntax.is_implicit_VR else EXPLICIT_HEADER_BYTES
    counts = [number(header, key) or 0 for key in ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel")]
    expected = math.prod(int(count) for count in counts) * _frame_count(header) // 8
    if remaining >= expected:
        return None
    return Problem(Code.TRUNCATED, f"expected {expected} bytes of pixels, found {max(remaining, 0)}", path.name)


def _frame_count(header: pydicom.Dataset) -> int:
    return max(int(number(header, "NumberOfFrames") or 1), 1)


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
        time_point = text(item.header, "TemporalPositionIdentifier")
        parts[text(item.header, echo), time_point, "\\".join(texts(item.header, "ImageType"))].append(item)
    if len(parts) == 1:
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
    multiframe = _frame_count(first) > 1
    slices = _frame_geometries(first) if multiframe else [_slice_geometry(item.header) for item in instances]
    problems = [*_origin_problems(instances, where), *(item.problem for item in instances if item.problem)]
    if multiframe and len(instances) > 1:
        message = f"expected one multi-frame image, found {len(instances)}"
        problems.append(Problem(Code.UNSUPPORTED_FORM, message, where))
    problems += geometry_problems(slices, where)
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
        patient=_patient_key(first),
        frame_of_reference=text(first, "FrameOfReferenceUID"),
        shape=(slices[0].columns, slices[0].rows, len(slices)),
        spacing=spacing,
        problems=tuple(problems),
    )


def _slice_geometry(header: pydicom.Dataset) -> SliceGeometry:
    return SliceGeometry(
        orientation=numbers(header, "ImageOrientationPatient"),
        position=numbers(header, "ImagePositionPatient"),
        pixel_spacing=numbers(header, "PixelSpacing"),
        rows=int(number(header, "Rows") or 0),
        columns=int(number(header, "Columns") or 0),
        frame_of_reference=text(header, "FrameOfReferenceUID"),
    )


def _frame_geometries(header: pydicom.Dataset) -> list[SliceGeometry]:
    """One geometry a frame; the shared group stands in for what the frame's own lacks (PS3.3 C.7.6.16.1)."""
    shared = _slice_geometry(header)
    frames = []
    for group in items(header, "PerFrameFunctionalGroupsSequence") or [pydicom.Dataset()]:
        frame = pydicom.Dataset()
        frame.PerFrameFunctionalGroupsSequence = [group]
        own = {key: numbers(frame, key) for key in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing")}
        frames.append(
            SliceGeometry(
                orientation=own["ImageOrientationPatient"] or shared.orientation,
                position=own["ImagePositionPatient"],
                pixel_spacing=own["PixelSpacing"] or shared.pixel_spacing,
                rows=shared.rows,
                columns=shared.columns,
                frame_of_reference=shared.frame_of_reference,
            )
        )
    return frames


def _spacing(slices: Sequence[SliceGeometry]) -> tuple[float, float, float]:
    """Along columns, rows and slices in mm; PixelSpacing names rows first (PS3.3 10.7.1.3)."""
    between_rows, between_columns = slices[0].pixel_spacing or (0.0, 0.0)
    thickness = slice_spacing(slices) or 0.0
    return round(between_columns, 4), round(between_rows, 4), round(thickness, 4)


def _normal_ras(slices: Sequence[SliceGeometry]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in slices[0].normal)
    return -x, -y, z


def _patient_key(header: pydicom.Dataset) -> str:
    """Equal for equal patients, and not to be read back; "" where the header names nobody."""
    identity = [text(header, "PatientID"), text(header, "IssuerOfPatientID")]
    if not identity[0]:
        identity = [text(header, "PatientName"), text(header, "PatientBirthDate")]
    return hashlib.sha256("\x1f".join(identity).encode()).hexdigest() if any(identity) else ""
