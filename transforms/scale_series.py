"""Step (1), raw scans only: the brightness that the published 8-bit training slices have."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from scanweave.transforms.image import Image
from scanweave.transforms.step import DictionaryStep, Keys
from scanweave.transforms.volumes import PREPARED, unseen_key

WHITE = 255.0


class ScaleSeriesd(DictionaryStep):
    """Scale each series (1, i, j, k) alone and linearly from zero: `percentile` becomes `target`, then clip to 0..255.

    Roles under `prepared` are passed over: they went through this before they were published. The percentile is taken
    inside the series' own field of view: outside the mask `<role>_unseen`, where there is one.
    """

    def __init__(
        self,
        keys: Keys,
        percentile: float = 99.9,
        target: float = 190.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.percentile = percentile
        self.target = target

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.present(d):
            if key in d.get(PREPARED, ()):
                continue
            image: Image = d[key]
            voxels = image.array
            unseen: Image | None = d.get(unseen_key(key))
            seen = voxels if unseen is None else voxels[~unseen.array]
            level = float(np.percentile(seen, self.percentile)) if seen.size else 0.0
            # A volume so empty that this percentile is zero is scaled by its brightest voxel.
            level = level if level > 0 else max(float(voxels.max()), 1.0)
            d[key] = image.with_array(np.clip(voxels * np.float32(self.target / level), 0.0, WHITE))
        return d
