"""One DICOM file: is it an image, is it whole, and whose is it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.io.dicom_facts import number, text
from scanweave.transforms.io.dicom_file import read_header
from scanweave.transforms.io.dicom_pixel_checks import (
    SIEMENS_BLOCK,
    SIEMENS_MOSAIC_SLICES,
    pixel_problems,
    unread_syntax,
)

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
    "PatientSex",
    "PhotometricInterpretation",
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
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "InstanceNumber",
    "InConcatenationTotalNumber",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    SIEMENS_BLOCK,
    SIEMENS_MOSAIC_SLICES,
]
_UIDS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


@dataclass(frozen=True)
class Instance:
    """One DICOM image file: its header without the pixels, and what is wrong with the file itself."""

    path: Path
    header: pydicom.Dataset
    problems: tuple[Problem, ...] = ()


def open_image(path: Path) -> Instance | Problem | None:
    """An image, a broken DICOM file, or None for a DICOM file that is no image; InvalidDicomError for any other."""
    try:
        opened = read_header(path, _HEADER_TAGS)
    except (InvalidDicomError, MemoryError):
        raise
    except InputRefused as refusal:
        return refusal.problems[0]
    except Exception as error:  # pydicom raises nearly anything on damaged bytes, OSError without a number too
        if isinstance(error, OSError) and error.strerror:
            return Problem(Code.UNREADABLE, f"the file cannot be read ({error.strerror})", path.name)
        return Problem(Code.TRUNCATED, f"the header cannot be read ({type(error).__name__})", path.name)
    header = opened.header
    if not opened.marked and not all(key in header for key in ("Rows", *_UIDS)):
        raise InvalidDicomError("no marks of DICOM, and no image")
    if "Rows" not in header:
        if _is_no_image(header):
            return None
        if unread := unread_syntax(header):
            return Problem(Code.UNSUPPORTED_SYNTAX, unread, path.name)
        return Problem(Code.TRUNCATED, "the header breaks off before its matrix", path.name)
    if not all(text(header, key) for key in _UIDS):
        return Problem(Code.TRUNCATED, "the header lacks UIDs", path.name)
    several = [key for key in _UIDS if not isinstance(header[key].value, str)]
    if several:
        return Problem(Code.UNREADABLE, f"expected one {several[0]}, found several in one header", path.name)
    return Instance(path, header, tuple(pixel_problems(path, opened)))


def frame_count(header: pydicom.Dataset) -> int:
    """Frames of an image, one where the header does not say."""
    return max(int(number(header, "NumberOfFrames") or 1), 1)


def patient_facts(header: pydicom.Dataset) -> tuple[str, ...]:
    """Hashes of what tells patients apart, "" where the header does not say: number (or name), issuer, birth, sex.

    A series may lack what another has: only what both say can contradict (`count_patients`). Names alone are written
    in too many ways to count beside a number.
    """
    identity = text(header, "PatientID") or text(header, "PatientName")
    facts = (identity, *(text(header, key) for key in ("IssuerOfPatientID", "PatientBirthDate", "PatientSex")))
    return tuple(hashlib.sha256(fact.encode()).hexdigest() if fact else "" for fact in facts)


def _is_no_image(header: pydicom.Dataset) -> bool:
    """Whether a header without a matrix is all there is: of a class that has none, or of an unknown class but whole."""
    meta = getattr(header, "file_meta", pydicom.Dataset())
    uid = pydicom.uid.UID(text(meta, "MediaStorageSOPClassUID") or text(header, "SOPClassUID"))
    if uid.name == uid:  # in no dictionary: private, or cut off
        return bool(text(header, "StudyInstanceUID") and text(header, "SeriesInstanceUID"))
    return "Image Storage" not in uid.name
