"""Of MONAI's what a configuration names most, for a run that needs nothing else of it.

They hold what they are given, under MONAI's names; MONAI's own take their place where MONAI builds the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Study = dict[Any, Any]
"""What travels through the chain: one dictionary, keys as the steps name them."""
Step = Callable[[Study], Study]


@dataclass(eq=False)
class Compose:
    """Steps, one after the other."""

    transforms: Sequence[Step]

    def __call__(self, study: Study) -> Study:
        """What comes out of the last."""
        for step in self.transforms:
            study = step(study)
        return study

    def flatten(self) -> Compose:
        """Itself, with the steps of any `Compose` among its steps in their place."""
        flat: list[Step] = []
        for step in self.transforms:
            flat += step.flatten().transforms if isinstance(step, Compose) else [step]
        return Compose(flat)


@dataclass(eq=False)
class Dataset:
    """Items, and what prepares each."""

    data: Sequence[Mapping[str, Any]]
    transform: Compose

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Study:
        return self.transform(dict(self.data[index]))


@dataclass(frozen=True)
class SliceInferer:
    """Slices along axis `spatial_dim` of a volume, `sw_batch_size` at a time, in windows of `roi_size` pixels."""

    roi_size: Sequence[int]
    sw_batch_size: int = 1
    spatial_dim: int = 2
