"""What every geometric step shares: it moves voxels and affine together, writes down how, and can undo it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform

from scanweave.transforms.geometry import Affine


class GeometricTransformd(MapTransform, InvertibleTransform):
    """A dictionary transform of channel-first MetaTensors (C, i, j, k) whose `inverse` restores shape and affine.

    The plan is made on the first key that is there and then applied to all: they lie on one grid. It travels in
    the tensor's `applied_operations`, so that MONAI's `Invertd` finds it, never in the instance.
    """

    @abstractmethod
    def plan(self, image: MetaTensor) -> dict[str, Any]:
        """What to do with `image` and with all that lies on its grid: plain numbers, enough to undo it."""

    @abstractmethod
    def forward(self, image: MetaTensor, key: Hashable, plan: Mapping[str, Any]) -> tuple[torch.Tensor, Affine]:
        """The voxels (C, i', j', k') after the step, and their affine."""

    @abstractmethod
    def backward(self, image: torch.Tensor, plan: Mapping[str, Any]) -> torch.Tensor:
        """The voxels (C, i, j, k) on the grid before the step; the number of channels may differ from then."""

    def plan_within(self, image: MetaTensor, data: Mapping[Hashable, Any]) -> dict[str, Any]:
        """As `plan`, for the steps that other entries of the dictionary decide too."""
        return self.plan(image)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        plan: dict[str, Any] | None = None
        for key in self.key_iterator(d):
            image = d[key]
            if plan is None:
                plan = {**self.plan_within(image, d), "affine": image.affine.numpy().astype(np.float64)}
            voxels, affine = self.forward(image, key, plan)
            moved = MetaTensor(voxels, affine=torch.from_numpy(np.array(affine, dtype=np.float64)))
            moved.applied_operations = list(image.applied_operations)
            self.push_transform(moved, orig_size=tuple(image.shape[1:]), extra_info=plan)
            d[key] = moved
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Undo the step on the keys that are there, with the plan they carry."""
        d = dict(data)
        for key in self.key_iterator(d):
            image = d[key]
            plan = self.pop_transform(image)["extra_info"]
            restored = MetaTensor(
                self.backward(image.as_tensor(), plan), affine=torch.from_numpy(plan["affine"].copy())
            )
            restored.applied_operations = list(image.applied_operations)
            d[key] = restored
        return d
