"""How bright things are: each step takes and gives `image` (B, C, rows, columns), 0..1, background 0."""

from __future__ import annotations

import torch
from torch.nn import functional

from scanweave.pipeline.training.augment.chance import Chance
from scanweave.pipeline.training.augment.settings import AugmentSettings

BIAS_POINTS = 4
"""Along each axis, of the coarse grid that a bias field comes from."""
LEAST_SIGNAL = 0.01
"""Below it lies background, which the chain clears of noise."""
BLUR_RADIUS = 3
"""Pixels to each side of the kernel."""


def change_intensity(image: torch.Tensor, pixel: float, settings: AugmentSettings, chance: Chance) -> torch.Tensor:
    """What scanners and protocols change, in the order in which an acquisition does; a pixel is `pixel` wide."""
    image = _gamma(image, settings, chance)
    image = image * _bias_field(image, settings, chance)
    image = _blur(image, pixel, settings, chance)
    image = _coarse(image, settings, chance)
    return _noise(image, settings, chance)


def _gamma(image: torch.Tensor, settings: AugmentSettings, chance: Chance) -> torch.Tensor:
    channels = image.shape[1]
    exponent = torch.exp(chance.normal(settings.gamma, channels) * chance.happens(settings.p_gamma, channels))
    return image.clamp(min=0) ** exponent[..., None, None]


def _bias_field(image: torch.Tensor, settings: AugmentSettings, chance: Chance) -> torch.Tensor:
    channels = image.shape[1]
    coarse = chance.normal(settings.bias, channels, BIAS_POINTS, BIAS_POINTS)
    coarse = coarse * chance.happens(settings.p_bias, channels, 1, 1)
    return torch.exp(functional.interpolate(coarse, image.shape[2:], mode="bicubic", align_corners=True))


def _blur(image: torch.Tensor, pixel: float, settings: AugmentSettings, chance: Chance) -> torch.Tensor:
    """Separable, with a kernel for each sample."""
    channels = image.shape[1]
    width = chance.uniform(0, settings.blur) / pixel
    wanted = chance.happens(settings.p_blur)
    offsets = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=image.device)
    kernel = torch.exp(-(offsets**2) / (2 * width[:, None] ** 2 + 1e-6))
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)[:, None]
    chosen = wanted.bool().repeat_interleave(channels)
    if not chosen.any():
        return image
    planes = image.flatten(0, 1)
    some, kernel = planes[chosen][None], kernel[chosen]
    padding, groups = BLUR_RADIUS, some.shape[1]
    some = functional.conv2d(some, kernel[..., None], padding=(padding, 0), groups=groups)
    some = functional.conv2d(some, kernel[:, :, None], padding=(0, padding), groups=groups)
    return planes.index_put((chosen.nonzero()[:, 0],), some[0]).view_as(image)


def _coarse(image: torch.Tensor, settings: AugmentSettings, chance: Chance) -> torch.Tensor:
    """Low resolution along one axis; the samples of a batch that have it have the same."""
    chosen = chance.happens(settings.p_coarse).bool()
    factor = float(chance.uniform(1, settings.coarse)[0])
    axis = int(chance.happens(0.5)[0])
    if not chosen.any():
        return image
    size = list(image.shape[2:])
    size[axis] = max(round(size[axis] / factor), 1)
    low = functional.interpolate(image[chosen], size, mode="bilinear", align_corners=False, antialias=True)
    back = functional.interpolate(low, image.shape[2:], mode="bilinear", align_corners=False)
    return image.index_put((chosen.nonzero()[:, 0],), back)


def _noise(image: torch.Tensor, settings: AugmentSettings, chance: Chance) -> torch.Tensor:
    channels = image.shape[1]
    deviation = chance.uniform(0, settings.noise, channels) * chance.happens(settings.p_noise, 1)
    noisy = image + chance.noise(image) * deviation[..., None, None]
    return torch.where(image > LEAST_SIGNAL, noisy.clamp(min=0), image)
