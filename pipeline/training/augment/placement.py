"""Where things lie: the head in the plane, elastically deformed, and the other series beside the reference."""

from __future__ import annotations

import torch
from torch.nn import functional

from scanweave.pipeline.training.augment.chance import Chance
from scanweave.pipeline.training.augment.settings import AugmentSettings

CONTROL_POINTS = 6
"""Along each axis, of the elastic deformation."""


def between_slices(slab: torch.Tensor, reference: int, settings: AugmentSettings, chance: Chance) -> torch.Tensor:
    """(B, C, H, W) from (B, C, 3, H, W): the middle slice, of the other series somewhat above or below it."""
    channels = slab.shape[1]
    shift = chance.normal(settings.slice_shift, channels) * chance.happens(settings.p_misregistered, 1)
    shift[:, reference] = 0
    below, above = (-shift).clamp(min=0), shift.clamp(min=0)
    weights = torch.stack((below, 1 - below - above, above), dim=-1)
    return (slab * weights[..., None, None]).sum(dim=2)


def place(
    image: torch.Tensor,
    label: torch.Tensor,
    size: tuple[int, int],
    pixel: float,
    reference: int,
    settings: AugmentSettings,
    chance: Chance,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`image` (B, C, h, w) and `label` (B, H, W) in a window of `size`, whose pixels are `pixel` wide; 0 outside.

    Of several labels each is moved by itself: a pixel that is foreground for the most part has the largest's.
    Lengths are in the label's pixels; `image` is the same plane, coarser where `pixel` is.
    All motions of a series make one grid, so that its voxels are interpolated once.
    """
    batch, channels = image.shape[:2]
    shape = list(label.shape[1:])
    points = _window(size, pixel, image.device)
    turn = torch.deg2rad(chance.uniform(-settings.rotation, settings.rotation))
    points = _rotated(points.expand(batch, -1, -1, -1), turn) / _sizes(settings, chance)[:, None, None]
    points = points + _elastic(points, settings, chance)
    points = points + chance.uniform(-settings.shift, settings.shift, 2)[:, None, None]
    moved = (
        chance.happens(settings.p_misregistered, 1, 1) * (torch.arange(channels) != reference).to(image.device)[:, None]
    )
    apart = chance.normal(settings.misregistration, channels, 2) * moved
    turned = torch.deg2rad(chance.normal(settings.misrotation, channels)) * moved[..., 0]
    each = _rotated(points[:, None].expand(-1, channels, -1, -1, -1).flatten(0, 1), turned.flatten())
    each = each + apart.flatten(0, 1)[:, None, None]
    sampled = _sample(image.flatten(0, 1)[:, None], each, shape, "bicubic").unflatten(0, (batch, channels))[:, :, 0]
    numbers = torch.arange(1, int(label.max().clamp(min=1)) + 1, device=label.device)
    shares = torch.cat([_sample((label == n)[:, None].float(), points, shape, "bilinear") for n in numbers], dim=1)
    found = torch.where(shares.sum(dim=1) > 0.5, shares.argmax(dim=1) + 1, 0)
    return sampled.clamp(min=0), found.float()


def _window(size: tuple[int, int], pixel: float, device: torch.device) -> torch.Tensor:
    """(1, rows, columns, 2): x and y in pixels from the centre of the plane."""
    rows, columns = ((torch.arange(n, device=device) - (n - 1) / 2) * pixel for n in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x, y), dim=-1)[None]


def _rotated(points: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Points (N, rows, columns, 2) turned about the centre by `angles` (N), in radians."""
    cosine, sine = (value[:, None, None] for value in (torch.cos(angles), torch.sin(angles)))
    x, y = points.unbind(-1)
    return torch.stack((cosine * x - sine * y, sine * x + cosine * y), dim=-1)


def _sizes(settings: AugmentSettings, chance: Chance) -> torch.Tensor:
    """(B, 2): how much larger the head becomes along x and y; negative where it is mirrored."""
    zoom = chance.uniform(*settings.zoom)
    stretch = torch.exp(chance.normal(settings.stretch) / 2)
    mirror = 1 - 2 * chance.happens(settings.p_mirror)
    upside_down = 1 - 2 * chance.happens(settings.p_upside_down)
    return torch.stack((zoom * stretch * mirror, zoom / stretch * upside_down), dim=-1)


def _elastic(points: torch.Tensor, settings: AugmentSettings, chance: Chance) -> torch.Tensor:
    """(B, rows, columns, 2): smooth displacements from a coarse grid of control points."""
    coarse = chance.normal(settings.elastic, 2, CONTROL_POINTS, CONTROL_POINTS)
    coarse = coarse * chance.happens(settings.p_elastic, 1, 1, 1)
    fine = functional.interpolate(coarse, points.shape[1:3], mode="bicubic", align_corners=True)
    return fine.permute(0, 2, 3, 1)


def _sample(image: torch.Tensor, points: torch.Tensor, shape: list[int], mode: str) -> torch.Tensor:
    """(N, 1, rows, columns) of `image` at `points`, which are in pixels of a plane of `shape` (rows, columns)."""
    half = torch.tensor([shape[1] / 2, shape[0] / 2], device=image.device)
    return functional.grid_sample(image, points / half, mode=mode, padding_mode="zeros", align_corners=False)
