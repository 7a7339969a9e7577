"""MONAI's transforms among scanweave's steps: what they take, what they give, and how what they moved comes back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.transforms.utils import allow_missing_keys_mode

from scanweave.transforms.geometry import Affine
from scanweave.transforms.image import Image, Plan, Voxels

MOVES = "scanweave_moves"
"""Where a MetaTensor keeps an image's `moves`; its own `applied_operations` are those of MONAI alone."""
_KEY = "image"


def to_metatensor(image: Image) -> MetaTensor:
    """`image` for MONAI: the voxels are shared, the affine is copied."""
    tensor = MetaTensor(torch.from_numpy(image.array), affine=torch.from_numpy(image.affine.copy()))
    tensor.meta[MOVES] = image.moves
    return tensor


def to_image(tensor: MetaTensor) -> Image:
    """What MONAI made of an image, without the transforms that it recorded."""
    affine: Affine = tensor.affine.numpy().astype(np.float64)
    return Image(tensor.as_tensor().numpy(), affine, tensor.meta.get(MOVES, ()))


class MonaiStep:
    """A MONAI dictionary transform as a step: it finds MetaTensors (C, i, j, k) where the study has images.

    What it moves, `Restored` moves back by MONAI's `inverse`; a transform that records nothing must not move voxels.

    Raises
    ------
    ValueError
        For one that changes shape or affine and cannot be inverted: masks would lie elsewhere.
    """

    def __init__(self, transform: MapTransform) -> None:
        self.transform = transform

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        shown = {key: to_metatensor(value) if isinstance(value, Image) else value for key, value in data.items()}
        made = self.transform(shown)
        return {key: self._image(value, data.get(key)) if _is_image(value) else value for key, value in made.items()}

    def backward(self, voxels: Voxels, plan: Plan) -> Voxels:
        """The voxels before the transform."""
        tensor = MetaTensor(torch.from_numpy(np.ascontiguousarray(voxels)), affine=torch.from_numpy(plan["after"]))
        tensor.applied_operations = [{**done} for done in plan["operations"]]
        key = plan["key"]
        with allow_missing_keys_mode(self.transform):
            undone = self.transform.inverse({key: tensor})[key]
        restored: Voxels = undone.as_tensor().numpy()
        return restored

    def _image(self, tensor: MetaTensor, before: Any) -> Image:
        image = to_image(tensor)
        if tensor.applied_operations:
            key = next(iter(getattr(self.transform, "keys", (_KEY,))))
            first = before.affine if isinstance(before, Image) else image.affine
            plan = {
                "affine": first,
                "after": image.affine,
                "operations": list(tensor.applied_operations),
                "key": key,
            }
            return Image(image.array, image.affine, (*image.moves, (self, plan)))
        if isinstance(before, Image) and (
            before.array.shape[1:] != image.array.shape[1:] or not np.array_equal(before.affine, image.affine)
        ):
            raise ValueError(f"{type(self.transform).__name__} moves voxels and cannot be inverted")
        return image


def _is_image(value: object) -> bool:
    return isinstance(value, MetaTensor) and value.ndim == 4
