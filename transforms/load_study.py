"""The first step of every chain: a path becomes one volume a role, with the evidence for it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.geometry import Grid, Volume
from scanweave.transforms.image import Image
from scanweave.transforms.io.find_study import StudyRequest, find_study, one_study
from scanweave.transforms.io.nifti import read_nifti
from scanweave.transforms.io.pixel_decoder import PixelDecoder
from scanweave.transforms.io.remarks import quiet
from scanweave.transforms.io.series import Series
from scanweave.transforms.io.slice_index import SOURCE as SLICES
from scanweave.transforms.io.slice_volume import SlicePictures, read_slices
from scanweave.transforms.preview import Preview, make_preview
from scanweave.transforms.selection.select import Role, Selection, assign_roles
from scanweave.transforms.selection.site_rules import site_rules
from scanweave.transforms.selection.slice_copies import substitute_copies
from scanweave.transforms.volumes import PREPARED

if TYPE_CHECKING:
    import nibabel as nib
    import pydicom


_Read: TypeAlias = "tuple[Volume, tuple[pydicom.Dataset, ...], nib.Nifti1Image | None]"
"""A volume with the headers of its DICOM files or of its NIfTI file."""
MOST_NEGATIVE = 0.05
"""Share of voxels below zero, those of one padding value apart, that interpolation leaves at most."""


@dataclass(frozen=True)
class LoadedStudy:
    """What the results need to know of the source beyond voxels.

    `headers` are the DICOM headers of each role's series, () for NIfTI; `grid` and `nifti_header` are the
    reference's own (None for DICOM). `preview` is the reference for the eye, long after its voxels were let go.
    `pictures` are there for 2-D slices, of which no spacing is known: their `grid` is nominal, nothing in mm or ml
    may be told from it.
    """

    selection: Selection
    reference: Series
    grid: Grid
    headers: Mapping[str, tuple[pydicom.Dataset, ...]]
    nifti_header: nib.Nifti1Image | None
    preview: Preview | None = None
    pictures: SlicePictures | None = None

    @property
    def spacing_known(self) -> bool:
        """Whether `grid` is in millimetres."""
        return self.reference.source != SLICES


class LoadStudyd:
    """Read the study at `study_key` (a path, a `StudyRequest`, or absent with all roles in `inputs_key`).

    Adds each found role's volume (1, i, j, k), float32 with its RAS affine; `same_frame`, the roles whose header claims
    the reference's frame of reference; and `loaded`, a `LoadedStudy`. RGB slices are as the published training slices:
    `prepared` then names their roles, which later steps neither register nor scale nor open. Masks beside slices hold
    so many `labels`.
    """

    def __init__(self, roles: Sequence[Role], reference: str, study_key: str = "study", labels: int = 1) -> None:
        self.roles = tuple(roles)
        self.labels = labels
        self.reference = reference
        self.study_key = study_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        request = d[self.study_key]
        if not isinstance(request, StudyRequest):
            request = StudyRequest.of(request)
        with quiet(), find_study(request, [role.name for role in self.roles]) as found:
            study = one_study(found, request.study_uid)
            selection = assign_roles(study.series, self.roles, study.chosen, site_rules())
            selection, read, pictures = _read_roles(selection, self.roles, self.reference, self.labels)
        for name, (volume, _, _) in read.items():
            d[name] = Image.of(volume)
        volume, _, nifti_header = read[self.reference]
        series = _series_of(selection)
        reference = series[self.reference]
        d["same_frame"] = tuple(name for name, item in series.items() if _same_frame(item, reference))
        if pictures is not None and reference.part:
            d[PREPARED] = tuple(series)
        headers = {name: headers for name, (_, headers, _) in read.items()}
        d["loaded"] = LoadedStudy(
            selection, reference, volume.grid, headers, nifti_header, make_preview(volume), pictures
        )
        return d


def _same_frame(series: Series, reference: Series) -> bool:
    """NIfTI headers name no frame of reference: scanner coordinates are all they have."""
    if series.source == "nifti":
        return True
    return bool(series.frame_of_reference) and series.frame_of_reference == reference.frame_of_reference


def _series_of(selection: Selection) -> dict[str, Series]:
    """The roles that have a series of their own."""
    return {name: choice.series for name, choice in selection.assigned.items() if choice.series}


def _read_roles(
    selection: Selection, roles: Sequence[Role], reference: str, labels: int
) -> tuple[Selection, dict[str, _Read], SlicePictures | None]:
    """Each role's volume; only the pixels of slices tell whether a role was substituted before they were written."""
    series = _series_of(selection)
    if series[reference].source != SLICES:
        with PixelDecoder() as decoder:
            return selection, {name: _read(item, decoder) for name, item in series.items()}, None
    volumes, pictures = read_slices(series, reference, labels)
    selection = substitute_copies(selection, roles, volumes)
    own = _series_of(selection).items()
    read: dict[str, _Read] = {name: (magnitude(volumes[name], f"series {item.label}"), (), None) for name, item in own}
    return selection, read, pictures


def _read(series: Series, decoder: PixelDecoder) -> _Read:
    where = f"series {series.label}"
    headers: tuple[pydicom.Dataset, ...] = ()
    nifti_header = None
    if series.source == "dicom":
        from scanweave.transforms.io.dicom_volume import read_dicom_volume  # and highdicom

        volume, headers = read_dicom_volume(series, decoder)
    else:
        volumes, nifti_header = read_nifti(series.files[0])
        volume = volumes[series.volume]
        if len(volumes) > 1:  # it would hold on to all of them
            volume = Volume(volume.array.copy(order="K"), volume.affine)
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
