"""From what the user named to the series that could fill roles: one study, nothing read but headers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.geometry import Grid
from scanweave.transforms.io.dicom_geometry import MIN_SLICES
from scanweave.transforms.io.files import gather, is_nifti, reachable
from scanweave.transforms.io.nifti import read_nifti_header
from scanweave.transforms.io.series import HeaderFacts, Series, count_patients
from scanweave.transforms.io.slice_files import is_slice
from scanweave.transforms.io.slice_index import SOURCE as SLICES
from scanweave.transforms.io.slice_index import index_slices

NO_VOLUME = frozenset({Code.TOO_FEW_SLICES, Code.NOT_MR})
"""Of a localiser or a document: nobody means it when a folder is named for a role. A damaged series may be meant."""


@dataclass(frozen=True)
class StudyRequest:
    """What the user asked for: a path, roles given by hand (a path or a SeriesInstanceUID each), one study's UID.

    A study of 2-D slices has no UID; it goes by its name. `files`, relative to the path or within the archive, are all
    that is looked at, where they are named; files below the path to `leave_out` are no series.
    """

    path: Path | None
    inputs: Mapping[str, str] = field(default_factory=dict)
    study_uid: str | None = None
    leave_out: tuple[Path, ...] = ()
    files: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, path: str | Path | None, inputs: Mapping[str, str] | None = None, study_uid: str | None = None
    ) -> StudyRequest:
        """From what a configuration or a command line holds: strings."""
        return cls(Path(path) if path else None, dict(inputs or {}), study_uid)


@dataclass(frozen=True)
class FoundStudy:
    """All series under the path, the roles given by hand, and the broken files that belong to no known series."""

    series: tuple[Series, ...]
    chosen: Mapping[str, Series]
    stray_problems: tuple[Problem, ...] = ()


@contextmanager
def find_study(request: StudyRequest, roles: Sequence[str]) -> Iterator[FoundStudy]:
    """Look at every header; the files that the series name are there until the context is left.

    `roles` are the bundle's, in the order of the volumes of a 4-D NIfTI file.

    Raises
    ------
    InputRefused
        INPUT_NOT_FOUND, EMPTY_INPUT, BAD_ARCHIVE, WRONG_SHAPE and the refusals of `read_nifti_header`.
    """
    with ExitStack() as open_inputs:
        found = FoundStudy((), {})
        if request.path is not None:
            files = open_inputs.enter_context(gather(request.path, request.files))
            found = _look([file for file in files if file not in request.leave_out], request.path, roles)
        chosen = dict(found.chosen)
        for role, value in request.inputs.items():
            chosen[role] = _by_hand(role, value, found.series, open_inputs)
        yield FoundStudy(found.series, chosen, found.stray_problems)


def one_study(found: FoundStudy, study_uid: str | None) -> FoundStudy:
    """The study to segment, where there is exactly one of one patient.

    Raises
    ------
    InputRefused
        MULTIPLE_STUDIES, PATIENT_MISMATCH, INPUT_NOT_FOUND for a study that is not there, TRUNCATED for files too
        broken to say which series lacks them.
    """
    studies = sorted({series.study_uid for series in found.series if series.study_uid})
    if study_uid is not None and study_uid not in studies:
        message = f"no series belongs to the study {study_uid}; found: {', '.join(studies) or 'none'}"
        raise InputRefused(Problem(Code.INPUT_NOT_FOUND, message))
    kept = [item for item in found.series if study_uid is None or item.study_uid == study_uid]
    problems = list(found.stray_problems)
    if study_uid is None and len(studies) > 1:
        option = "NAME" if all(series.source == SLICES for series in found.series) else "UID"
        message = f"expected one study, found {len(studies)}: {', '.join(studies)}; choose with --study {option}"
        problems.insert(0, Problem(Code.MULTIPLE_STUDIES, message))
    patients = count_patients(item.patient for item in (*kept, *found.chosen.values()))
    if patients > 1:
        message = f"expected one patient, found {patients}: series of different patients are never combined"
        problems.append(Problem(Code.PATIENT_MISMATCH, message))
    if problems:
        raise InputRefused(problems)
    return FoundStudy(tuple(kept), found.chosen)


def _look(files: Sequence[Path], path: Path, roles: Sequence[str]) -> FoundStudy:
    if len(files) == 1 and files[0] == path and is_nifti(path):
        volumes = nifti_series(path)
        if len(volumes) != len(roles):
            message = f"expected {len(roles)} volumes ({', '.join(roles)}) in one file, found {len(volumes)}"
            raise InputRefused(Problem(Code.WRONG_SHAPE, message, path.name))
        return FoundStudy(volumes, dict(zip(roles, volumes, strict=True)))
    others = [file for file in files if not is_nifti(file)]
    if others:
        from scanweave.transforms.io.dicom_index import index_dicom  # pydicom is for those who have DICOM

        index = index_dicom(others)
        if index.series or index.stray_problems:
            return FoundStudy(index.series, {}, index.stray_problems)
    volumes = tuple(volume for file in files if is_nifti(file) for volume in _nifti_among_others(file))
    # Pictures beside scans are previews: they count where there is nothing else.
    found = volumes or index_slices(files, path)
    if not found:
        what = "masks alone" if any(is_slice(file) for file in files) else f"none among {len(files)} files"
        message = f"expected DICOM images, NIfTI files or slices (PNG, TIFF, JPEG), found {what}"
        raise InputRefused(Problem(Code.EMPTY_INPUT, message, path.name))
    return FoundStudy(found, {})


def _by_hand(role: str, value: str, series: Sequence[Series], open_inputs: ExitStack) -> Series:
    """The series that the user named for `role`: in the input by its UID or file name, or at a path of its own."""
    named = [item for item in series if value in (item.name, item.label)]
    path = Path(value)
    if not named and not reachable(path):
        message = f"--input {role}: expected a NIfTI file, a DICOM folder or a SeriesInstanceUID of the input"
        raise InputRefused(Problem(Code.INPUT_NOT_FOUND, message, path.name))
    if not named:
        found = _look(open_inputs.enter_context(gather(path)), path, [role])
        if found.stray_problems:
            raise InputRefused(found.stray_problems)
        named = list(found.series)
    if any(item.source == SLICES for item in named):
        message = f"--input {role}: 2-D slices are taken as a whole study, whose RGB channels are the roles"
        raise InputRefused(Problem(Code.UNSUPPORTED_FORM, message, path.name))
    usable = [item for item in named if not {problem.code for problem in item.problems} & NO_VOLUME] or named
    if len(usable) > 1:
        message = f"--input {role}: expected one series, found {', '.join(item.label for item in usable)}"
        raise InputRefused(Problem(Code.AMBIGUOUS_ROLE, message, path.name))
    if usable[0].problems:
        raise InputRefused(usable[0].problems)
    return usable[0]


def _nifti_among_others(path: Path) -> tuple[Series, ...]:
    """As `nifti_series`; a file that cannot be used does not keep the others from their roles."""
    try:
        return nifti_series(path)
    except InputRefused as refusal:
        return (Series(source="nifti", name=path.name, files=(path,), problems=refusal.problems),)


def nifti_series(path: Path) -> tuple[Series, ...]:
    """One series for each volume of a NIfTI file."""
    shape, affine = read_nifti_header(path)
    grid = Grid((shape[0], shape[1], shape[2]), affine)
    spacing = tuple(round(float(value), 4) for value in grid.spacing)
    problems = []
    if min(grid.shape) < MIN_SLICES:
        message = f"expected at least {MIN_SLICES} voxels along each axis, found {grid.shape}"
        problems.append(Problem(Code.TOO_FEW_SLICES, message, path.name))
    count = shape[3] if len(shape) > 3 else 1
    return tuple(
        Series(
            source="nifti",
            name=path.name,
            files=(path,),
            facts=HeaderFacts(slice_count=shape[2], spacing=spacing),  # type: ignore[arg-type]
            part=f"volume {number}" if count > 1 else "",
            volume=number,
            shape=grid.shape,
            spacing=spacing,  # type: ignore[arg-type]
            problems=tuple(problems),
        )
        for number in range(count)
    )
