"""How good a network is on whole volumes while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from scanweave.pipeline.training.recipe import Phase
from scanweave.pipeline.training.volumes import TrainingVolume

BATCH = 8
Network = Callable[[torch.Tensor], torch.Tensor]


@torch.inference_mode()
def mean_dice(
    network: Network, volumes: Sequence[TrainingVolume], phase: Phase, autocast: torch.autocast, device: torch.device
) -> float:
    """The mean over `volumes` of each one's Dice at 0.5, all components, at the resolution of `phase`.

    Volumes without a lesion count 1 where nothing is found and 0 otherwise.
    """
    found = [_dice(network, volume, phase.pixel, autocast, device) for volume in volumes]
    return sum(found) / len(found)


def _dice(
    network: Network, volume: TrainingVolume, pixel: float, autocast: torch.autocast, device: torch.device
) -> float:
    common, total = 0, 0
    for image, label in zip(volume.image.split(BATCH), volume.label.split(BATCH), strict=True):
        planes = image.to(device).float()
        if pixel >= 2:
            planes = functional.avg_pool2d(planes, int(pixel))
        with autocast:
            probability = network(planes.contiguous(memory_format=torch.channels_last)).float()
        probability = functional.interpolate(probability, label.shape[1:], mode="bilinear", align_corners=False)
        mask, truth = probability[:, 0] > 0.5, label.to(device) > 0
        common += int((mask & truth).sum())
        total += int(mask.sum()) + int(truth.sum())
    return 2 * common / total if total else 1.0
