"""From a batch of slices as the chain made them to one as other heads, scanners and registrations would have."""

from __future__ import annotations

import torch
from torch.nn import functional

from scanweave.pipeline.training.augment.chance import Chance
from scanweave.pipeline.training.augment.intensity import change_intensity
from scanweave.pipeline.training.augment.placement import between_slices, place
from scanweave.pipeline.training.augment.settings import AugmentSettings
from scanweave.pipeline.training.slices import Sample

LARGEST_CHANGE = 3.0
"""Of a volume's moments, as estimated from one slice."""


class Augment:
    """Batches of `SliceDataset` to what the network is trained on; `reference` is the channel that masks belong to.

    Intensities are changed before the z-score: `low` and `high` of a volume take it back, and what the change does to
    the volume's mean and variance is estimated from the slice. Otherwise the network would never see that a smaller
    head or a bias field moves the z-score of everything.
    """

    def __init__(self, settings: AugmentSettings, reference: int) -> None:
        self.settings = settings
        self.reference = reference

    def __call__(
        self, batch: Sample, size: tuple[int, int], pixel: float, seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`image` (B, C, *size) and `label` (B, 1, *size), 0 or a label's number; float32, on the device of `batch`."""
        slab, low, high = batch["image"].float(), batch["low"], batch["high"]
        chance = Chance(seed, len(slab), slab.device)
        span = (high - low).clamp(min=1e-3)[..., None, None]
        slab = (slab - low[..., None, None, None]) / span[..., None]
        plane = between_slices(slab, self.reference, self.settings, chance)
        if pixel >= 2:  # or fine detail would alias
            plane = functional.avg_pool2d(plane, int(pixel))
        image, label = place(plane, batch["label"], size, pixel, self.reference, self.settings, chance)
        image = change_intensity(image, pixel, self.settings, chance)
        image = _zscore(image, plane, pixel**2 / batch["label"][0].numel(), low, span)
        return self._series(image, chance), label[:, None]

    def _series(self, image: torch.Tensor, chance: Chance) -> torch.Tensor:
        """The z-score of another volume, and other series replaced by the reference as the chain replaces them."""
        channels = image.shape[1]
        gain = torch.exp(chance.normal(self.settings.gain, channels))[..., None, None]
        image = image * gain + chance.normal(self.settings.offset, channels)[..., None, None]
        missing = chance.happens(self.settings.p_missing, channels) + chance.happens(self.settings.p_alone, 1)
        return torch.where(missing.bool()[..., None, None], image[:, self.reference : self.reference + 1], image)


def _zscore(
    image: torch.Tensor, before: torch.Tensor, share: float, low: torch.Tensor, span: torch.Tensor
) -> torch.Tensor:
    """The z-score that `image` would have in a volume that was changed throughout as this slice was.

    `before` is the whole plane at the resolution of `image`, of whose pixels each has this `share` of the plane.
    Of the unchanged volume, in units of its deviation, background is at `low`: its mean above the background is
    -low, its mean square 1 + low^2.
    """
    mean, square = -low, 1 + low**2
    for_mean = _ratio(image.sum(dim=(2, 3)) * share, before.mean(dim=(2, 3)))
    for_square = _ratio((image**2).sum(dim=(2, 3)) * share, (before**2).mean(dim=(2, 3)))
    mean, square = mean * for_mean, square * for_square
    deviation = (square - mean**2).clamp(min=0.05).sqrt()
    return (image * span - mean[..., None, None]) / deviation[..., None, None]


def _ratio(after: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    ratio = after / before.clamp(min=1e-6)
    return torch.where(before > 1e-3, ratio.clamp(1 / LARGEST_CHANGE, LARGEST_CHANGE), torch.ones_like(ratio))
