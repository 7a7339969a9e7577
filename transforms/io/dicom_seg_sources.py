"""Source headers as highdicom wants them: real ones lack attributes, or round their geometry."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import DA, TM

from scanweave.transforms.io.dicom_seg_grid import Plane, order_of, planes_of
from scanweave.transforms.io.uids import derived_uid

POSITION_TOLERANCE_MM = 5e-4
COSINE_TOLERANCE = 5e-6
"""Half of the differences up to which highdicom 0.28 takes a plane of the mask for one of the source's."""

_KEPT = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
_MATRIX = ("Rows", "Columns", "NumberOfFrames")
_PATIENT = ("PatientID", "PatientBirthDate", "PatientSex")
_STUDY = ("AccessionNumber", "StudyID", "StudyDate", "StudyTime")
_SEXES = ("M", "F", "O")
_FUNCTIONAL_GROUPS, _PIXELS = 0x5200, 0x7FE0


def sorted_headers(headers: Sequence[Dataset]) -> tuple[list[Dataset], list[Plane]]:
    """Headers along the slice normal and a plane each; or one enhanced header and a plane for each frame.

    Raises
    ------
    ValueError
        Where a plane lacks its geometry, or several instances are multi-frame.
    """
    planes = [planes_of(header) for header in headers]
    if not headers or not all(planes) or (len(headers) > 1 and any(len(p) > 1 for p in planes)):
        raise ValueError("expected single slices with a complete geometry, or one multi-frame instance")
    if len(headers) == 1:
        return list(headers), planes[0]
    order = order_of([p[0] for p in planes])
    return [headers[n] for n in order], [planes[n][0] for n in order]


def frame_of_reference(header: Dataset) -> str:
    """The header's own; where it has none, or the series' UID as a stand-in, one derived from the series."""
    uid, series = header.get("FrameOfReferenceUID"), str(header.SeriesInstanceUID)
    return str(uid) if uid and uid != series else derived_uid("frame of reference", series)


def segmented_sources(headers: Sequence[Dataset], planes: Sequence[Plane], stack: hd.Volume) -> list[Dataset]:
    """Bare copies of the FLAIR's headers, on which highdicom recognises every plane of `stack`.

    The geometry is the headers' own to the digit, unless rounding keeps it from being one even stack to
    highdicom's tolerance; then it is that of `stack`, so that frames still refer to their slices.
    """
    order = order_of(planes)
    even = [item[0].ImagePositionPatient for item in stack.get_plane_positions()]
    own = [planes[n].position for n in order]
    positions = own if np.allclose(own, even, rtol=0, atol=POSITION_TOLERANCE_MM) else even
    orientation = stack.get_plane_orientation()[0].ImageOrientationPatient
    if np.allclose([p.orientation for p in planes], orientation, rtol=0, atol=COSINE_TOLERANCE):
        orientation = planes[order[0]].orientation
    slice_spacing = stack.spacing[0]
    pixel_spacing, thickness = planes[order[0]].pixel_spacing, planes[order[0]].thickness or slice_spacing
    at = {n: Plane(p, orientation, pixel_spacing, thickness) for n, p in zip(order, positions, strict=True)}
    frame_uid = str(stack.frame_of_reference_uid)
    if len(headers) == 1:
        sources = [_bare(headers[0], [at[n] for n in range(len(planes))], frame_uid, slice_spacing)]
    else:
        sources = [_bare(header, [at[n]], frame_uid, slice_spacing) for n, header in enumerate(headers)]
    _add_patient_and_study(sources[0], headers[0])
    return sources


def patient_and_study(header: Dataset) -> Dataset:
    """What highdicom copies of patient and study, and what it needs to know where that comes from."""
    source = Dataset()
    for keyword in _KEPT:
        if keyword in header:
            source.add(header[keyword])
    _add_patient_and_study(source, header)
    return source


def _bare(header: Dataset, planes: Sequence[Plane], frame_uid: str, slice_spacing: float | None = None) -> Dataset:
    bare = Dataset()
    for keyword in (*_KEPT, *_MATRIX):
        if keyword in header:
            bare.add(header[keyword])
    bare.FrameOfReferenceUID = frame_uid if planes else ""
    if not planes:
        return bare
    thickness = planes[0].thickness or slice_spacing or 0.0
    measures = hd.PixelMeasuresSequence(planes[0].pixel_spacing, thickness, slice_spacing)
    if "PerFrameFunctionalGroupsSequence" not in header:
        bare.ImagePositionPatient = planes[0].position
        bare.ImageOrientationPatient = planes[0].orientation
        for element in measures[0]:
            bare.add(element)
        return bare
    shared = Dataset()  # Philips repeats in each frame what highdicom looks for here
    shared.PlaneOrientationSequence = hd.PlaneOrientationSequence("PATIENT", planes[0].orientation)
    shared.PixelMeasuresSequence = measures
    bare.SharedFunctionalGroupsSequence = [shared]
    bare.PerFrameFunctionalGroupsSequence = [Dataset() for _ in planes]
    for frame, plane in zip(bare.PerFrameFunctionalGroupsSequence, planes, strict=True):
        frame.PlanePositionSequence = hd.PlanePositionSequence("PATIENT", plane.position)
    return bare


def _add_patient_and_study(source: Dataset, header: Dataset) -> None:
    """Add what highdicom copies or asks for; empty where the header lacks it or holds what the VR forbids.

    The patient's name stays empty here: highdicom puts an unusual one into a warning.
    """
    for tag in header.keys():  # noqa: SIM118 (iterating over a Dataset would decode every element)
        if tag.is_private or tag.group in (_FUNCTIONAL_GROUPS, _PIXELS) or tag in source:
            continue
        with contextlib.suppress(Exception):  # what pydicom cannot decode is left behind
            source.add(header[tag])
    for keyword in (*_PATIENT, *_STUDY, "PatientName"):
        value = source.pop(keyword).value if keyword in source else None  # the header keeps its element
        setattr(source, keyword, value if valid(keyword, value) else "")


def valid(keyword: str, value: object) -> bool:
    """Whether highdicom takes `value`: a date or time as DICOM writes it, a sex that DICOM knows."""
    if value is None or value == "":
        return False
    try:
        if keyword.endswith("Date"):
            DA(value)
        elif keyword.endswith("Time"):
            TM(value)
    except (TypeError, ValueError):
        return False
    return keyword != "PatientName" and (keyword != "PatientSex" or value in _SEXES)
