"""Step (1), raw scans only: the brightness that the published 8-bit training slices have."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from scanweave.transforms.volumes import PREPARED, unseen_key

WHITE = 255.0


class ScaleSeriesd(MapTransform):
    """Scale each series (1, i, j, k) alone and linearly from zero: `percentile` becomes `target`, then clip to 0..255.

    Roles under `prepared` are passed over: they went through this before they were published. The percentile is taken
    inside the series' own field of view: outside the mask `<role>_unseen`, where there is one.
    """

    def __init__(
        self,
        keys: KeysCollection,
        percentile: float = 99.9,
        target: float = 190.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.percentile = percentile
        self.target = target

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            if key in d.get(PREPARED, ()):
                continue
            voxels = d[key].numpy()
            unseen = d.get(unseen_key(key))
            seen = voxels if unseen is None else voxels[unseen.numpy() == 0]
            level = float(np.percentile(seen, self.percentile)) if seen.size else 0.0
            # A volume so empty that this percentile is zero is scaled by its brightest voxel.
            level = level if level > 0 else max(float(voxels.max()), 1.0)
            d[key] = torch.clamp(d[key] * (self.target / level), 0.0, WHITE)
        return d
