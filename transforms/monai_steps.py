"""MONAI's transforms among scanweave's steps: what they take, what they give, and how what they moved comes back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.transforms.utils import allow_missing_keys_mode

from scanweave.transforms.geometry import Affine
from scanweave.transforms.image import Image, Plan, Voxels
from scanweave.transforms.step import DictionaryStep, Keys

MOVES = "scanweave_moves"
"""Where a MetaTensor keeps an image's `moves`; its own `applied_operations` are those of MONAI alone."""
DIMENSIONS = 4
"""Of channels of a volume."""


def to_metatensor(image: Image) -> MetaTensor:
    """`image` for MONAI: the voxels are shared, the affine is copied."""
    tensor = MetaTensor(torch.from_numpy(image.array), affine=torch.from_numpy(image.affine.copy()))
    tensor.meta[MOVES] = image.moves
    return tensor


def to_image(tensor: MetaTensor) -> Image:
    """What MONAI made of an image, without the transforms that it recorded."""
    affine: Affine = tensor.affine.numpy().astype(np.float64)
    return Image(tensor.as_tensor().numpy(), affine, tensor.meta.get(MOVES, ()))


class ToMetaTensord(DictionaryStep):
    """Images of `keys` as MetaTensors: the last step before an engine of MONAI's own, or MONAI Label."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return {**data, **{key: to_metatensor(data[key]) for key in self.present(data)}}


class ToImaged(DictionaryStep):
    """Tensors of `keys` (C, i, j, k), which such an engine predicted, as images at the place of `like`."""

    def __init__(self, keys: Keys, like: str = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.like = like

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        place = to_image(data[self.like])
        found = {key: place.with_array(torch.as_tensor(data[key]).detach().cpu().numpy()) for key in self.present(data)}
        return {**data, **found}


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
        return {key: self._back(value, data.get(key)) for key, value in made.items()}

    def backward(self, voxels: Voxels, plan: Plan) -> Voxels:
        """The voxels before the transform."""
        tensor = MetaTensor(torch.from_numpy(np.ascontiguousarray(voxels)), affine=torch.from_numpy(plan["after"]))
        tensor.applied_operations = [{**done} for done in plan["operations"]]
        key = plan["key"]
        with allow_missing_keys_mode(self.transform):
            undone = self.transform.inverse({key: tensor})[key]
        restored: Voxels = undone.as_tensor().numpy()
        return restored

    def _back(self, value: Any, before: Any) -> Any:
        """An entry of the study as the next step expects it; `before` is what stood there."""
        if isinstance(value, MetaTensor) and value.ndim == DIMENSIONS:
            image = to_image(value)
            if value.applied_operations:
                return replace(image, moves=(*image.moves, (self, self._plan(value, image, before))))
        elif isinstance(before, Image) and isinstance(value, torch.Tensor | np.ndarray):
            image = replace(before, array=np.asarray(value))
        else:
            return value
        if isinstance(before, Image) and not _at_one_place(before, image):
            raise ValueError(f"{type(self.transform).__name__} moves voxels and cannot be inverted")
        return image

    def _plan(self, tensor: MetaTensor, image: Image, before: Any) -> Plan:
        return {
            "affine": before.affine if isinstance(before, Image) else image.affine,
            "after": image.affine,
            "operations": list(tensor.applied_operations),
            "key": self.transform.keys[0],
        }


def _at_one_place(one: Image, other: Image) -> bool:
    return one.array.shape[1:] == other.array.shape[1:] and np.array_equal(one.affine, other.affine)
