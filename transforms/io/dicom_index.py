"""Which series a heap of files holds, from their headers alone: no pixel is read here.

One SeriesInstanceUID can hold several acquisitions (echoes, time points, magnitude and phase), which common
readers stack into one wrong volume: such a series is split first, then checked for its geometry.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
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
from scanweave.transforms.io.series import Series

DICOM_SUFFIXES = {".dcm", ".dicom", ".ima"}
"""Files so named must be DICOM; any other is looked at and passed over in silence when it is not."""

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
    instances: dict[str, list[Instance]] = defaultdict(list)
    stray: list[Problem] = []
    seen: set[str] = set()
    for path in files:
        found = _open(path)
        if isinstance(found, Problem):
            stray.append(found)
        elif found is not None and (uid := str(found.header.SOPInstanceUID)) not in seen:
            seen.add(uid)  # an instance stored twice is one instance
            instances[str(found.header.SeriesInstanceUID)].append(found)
    series = [_series(uid, part, items) for uid, all_of in instances.items() for part, items in _split(all_of)]
    series.sort(key=lambda item: (item.facts.series_number is None, item.facts.series_number or 0, item.label))
    return DicomIndex(tuple(series), tuple(stray))


def _open(path: Path) -> Instance | Problem | None:
    """An image, a broken DICOM file, or None for what is no image."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_HEADER_TAGS)
            pixels_at = stream.tell()
    except InvalidDicomError:
        if path.suffix.lower() not in DICOM_SUFFIXES:
            return None
        return Problem(Code.TRUNCATED, f"expected a DICOM file, found {size} bytes without its marks", path.name)
    except Exception as error:  # pydicom raises nearly anything on damaged bytes
        return Problem(Code.TRUNCATED, f"the header cannot be read ({type(error).__name__})", path.name)
    if "Rows" not in header and not _is_image_class(header):
        return None if "SOPClassUID" in header else Problem(Code.TRUNCATED, "the header breaks off", path.name)
    if not (header.get("SOPInstanceUID") and header.get("SeriesInstanceUID") and header.get("StudyInstanceUID")):
        return Problem(Code.TRUNCATED, "the header breaks off before its UIDs", path.name)
    return Instance(path, header, _missing_bytes(path, header, size - pixels_at))


def _is_image_class(header: pydicom.Dataset) -> bool:
    uid = header.get("SOPClassUID")
    return uid is not None and "Image Storage" in pydicom.uid.UID(uid).name


def _missing_bytes(path: Path, header: pydicom.Dataset, remaining: int) -> Problem | None:
    """Uncompressed pixels have a known length: a shorter file is a broken copy."""
    if remaining <= 0:
        return Problem(Code.TRUNCATED, "the file ends before its pixels", path.name)
    syntax = getattr(header, "file_meta", pydicom.Dataset()).get("TransferSyntaxUID")
    if syntax is None or syntax.is_compressed:
        return None
    frames = int(number(header, "NumberOfFrames") or 1)
    bits = int(header.get("BitsAllocated", 8)) * int(header.get("SamplesPerPixel", 1))
    expected = int(header.get("Rows", 0)) * int(header.get("Columns", 0)) * frames * bits // 8
    if remaining >= expected:
        return None
    return Problem(Code.TRUNCATED, f"expected {expected} bytes of pixels, found {remaining}", path.name)


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
        (" ".join(f"{n} {v or '-'}" for n, v, differs in zip(names, key, varying, strict=True) if differs), items)
        for key, items in parts.items()
    ]


def _orientation_spread(instances: Sequence[Instance]) -> float:
    """Largest difference between direction cosines; 0 where the headers hold none to compare."""
    found = [numbers(item.header, "ImageOrientationPatient") for item in instances]
    cosines = [value for value in found if value is not None and len(value) == 6]
    return float(np.ptp(cosines, axis=0).max()) if cosines else 0.0


def _series(uid: str, part: str, instances: Sequence[Instance]) -> Series:
    first = instances[0].header
    where = f"series {uid} [{part}]" if part else f"series {uid}"
    multiframe = int(number(first, "NumberOfFrames") or 1) > 1
    slices = _frame_geometries(first) if multiframe else [_slice_geometry(item.header) for item in instances]
    problems = [item.problem for item in instances if item.problem]
    if multiframe and len(instances) > 1:
        message = f"expected one multi-frame image, found {len(instances)}"
        problems.append(Problem(Code.UNSUPPORTED_FORM, message, where))
    problems += geometry_problems(slices, where)
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
        study_uid=str(first.StudyInstanceUID),
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
    for group in header.get("PerFrameFunctionalGroupsSequence") or [pydicom.Dataset()] * int(header.NumberOfFrames):
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
