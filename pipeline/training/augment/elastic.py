"""Smooth deformations of a plane, as those of the original U-Net's training.

O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
arXiv 1505.04597, section 3.1: "random displacement vectors on a coarse 3 by 3 grid", normal with a deviation of 10
pixels, "bicubic interpolation" between them.
"""

from __future__ import annotations

import torch
from torch.nn import functional

NODES = 3
"""Along each axis of the grid, whose outer nodes lie on the border pixels."""


def displacements(
    size: tuple[int, int], count: int, generator: torch.Generator, deviation: float = 10.0, nodes: int = NODES
) -> torch.Tensor:
    """(count, 2, *size): how far, in pixels along x (columns) and y (rows), each pixel's content comes from.

    On the CPU, so that the same generator gives the same on any device. To be added to a sampling grid of pixels,
    whose last axis is x and y as well: `points + field.permute(0, 2, 3, 1)`.
    """
    coarse = deviation * torch.randn(count, 2, nodes, nodes, generator=generator)
    return functional.interpolate(coarse, size, mode="bicubic", align_corners=True)


def sample_mirrored(image: torch.Tensor, points: torch.Tensor, mode: str = "bicubic") -> torch.Tensor:
    """`image` (B, C, H, W) at `points` (B, h, w, 2), x and y in pixels from its first; `mode` is nearest for labels.

    Beyond its border the image is mirrored, the border pixel itself not repeated. Weights of pixels want bilinear:
    bicubic interpolation overshoots.
    """
    last = torch.tensor([max(n - 1, 1) for n in image.shape[:1:-1]], device=points.device)
    grid = (2 * points / last - 1).to(image.dtype)
    return functional.grid_sample(image, grid, mode=mode, padding_mode="reflection", align_corners=True)
