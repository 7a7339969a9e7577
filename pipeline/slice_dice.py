"""How far the mask of 2-D slices agrees with the masks that were given with them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from scanweave.transforms.load_study import LoadedStudy


@dataclass(frozen=True)
class Agreement:
    """Dice over all pixels of the `slices` that have a mask, at their own size; None where neither has a pixel.

    All labels together.
    """

    dice: float | None
    slices: int


def agreement(study: Mapping[Hashable, Any]) -> Agreement | None:
    """The agreement of `segmentation` with the given masks; None where none was given."""
    loaded: LoadedStudy = study["loaded"]
    pictures = loaded.pictures
    if pictures is None or not pictures.has_truth.any():
        return None
    found = (study["segmentation"].array[0] > 0)[..., pictures.has_truth]
    true = pictures.truth[..., pictures.has_truth] > 0
    total = int(found.sum()) + int(true.sum())
    dice = 2 * int((found & true).sum()) / total if total else None
    return Agreement(dice, int(pictures.has_truth.sum()))
