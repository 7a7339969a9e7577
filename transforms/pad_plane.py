"""The network's matrix in the plane where pixels keep their size: padded, and nothing resized."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.geometric import GeometricStep
from scanweave.transforms.geometry import Affine
from scanweave.transforms.image import Image, Plan, Voxels
from scanweave.transforms.step import Keys


class PadPlaned(GeometricStep):
    """Pad rows and columns of (C, row, column, slice) to `size`, the volume in the middle.

    Padded is 0, of `unseen_key` 1: nothing was seen there. Rows or columns over `size`, up to `largest` (by default
    `size`: none), stay as many as they are, for an inferer that works in windows.

    Raises
    ------
    InputRefused
        REGION_TOO_LARGE for a plane over `largest`: a network of small regions is not to be asked about whole heads.
    """

    def __init__(
        self,
        keys: Keys,
        size: int,
        region: str = "region",
        allow_missing_keys: bool = False,
        unseen_key: str = "unseen",
        largest: int | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.unseen_key = unseen_key
        self.size = size
        self.largest = size if largest is None else largest
        self.region = region

    def plan(self, image: Image) -> dict[str, Any]:
        """How much comes before and after."""
        shape = image.array.shape[1:]
        if max(shape[:2]) > self.largest:
            found = " x ".join(map(str, shape))
            message = f"expected a volume around the {self.region}, {self.largest} pixels across at most, found {found}"
            raise InputRefused(Problem(Code.REGION_TOO_LARGE, message))
        lacking = [max(self.size - n, 0) for n in shape[:2]]
        return {"padding": [(n // 2, n - n // 2) for n in lacking]}

    def forward(self, image: Image, key: Hashable, plan: Plan) -> tuple[Voxels, Affine]:
        """The padded voxels."""
        shift = np.eye(4)
        shift[:2, 3] = [-before for before, _ in plan["padding"]]
        widths = [(0, 0), *plan["padding"], (0, 0)]
        padded = np.pad(image.array, widths, constant_values=int(key == self.unseen_key))
        return padded, plan["affine"] @ shift

    def backward(self, voxels: Voxels, plan: Plan) -> Voxels:
        """Without what was padded."""
        (top, bottom), (left, right) = plan["padding"]
        rows, columns = voxels.shape[1:3]
        return voxels[:, top : rows - bottom, left : columns - right]
