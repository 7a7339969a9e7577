"""What every geometric step shares: it moves voxels and affine together, writes down how, and can undo it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from scanweave.transforms.geometry import Affine
from scanweave.transforms.image import Image, Plan, Voxels
from scanweave.transforms.step import DictionaryStep


class GeometricStep(DictionaryStep, ABC):
    """A step on images that moves voxels; `Restored` undoes it by what the image's `moves` say.

    The plan is made on the first key that is there and then applied to all: they lie on one grid. It travels with
    the image, never in the instance.
    """

    @abstractmethod
    def plan(self, image: Image) -> dict[str, Any]:
        """What to do with `image` and with all that lies on its grid: plain numbers, enough to undo it."""

    @abstractmethod
    def forward(self, image: Image, key: Hashable, plan: Plan) -> tuple[Voxels, Affine]:
        """The voxels (C, i', j', k') after the step, and their affine."""

    @abstractmethod
    def backward(self, voxels: Voxels, plan: Plan) -> Voxels:
        """The voxels (C, i, j, k) on the grid before the step; the number of channels may differ from then."""

    def plan_within(self, image: Image, data: Mapping[Hashable, Any]) -> dict[str, Any]:
        """As `plan`, for the steps that other entries of the dictionary decide too."""
        return self.plan(image)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        plan: dict[str, Any] | None = None
        for key in self.present(d):
            image: Image = d[key]
            if plan is None:
                plan = {**self.plan_within(image, d), "affine": image.affine}
            voxels, affine = self.forward(image, key, plan)
            d[key] = Image(voxels, np.array(affine, dtype=np.float64), (*image.moves, (self, plan)))
        return d
