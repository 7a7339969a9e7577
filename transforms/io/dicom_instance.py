"""One DICOM file: is it an image, is it whole, and whose is it."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from scanweave.errors import Code, Problem
from scanweave.transforms.io.dicom_facts import number, text

EXPLICIT_HEADER_BYTES, IMPLICIT_HEADER_BYTES = 12, 8
"""Of the pixel data element (PS3.5 7.1.2, 7.1.3)."""
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


def open_image(path: Path) -> Instance | Problem | None:
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


def count_patients(facts: Iterable[tuple[str, ...]]) -> int:
    """How many patients these are at least: the most different values that any one fact has."""
    columns = zip(*(known for known in facts if known), strict=True)
    return max((len(set(column) - {""}) for column in columns), default=0)


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
    expected = math.prod(int(count) for count in counts) * frame_count(header) // 8
    if remaining >= expected:
        return None
    return Problem(Code.TRUNCATED, f"expected {expected} bytes of pixels, found {max(remaining, 0)}", path.name)
