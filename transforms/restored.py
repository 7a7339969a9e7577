"""The way back: what was predicted in model space onto the grid that the reference came with."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from scanweave.transforms.image import Image
from scanweave.transforms.step import DictionaryStep


class Restored(DictionaryStep):
    """Undo every geometric step behind `keys` (C, i, j, k), the last one first."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.present(d):
            d[key] = restored(d[key])
        return d


def restored(image: Image) -> Image:
    """`image` on the grid before all its `moves`."""
    voxels, affine = image.array, image.affine
    for step, plan in reversed(image.moves):
        voxels, affine = step.backward(voxels, plan), plan["affine"]
    return Image(voxels, affine)
