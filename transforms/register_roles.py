"""The study's other series, moved onto the reference's grid by one rigid transform and one interpolation each."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from scanweave.transforms.geometry import Affine, Grid, Volume
from scanweave.transforms.plane_checks import check_planes, planes_wanted
from scanweave.transforms.resample import resample
from scanweave.transforms.rigid import RigidResult, RigidSettings, estimate_rigid
from scanweave.transforms.rigid_pyramid import pyramid
from scanweave.transforms.view_volume import view_volume
from scanweave.transforms.volumes import PREPARED, to_metatensor, to_volume, unseen_key


class RegisterRolesd(MapTransform):
    """Register each key (1, i, j, k) to `reference` and resample it there; keys without a series are passed over.

    So are the roles under `prepared`, channels of one picture that are on the reference's grid already.

    Adds `<role>_unseen` and, under `registration`, each role's `RigidResult`; where a report is to be
    written, under `registration_planes` and `registration_views` what it shows of each. The identity is tried as a
    start for the roles that `same_frame_key` lists: their headers claim the reference's frame of reference.
    """

    def __init__(
        self,
        keys: KeysCollection,
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
        fixed = to_volume(d[self.reference])
        planes = dict(d.get("registration_planes", {}))
        views = dict(d.get("registration_views", {}))
        others = [key for key in self.key_iterator(d) if key != self.reference and key not in d.get(PREPARED, ())]
        moving = {key: to_volume(d[key]) for key in others}
        found = self._estimate(fixed, moving, d.get(self.same_frame_key, ()))
        for key, volume in moving.items():
            beyond = d.get(unseen_key(self.reference))
            d[key], d[unseen_key(key)] = _on_grid(volume, fixed.grid, found[key].matrix_ras, beyond)
            if planes_wanted(d):
                planes[key] = check_planes(fixed, volume, to_volume(d[key]).array)
                views[key] = view_volume(volume, d["loaded"].grid, found[key].matrix_ras)
        d["registration"] = {**d.get("registration", {}), **found}
        d["registration_planes"] = planes
        d["registration_views"] = views
        return d

    def _estimate(
        self, fixed: Volume, moving: Mapping[Hashable, Volume], same_frame: Collection[Hashable]
    ) -> dict[Hashable, RigidResult]:
        """Side by side, a thread each: numpy computes without Python's lock. The fixed series' pyramid is made once."""
        shared = pyramid(fixed, self.settings) if moving else fixed
        with ThreadPoolExecutor(max_workers=max(len(moving), 1)) as threads:
            begun = {
                key: threads.submit(
                    estimate_rigid, shared, volume, try_identity=key in same_frame, settings=self.settings
                )
                for key, volume in moving.items()
            }
        return {key: future.result() for key, future in begun.items()}


def _on_grid(
    moving: Volume, grid: Grid, matrix_ras: Affine, beyond: MetaTensor | None
) -> tuple[MetaTensor, MetaTensor]:
    """The moving voxels on `grid`, background (0) where they were not imaged, and the mask of those places.

    What lies `beyond` the reference's own field of view is left out too: no mask can be drawn there.
    """
    voxels, inside = resample(moving, grid, matrix_ras, fill=0.0)
    if beyond is not None:
        inside &= beyond.numpy()[0] == 0
        voxels = np.where(inside, voxels, np.float32(0.0))
    unseen = torch.from_numpy(~inside)[None].to(torch.float32)
    return to_metatensor(Volume(voxels, grid.affine)), MetaTensor(unseen, affine=torch.from_numpy(grid.affine.copy()))
