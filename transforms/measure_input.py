"""After step (4): is what the network will get like what it was trained on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.transforms.input_distance import InputReference


class MeasureInputd:
    """Add `input_distance`: by role how far the channel of `image_key` (C, i, j, k) lies from the training patients.

    Nothing is added where `reference_file` does not exist: a bundle need not have one.

    Every voxel counts, as the network gets it: background, what a series did not see, and slices beyond the slab of
    the z-score too. Training volumes have them as background, and so they are in the reference. A substituted role
    is measured like any: training patients lacked series as well.

    Raises
    ------
    EnvironmentFailure
        BUNDLE_INVALID where the file is no reference, or that of other roles.
    """

    def __init__(self, roles: Sequence[str], reference_file: str | Path, image_key: str = "image") -> None:
        path = Path(reference_file)
        self.roles = tuple(roles)
        self.reference = InputReference.read(path) if path.exists() else None
        self.image_key = image_key
        if self.reference is not None and set(self.reference.quantiles) != set(self.roles):
            found = ", ".join(self.reference.quantiles)
            message = f"expected the input distribution of {', '.join(self.roles)}, found that of {found}"
            raise EnvironmentFailure(Problem(Code.BUNDLE_INVALID, message, path.name))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if self.reference is not None:
            d["input_distance"] = self.reference.distances(d[self.image_key].array, self.roles)
        return d
