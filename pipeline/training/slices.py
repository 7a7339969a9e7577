"""Slices of training volumes with their neighbours, and the order in which they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Dataset, Sampler

from scanweave.pipeline.training.volumes import TrainingVolume

Sample = dict[str, torch.Tensor]


class SliceDataset(Dataset[Sample]):
    """Each slice of each volume as `image` (channel, 3, row, column), the slice between its two neighbours.

    With it `label` and, where the volumes have one, `weight` (row, column), and the volume's `low` and `high`
    (channel). The first and the last slice of a volume are neighbours only, as in the published training: often they
    are half empty. `areas` are those of the labels.
    """

    def __init__(self, volumes: Sequence[TrainingVolume]) -> None:
        self.volumes = tuple(volumes)
        self.places = [
            (number, at) for number, volume in enumerate(self.volumes) for at in _drawn_slices(len(volume.image))
        ]
        sums = [(volume.label > 0).sum(dim=(1, 2), dtype=torch.float64) for volume in self.volumes]
        self.areas = torch.stack([sums[number][at] for number, at in self.places])

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        number, at = self.places[index]
        volume = self.volumes[number]
        around = [max(at - 1, 0), at, min(at + 1, len(volume.image) - 1)]
        image = volume.image[around].transpose(0, 1)
        weight = {} if volume.weight is None else {"weight": volume.weight[at]}
        return {"image": image, "label": volume.label[at], "low": volume.low, "high": volume.high, **weight}


def _drawn_slices(count: int) -> range:
    """All but the ends; of a volume that has nothing else, all."""
    return range(1, count - 1) if count > 2 else range(count)


class LesionSampler(Sampler[list[int]]):
    """Batches of an epoch, drawn with replacement by lesion area; the same for the same seed and epoch, on any rank.

    `begin` skips the batches that were done before a training was interrupted.
    """

    def __init__(
        self, areas: torch.Tensor, lesion_weight: float, count: int, seed: int, rank: int = 0, ranks: int = 1
    ) -> None:
        share = (areas / areas.max().clamp(min=1)).sqrt()
        self.weights = 1 + (lesion_weight - 1) * share
        self.count = count
        self.seed = seed
        self.rank, self.ranks = rank, ranks
        self.epoch, self.batch, self.begin = 0, 1, 0

    def start(self, epoch: int, batch: int, begin: int = 0) -> None:
        """Make ready for an epoch of batches of `batch` slices, all ranks together."""
        self.epoch, self.batch, self.begin = epoch, batch, begin

    def __len__(self) -> int:
        return max(self.count // self.batch, 1)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        drawn = torch.multinomial(self.weights, len(self) * self.batch, replacement=True, generator=generator)
        for number in range(self.begin, len(self)):
            yield drawn[number * self.batch : (number + 1) * self.batch][self.rank :: self.ranks].tolist()
