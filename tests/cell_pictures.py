"""Made-up electron microscopy: cells of all sizes, thin dark membranes between them, and grain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

BRIGHT, DARK, GRAIN = 160.0, 70.0, 18.0


def cells_and_picture(
    rows: int, columns: int, seed: int, cells: int = 60
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    """(mask, gray picture): a cell is what lies nearest to one of some points, and clearly farther from all others."""
    chance = np.random.default_rng(seed)
    points = chance.uniform(0, 1, (cells, 2)) * (rows, columns)
    at = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1)
    distances = np.sort(np.linalg.norm(at[:, :, None] - points, axis=-1), axis=-1)
    mask = distances[..., 1] - distances[..., 0] > 5
    gray = ndimage.gaussian_filter(np.where(mask, BRIGHT, DARK), 1) + chance.normal(0, GRAIN, mask.shape)
    return mask, gray.clip(0, 255).astype(np.uint8)


def write_pairs(root: Path, count: int, rows: int = 256, columns: int = 256) -> Path:
    """`image/` and `label/` of so many pictures, 0.png, 1.png ..."""
    for folder in ("image", "label"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        mask, gray = cells_and_picture(rows, columns, seed=number)
        Image.fromarray(gray).save(root / "image" / f"{number}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(root / "label" / f"{number}.png")
    return root
