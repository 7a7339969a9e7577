"""The first step of every chain: a path becomes one volume a role, with the evidence for it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from monai.transforms import Transform

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.geometry import Grid, Volume
from scanweave.transforms.io.dicom_volume import read_dicom_volume
from scanweave.transforms.io.find_study import StudyRequest, find_study, one_study
from scanweave.transforms.io.nifti import read_nifti
from scanweave.transforms.io.remarks import quiet
from scanweave.transforms.io.series import Series
from scanweave.transforms.selection.select import Role, Selection, assign_roles
from scanweave.transforms.volumes import to_metatensor

if TYPE_CHECKING:
    import nibabel as nib
    import pydicom


MOST_NEGATIVE = 0.05
"""Share of voxels below zero, those of one padding value apart, that interpolation leaves at most."""


@dataclass(frozen=True)
class LoadedStudy:
    """What the results need to know of the source beyond voxels.

    `headers` are the DICOM headers of each role's series, () for NIfTI; `grid` and `nifti_header` are the
    reference's own (None for DICOM).
    """

    selection: Selection
    reference: Series
    grid: Grid
    headers: Mapping[str, tuple[pydicom.Dataset, ...]]
    nifti_header: nib.Nifti1Image | None


class LoadStudyd(Transform):
    """Read the study at `study_key` (a path, a `StudyRequest`, or absent with all roles in `inputs_key`).

    Adds each found role's volume (1, i, j, k), float32 with its RAS affine; `same_frame`, the roles whose header
    claims the reference's frame of reference; and `loaded`, a `LoadedStudy`.
    """

    def __init__(self, roles: Sequence[Role], reference: str, study_key: str = "study") -> None:
        self.roles = tuple(roles)
        self.reference = reference
        self.study_key = study_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        request = d[self.study_key]
        if not isinstance(request, StudyRequest):
            request = StudyRequest.of(request)
        with quiet(), find_study(request, [role.name for role in self.roles]) as found:
            study = one_study(found, request.study_uid)
            selection = assign_roles(study.series, self.roles, study.chosen)
            series = {name: choice.series for name, choice in selection.assigned.items() if choice.series}
            read = {name: _read(item) for name, item in series.items()}
        for name, (volume, _, _) in read.items():
            d[name] = to_metatensor(volume)
        volume, _, nifti_header = read[self.reference]
        reference = series[self.reference]
        d["same_frame"] = tuple(name for name, item in series.items() if _same_frame(item, reference))
        headers = {name: headers for name, (_, headers, _) in read.items()}
        d["loaded"] = LoadedStudy(selection, reference, volume.grid, headers, nifti_header)
        return d


def _same_frame(series: Series, reference: Series) -> bool:
    """NIfTI headers name no frame of reference: scanner coordinates are all they have."""
    if series.source == "nifti":
        return True
    return bool(series.frame_of_reference) and series.frame_of_reference == reference.frame_of_reference


def _read(series: Series) -> tuple[Volume, tuple[pydicom.Dataset, ...], nib.Nifti1Image | None]:
    where = f"series {series.label}"
    headers: tuple[pydicom.Dataset, ...] = ()
    nifti_header = None
    if series.source == "dicom":
        volume, headers = read_dicom_volume(series)
    else:
        volumes, nifti_header = read_nifti(series.files[0])
        volume = volumes[series.volume]
    return magnitude(volume, where), headers, nifti_header


def magnitude(volume: Volume, where: str) -> Volume:
    """`volume` as a magnitude image, without negative voxels.

    One value below zero that fills a place without data is padding and becomes 0, and so do the few negatives of
    an interpolation. Many different ones mean another kind of image, on which scaling from zero has no sense.

    Raises
    ------
    InputRefused
        NOT_FINITE, EMPTY_VOLUME, NEGATIVE_VALUES.
    """
    voxels = volume.array
    if not np.isfinite(voxels).all():
        count = int((~np.isfinite(voxels)).sum())
        raise InputRefused(Problem(Code.NOT_FINITE, f"{count} voxels are not finite numbers", where))
    low, high = float(voxels.min()), float(voxels.max())
    if high <= max(low, 0.0):
        found = f"the value {low:g} in every voxel" if low == high else "no voxel above zero"
        message = f"expected an image, found {found}"
        raise InputRefused(Problem(Code.EMPTY_VOLUME, message, where))
    if low >= 0:
        return volume
    scattered = float(((voxels < 0) & (voxels > low)).mean())
    if scattered > MOST_NEGATIVE:
        message = f"expected a magnitude image, found {scattered:.0%} of the voxels below zero"
        raise InputRefused(Problem(Code.NEGATIVE_VALUES, message, where))
    return Volume(np.maximum(voxels, 0), volume.affine)
