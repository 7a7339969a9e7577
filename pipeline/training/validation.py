"""How good a network is on whole volumes while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from monai.inferers import Inferer
from torch.nn import functional

from scanweave.pipeline.training.recipe import Phase
from scanweave.pipeline.training.volumes import TrainingVolume

BATCH = 8
Network = Callable[[torch.Tensor], torch.Tensor]


class Validation:
    """Dice of whole volumes at `threshold`, all components.

    The network gets slices as a whole, or what `inferer` makes of a volume (1, C, row, column, slice).
    """

    def __init__(self, inferer: Inferer | None = None, threshold: float = 0.5) -> None:
        self.inferer = inferer
        self.threshold = threshold

    @property
    def settings(self) -> tuple[str, float]:
        """What decides which epoch is best."""
        return type(self.inferer).__name__, self.threshold

    @torch.inference_mode()
    def mean_dice(
        self,
        network: Network,
        volumes: Sequence[TrainingVolume],
        phase: Phase,
        autocast: torch.autocast,
        device: torch.device,
    ) -> float:
        """The mean over `volumes` of each one's Dice, at the resolution of `phase`.

        Of several segments a volume's is the mean of theirs. Where a volume lacks one, it counts 1 where nothing is
        found and 0 otherwise.
        """
        run = network if self.inferer is None else partial(_by_volume, self.inferer, network)
        found = [_dice(run, volume, phase.pixel, self.threshold, autocast, device) for volume in volumes]
        return sum(found) / len(found)


def _by_volume(inferer: Inferer, network: Network, planes: torch.Tensor) -> torch.Tensor:
    """Slices (B, C, H, W) through an inferer of volumes, and back."""
    found: torch.Tensor = inferer(planes.permute(1, 2, 3, 0)[None], network)
    return found[0].permute(3, 0, 1, 2)


def _dice(
    network: Network,
    volume: TrainingVolume,
    pixel: float,
    threshold: float,
    autocast: torch.autocast,
    device: torch.device,
) -> float:
    common = total = torch.zeros(1, dtype=torch.int64)
    for image, label in zip(volume.image.split(BATCH), volume.label.split(BATCH), strict=True):
        planes = image.to(device).float()
        if pixel >= 2:
            planes = functional.avg_pool2d(planes, int(pixel))
        with autocast:
            probability = network(planes.contiguous(memory_format=torch.channels_last)).float()
        probability = functional.interpolate(probability, label.shape[1:], mode="bilinear", align_corners=False)
        numbers = torch.arange(1, probability.shape[1] + 1, device=device)[:, None, None]
        largest, found = probability.max(dim=1, keepdim=True)
        mask, truth = (largest >= threshold) & (found + 1 == numbers), label.to(device)[:, None] == numbers
        common = common + (mask & truth).sum(dim=(0, 2, 3)).cpu()
        total = total + (mask.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))).cpu()
    return float(torch.where(total > 0, 2 * common / total.clamp(min=1), 1.0).mean())
