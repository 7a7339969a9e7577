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


def deform(image: torch.Tensor, field: torch.Tensor, mode: str = "bicubic") -> torch.Tensor:
    """`image` (B, C, H, W) taken from where `field` (B, 2, H, W) says; `mode` is nearest for labels.

    Beyond its border the image is mirrored, the border pixel itself not repeated. Weights of pixels want bilinear:
    bicubic interpolation overshoots.
    """
    rows, columns = image.shape[2:]
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    points = torch.stack((x, y), dim=-1).to(field) + field.permute(0, 2, 3, 1)
    last = torch.tensor([max(columns - 1, 1), max(rows - 1, 1)]).to(points)
    return functional.grid_sample(
        image, (2 * points / last - 1).to(image.dtype), mode=mode, padding_mode="reflection", align_corners=True
    )
