"""The study's other series, moved onto the reference's grid by one rigid transform and one interpolation each."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from scanweave.transforms.axial_planes import on_own_planes
from scanweave.transforms.geometry import Affine, Grid, Volume
from scanweave.transforms.image import Image
from scanweave.transforms.plane_checks import check_planes, planes_wanted
from scanweave.transforms.resample import resample
from scanweave.transforms.rigid.estimate import RigidResult, estimate_rigid
from scanweave.transforms.rigid.pyramid import pyramid
from scanweave.transforms.rigid.settings import RigidSettings
from scanweave.transforms.step import DictionaryStep, Keys
from scanweave.transforms.view_volume import ViewVolume, view_of_moved, view_volume
from scanweave.transforms.volumes import PREPARED, unseen_key


class RegisterRolesd(DictionaryStep):
    """Register each key (1, i, j, k) to `reference` and resample it there; keys without a series are passed over.

    So are the roles under `prepared`, channels of one picture that are on the reference's grid already.

    Adds `<role>_unseen` and, under `registration`, each role's `RigidResult`; where a report is to be
    written, under `registration_planes` and `registration_views` what it shows of each. The identity is tried as a
    start for the roles that `same_frame_key` lists: their headers claim the reference's frame of reference.
    """

    def __init__(
        self,
        keys: Keys,
        reference: str,
        settings: Mapping[str, Any] | None = None,
        same_frame_key: str = "same_frame",
    ) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.reference = reference
        self.settings = replace(RigidSettings(), **dict(settings or {}))
        self.same_frame_key = same_frame_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        fixed: Volume = d[self.reference].volume
        planes = dict(d.get("registration_planes", {}))
        views = dict(d.get("registration_views", {}))
        others = [key for key in self.present(d) if key != self.reference and key not in d.get(PREPARED, ())]
        moving = {key: d[key].volume for key in others}
        found = self._estimate(fixed, moving, d.get(self.same_frame_key, ()))
        for key, volume in moving.items():
            beyond = d.get(unseen_key(self.reference))
            d[key], d[unseen_key(key)] = _on_grid(volume, fixed.grid, found[key].matrix_ras, beyond)
            if planes_wanted(d):
                planes[key] = check_planes(fixed, volume, d[key].array[0])
                views[key] = _view(volume, d[key], d[self.reference], d["loaded"].grid, found[key].matrix_ras)
        d["registration"] = {**d.get("registration", {}), **found}
        d["registration_planes"] = planes
        d["registration_views"] = views
        return d

    def _estimate(
        self, fixed: Volume, moving: Mapping[Hashable, Volume], same_frame: Collection[Hashable]
    ) -> dict[Hashable, RigidResult]:
        """Side by side, a thread each: numpy computes without Python's lock. The fixed series' pyramid is made once."""
        if not moving:
            return {}
        target = pyramid(fixed, self.settings)
        with ThreadPoolExecutor(max_workers=len(moving)) as threads:
            begun = {
                key: threads.submit(
                    estimate_rigid, target, volume, try_identity=key in same_frame, settings=self.settings
                )
                for key, volume in moving.items()
            }
        return {key: future.result() for key, future in begun.items()}


def _view(moving: Volume, moved: Image, reference: Image, own: Grid, matrix_ras: Affine) -> ViewVolume:
    """For the report, on the reference's `own` grid, resampled anew only where the reference itself was."""
    back = on_own_planes(replace(moved, moves=reference.moves))
    shown = None if back is None else view_of_moved(Volume(back.array, own.affine), moving)
    return shown or view_volume(moving, own, matrix_ras)


def _on_grid(moving: Volume, grid: Grid, matrix_ras: Affine, beyond: Image | None) -> tuple[Image, Image]:
    """The moving voxels on `grid`, background (0) where they were not imaged, and the mask of those places.

    What lies `beyond` the reference's own field of view is left out too: no mask can be drawn there.
    """
    voxels, inside = resample(moving, grid, matrix_ras, fill=0.0)
    voxels, inside = np.ascontiguousarray(voxels), np.ascontiguousarray(inside)
    if beyond is not None:
        inside &= ~beyond.array[0]
        voxels[~inside] = 0
    return Image(voxels[None], grid.affine), Image(~inside[None], grid.affine)
