"""Step (5): which connected parts of a mask stay."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scanweave.errors import Code, Problem, UsageError
from scanweave.transforms.connected import bounding_box, connected_parts
from scanweave.transforms.image import Image

RULES = ("likely", "largest", "all")


@dataclass(frozen=True)
class Components:
    """How many parts there were, and what `rule` took away of them, in ml and in voxels.

    Of 2-D slices, whose spacing is not known, the figures in ml mean nothing.
    """

    rule: str
    count: int
    kept: int
    kept_ml: float
    discarded_ml: float
    kept_voxels: int
    discarded_voxels: int

    @property
    def discarded_fraction(self) -> float:
        """Share of the whole mask that was taken away, 0..1."""
        whole = self.kept_voxels + self.discarded_voxels
        return self.discarded_voxels / whole if whole else 0.0


def check_rule(rule: str) -> str:
    """`rule` where it is one of `RULES`; USAGE otherwise."""
    if rule not in RULES:
        raise UsageError(
            Problem(Code.USAGE, f"--components: expected {', '.join(RULES[:-1])} or {RULES[-1]}, got {rule!r}")
        )
    return rule


class KeepComponentsd:
    """Keep the `likely` connected parts of the mask (1, i, j, k), the `largest` alone, or `all`; adds a `Components`.

    All labels together are one mask: what touches is one part, and a part stays or goes as a whole.
    How likely a part is says the sum of its probabilities, `probability_key` (C, i, j, k): the part with the largest
    sum stays, and every other with at least `share` of it. Several lesions stay, as does the true one beside a
    false one that is larger. The largest alone is the published rule, which does neither. What goes is counted. The
    result replaces the mask, or stands under a `name` of its own.
    """

    def __init__(
        self,
        key: str = "segmentation",
        name: str | None = None,
        keep: str = "likely",
        record_key: str = "components",
        probability_key: str = "pred",
        share: float = 0.25,
    ) -> None:
        self.key = key
        self.name = key if name is None else name
        self.keep = check_rule(keep)
        self.record_key = record_key
        self.probability_key = probability_key
        self.share = share

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        mask: Image = d[self.key]
        voxels = mask.array[0] > 0
        voxel_ml = mask.grid.voxel_ml
        box = bounding_box(voxels)
        labels, count = connected_parts(voxels[box])
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        stays = np.ones(count, dtype=bool)
        if count > 1 and self.keep == "largest":
            stays = np.arange(count) == sizes.argmax()
        elif count > 1 and self.keep == "likely":
            probabilities = d[self.probability_key].array[:, *box].max(axis=0)
            sums = np.bincount(labels.ravel(), weights=probabilities.ravel(), minlength=count + 1)[1:]
            stays = sums >= self.share * sums.max()
        kept = voxels
        if not stays.all():
            kept = np.zeros_like(voxels)
            kept[box] = np.concatenate(([False], stays))[labels]
        total, staying = int(sizes.sum()), int(kept.sum())
        d[self.record_key] = Components(
            rule=self.keep,
            count=count,
            kept=int(stays.sum()),
            kept_ml=staying * voxel_ml,
            discarded_ml=(total - staying) * voxel_ml,
            kept_voxels=staying,
            discarded_voxels=total - staying,
        )
        d[self.name] = mask.with_array(np.where(kept, mask.array, 0).astype(np.uint8))
        return d
