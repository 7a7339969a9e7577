"""Pictures that have no upright position, as the original U-Net's training changes them.

O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
arXiv 1505.04597, section 3.1: shifts, rotations, smooth deformations, gray values.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scanweave.pipeline.training.augment.elastic import displacements, sample_mirrored
from scanweave.pipeline.training.slices import Sample


@dataclass(frozen=True)
class PictureSettings:
    """Ranges of the augmentations.

    Attributes
    ----------
    rotation
        Largest angle, in degrees.
    p_mirror
        Of a mirrored picture; with all rotations, mirrored along any axis.
    elastic
        Deviation, in pixels, of the displacements of a 3x3 grid over the window.
    gain, offset
        Largest change of contrast, as a share of it, and of brightness, in standard deviations of the picture.
    """

    rotation: float = 180.0
    p_mirror: float = 0.5
    elastic: float = 10.0
    gain: float = 0.15
    offset: float = 0.2


class AugmentPictures:
    """Windows from anywhere in a picture, turned and deformed; beyond its border the picture is mirrored.

    `margin` are the pixels on each side of a window whose answer the network does not give: what is left of it comes
    from inside the picture, as far as it is large enough.
    """

    def __init__(self, settings: PictureSettings, margin: int = 0) -> None:
        self.settings = settings
        self.margin = margin

    def __call__(
        self, batch: Sample, size: tuple[int, int], pixel: float, seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`image` (B, C, *size) and `target` (B, 2, *size), float32: the label's number and the pixel's weight.

        A batch without weights has 1 everywhere.
        """
        label = batch["label"][:, None].float()
        weight = batch["weight"][:, None].float() if "weight" in batch else torch.ones_like(label)
        generator = torch.Generator().manual_seed(seed)
        points = self._points(label.shape, size, pixel, generator).to(label.device)
        image = sample_mirrored(batch["image"][:, :, 1].float(), points, "bicubic")  # the slice between its neighbours
        target = torch.cat(
            (sample_mirrored(label, points, "nearest"), sample_mirrored(weight, points, "bilinear")), dim=1
        )
        gain, offset = self._between(self.settings.gain, len(label), generator), self.settings.offset
        brighter = self._between(offset, len(label), generator)
        return image * (1 + gain.to(image.device)) + brighter.to(image.device), target

    def _points(
        self, shape: torch.Size, size: tuple[int, int], pixel: float, generator: torch.Generator
    ) -> torch.Tensor:
        """(B, *size, 2): x and y, in pixels of the picture from its first, of a window's pixels."""
        settings, batch = self.settings, shape[0]
        y, x = torch.meshgrid(*(torch.arange(n) - (n - 1) / 2 for n in size), indexing="ij")
        mirror = 1 - 2 * (torch.rand(batch, 1, 1, generator=generator) < settings.p_mirror).float()
        turn = torch.deg2rad(self._between(settings.rotation, batch, generator))[:, 0]
        cosine, sine = torch.cos(turn), torch.sin(turn)
        points = torch.stack((cosine * x * mirror - sine * y, sine * x * mirror + cosine * y), dim=-1)
        points = points + displacements(size, batch, generator, settings.elastic).permute(0, 2, 3, 1)
        answered = [(n - 2 * self.margin) * pixel for n in size]
        room = [max(have - want, 0.0) / 2 for have, want in zip(shape[:1:-1], reversed(answered), strict=True)]
        middle = (2 * torch.rand(batch, 1, 1, 2, generator=generator) - 1) * torch.tensor(room)
        first = torch.tensor([(n - 1) / 2 for n in shape[:1:-1]])
        return points * pixel + middle + first

    @staticmethod
    def _between(most: float, batch: int, generator: torch.Generator) -> torch.Tensor:
        """(batch, 1, 1, 1), evenly from -`most` to `most`."""
        return most * (2 * torch.rand(batch, 1, 1, 1, generator=generator) - 1)
