"""One series of DICOM files: what its headers say together, and all reasons why it cannot be used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pydicom

from scanweave.errors import Code, Problem
from scanweave.transforms.io.dicom_facts import header_facts, number, text
from scanweave.transforms.io.dicom_geometry import MIN_SLICES, SliceGeometry, geometry_problems, slice_spacing
from scanweave.transforms.io.dicom_instance import Instance, frame_count, patient_facts
from scanweave.transforms.io.dicom_parts import differences
from scanweave.transforms.io.dicom_slices import kinds_of, slice_geometry, slices_of
from scanweave.transforms.io.series import Series, count_patients
from scanweave.transforms.io.volume_limits import size_problem

_SEVERAL_STACKS = frozenset({Code.DUPLICATE_POSITION, Code.MIXED_ORIENTATION})
"""What the geometry of an enhanced image with several stacks, echoes or time points looks like."""


def describe_series(uid: str, part: str, instances: Sequence[Instance]) -> Series:
    """The series of that UID, or that `part` of it, with its problems: those of files first, then of the geometry."""
    headers = [item.header for item in instances]
    first = headers[0]
    where = f"series {uid} [{part}]" if part else f"series {uid}"
    frames = [slices_of(header) for header in headers]
    slices = [slice_geometry(one, header) for header, own in zip(headers, frames, strict=True) for one in own]
    shape = (slices[0].columns, slices[0].rows, len(slices))
    claimed = sum(frame_count(header) for header in headers)
    edges = max(item.columns for item in slices), max(item.rows for item in slices)
    too_large = size_problem((*edges, max(claimed, len(slices))), where)
    geometry = geometry_problems(slices, where)
    problems = [
        *_origin_problems(instances, where),
        *_file_problems(instances),
        *([too_large] if too_large else []),
        *_frame_problems(claimed, frames, geometry, where),
        *geometry,
        *([] if geometry else _mixture_problems(instances, where)),
        *_colour_problems(headers, where),
        *_kind_problems(headers, len(slices), where),
    ]
    placed = all(item.complete for item in slices)
    spacing = _spacing(slices) if placed else None
    return Series(
        source="dicom",
        name=uid,
        part=part,
        files=tuple(item.path for item in instances),
        facts=header_facts(headers, _normal_ras(slices) if placed else None, spacing, len(slices)),
        study_uid=text(first, "StudyInstanceUID"),
        patient=patient_facts(first),
        frame_of_reference=text(first, "FrameOfReferenceUID"),
        shape=shape,
        spacing=spacing,
        problems=tuple(problems),
    )


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


def _file_problems(instances: Sequence[Instance]) -> list[Problem]:
    """What is wrong with single files; what is wrong with many of them alike is said once."""
    files: dict[tuple[Code, str], list[str]] = defaultdict(list)
    for item in instances:
        for problem in item.problems:
            files[problem.code, problem.message].append(problem.where)
    return [
        Problem(code, message, names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more")
        for (code, message), names in files.items()
    ]


def _frame_problems(
    claimed: int, frames: Sequence[Sequence[pydicom.Dataset]], geometry: Sequence[Problem], where: str
) -> list[Problem]:
    """Multi-frame images that are not one stack of frames with a place each; `claimed` frames by their headers."""
    found = sum(len(own) for own in frames)
    if found != claimed:
        message = f"expected a place for each of {claimed} frames, found {found}"
        return [Problem(Code.UNSUPPORTED_FORM, message, where)]
    if len(frames) > 1 or not _SEVERAL_STACKS & {problem.code for problem in geometry}:
        return []
    kinds = ", ".join(f"{count} of {name}" for name, count in kinds_of(frames[0]).items())
    message = f"expected one stack of frames in an image, found several: {kinds}"
    return [Problem(Code.UNSUPPORTED_FORM, message, where)] if kinds else []


def _mixture_problems(instances: Sequence[Instance], where: str) -> list[Problem]:
    """One stack of slices that are of several acquisitions: values that cannot be compared."""
    if not (found := differences(instances)):
        return []
    message = f"expected slices of one acquisition, found one stack that differs by {', '.join(found)}"
    return [Problem(Code.UNSUPPORTED_FORM, message, where)]


def _colour_problems(headers: Sequence[pydicom.Dataset], where: str) -> list[Problem]:
    """Pixels that are not one brightness each, the larger the brighter."""
    meanings = {text(header, "PhotometricInterpretation") for header in headers} - {"", "MONOCHROME2"}
    samples = max(number(header, "SamplesPerPixel") or 1 for header in headers)
    if not meanings and samples == 1:
        return []
    found = ", ".join(sorted(meanings)) or f"{samples:g} values a pixel"
    message = f"expected bright tissue on black, one value a pixel (MONOCHROME2), found {found}"
    return [Problem(Code.UNSUPPORTED_FORM, message, where)]


def _kind_problems(headers: Sequence[pydicom.Dataset], slice_count: int, where: str) -> list[Problem]:
    """Another modality, or no volume."""
    problems = []
    modalities = sorted({text(header, "Modality") or "nothing" for header in headers} - {"MR"})
    if modalities:
        problems.append(Problem(Code.NOT_MR, f"expected MR, found {', '.join(modalities)}", where))
    if slice_count < MIN_SLICES:
        message = f"expected at least {MIN_SLICES} slices, found {slice_count}"
        problems.append(Problem(Code.TOO_FEW_SLICES, message, where))
    return problems


def _spacing(slices: Sequence[SliceGeometry]) -> tuple[float, float, float]:
    """Along columns, rows and slices in mm; PixelSpacing names rows first (PS3.3 10.7.1.3)."""
    between_rows, between_columns = slices[0].pixel_spacing or (0.0, 0.0)
    thickness = slice_spacing(slices) or 0.0
    return round(between_columns, 4), round(between_rows, 4), round(thickness, 4)


def _normal_ras(slices: Sequence[SliceGeometry]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in slices[0].normal)
    return -x, -y, z
