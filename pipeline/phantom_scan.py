"""The phantom's scanner: images a head on a planned grid, with a contrast, shading and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from scanweave.pipeline.phantom_head import Field, Head, Tissue
from scanweave.transforms.geometry import Affine, Grid, Volume

SLICE_THICKNESS = 0.9
"""Part of the distance between slices that is imaged; the rest is the gap."""
SUBSLICES = (-0.25, 0.25)
"""Where a slice is sampled, in units of its thickness; the lattice is smoothed to as much before."""
THROUGH_PLANE = (0.25, 0.5, 0.25)
SHADING = 0.10
"""Greatest part by which the coil's sensitivity leaves 1."""
TEXTURE = 0.025
"""Standard deviation of a tissue's own intensity, as a part of it."""


@dataclass(frozen=True)
class Plan:
    """How a series is planned: contrast, voxels, their size in mm, and the plane.

    The plane is the `view` turned by `turn_deg` about x, then y, then z (RAS), through `centre` (RAS mm).
    """

    contrast: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    turn_deg: tuple[float, float, float]
    centre: tuple[float, float, float]
    view: str = "axial"

    @property
    def grid(self) -> Grid:
        """Voxels as a scanner orders them: i along a row, j down the image, k from slice to slice."""
        affine = np.eye(4)
        turn = Rotation.from_euler("xyz", self.turn_deg, degrees=True).as_matrix()
        affine[:3, :3] = turn @ VIEWS[self.view] * np.array(self.spacing)
        affine[:3, 3] = np.array(self.centre) - affine[:3, :3] @ ((np.array(self.shape) - 1) / 2)
        return Grid(self.shape, affine)


VIEWS: dict[str, npt.NDArray[np.float64]] = {
    "axial": np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]]),
    "coronal": np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]]),
    "sagittal": np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]),
}
"""Directions in RAS of i, j and k, one a column and right-handed, as radiologists look at each plane."""


@dataclass(frozen=True)
class Contrast:
    """Image intensity of each tissue (air is 0), and the noise's standard deviation in the same units."""

    intensity: dict[Tissue, float]
    noise: float


CONTRASTS: dict[str, Contrast] = {
    "pre": Contrast(
        {
            Tissue.FAT: 1050, Tissue.ORBIT: 850, Tissue.SKIN: 480, Tissue.MUSCLE: 330, Tissue.BONE: 30,
            Tissue.MARROW: 480, Tissue.EYE: 130, Tissue.CSF: 115, Tissue.GREY: 290, Tissue.WHITE: 355,
            Tissue.DEEP_GREY: 315, Tissue.VESSEL: 90,
            Tissue.LESION: 250, Tissue.LESION_RIM: 255, Tissue.LESION_CORE: 190,
        },
        noise=10,
    ),
    "flair": Contrast(
        {
            Tissue.FAT: 560, Tissue.ORBIT: 400, Tissue.SKIN: 300, Tissue.MUSCLE: 150, Tissue.BONE: 18,
            Tissue.MARROW: 170, Tissue.EYE: 35, Tissue.CSF: 35, Tissue.GREY: 240, Tissue.WHITE: 200,
            Tissue.DEEP_GREY: 228, Tissue.VESSEL: 60,
            Tissue.LESION: 345, Tissue.LESION_RIM: 350, Tissue.LESION_CORE: 320,
        },
        noise=6,
    ),
    "post": Contrast(
        {
            Tissue.FAT: 1000, Tissue.ORBIT: 820, Tissue.SKIN: 560, Tissue.MUSCLE: 420, Tissue.BONE: 30,
            Tissue.MARROW: 480, Tissue.EYE: 130, Tissue.CSF: 120, Tissue.GREY: 345, Tissue.WHITE: 395,
            Tissue.DEEP_GREY: 365, Tissue.VESSEL: 1050,
            Tissue.LESION: 310, Tissue.LESION_RIM: 720, Tissue.LESION_CORE: 220,
        },
        noise=11,
    ),
    "adc": Contrast(  # 1e-6 mm^2/s; bone and fat give no signal to compute it from
        {
            Tissue.MUSCLE: 900, Tissue.EYE: 2900, Tissue.CSF: 2900, Tissue.GREY: 860, Tissue.WHITE: 760,
            Tissue.DEEP_GREY: 780, Tissue.VESSEL: 300,
            Tissue.LESION: 1350, Tissue.LESION_RIM: 1050, Tissue.LESION_CORE: 2100,
        },
        noise=40,
    ),
}  # fmt: skip
"""Of the order of a 1.5 T spin echo study."""


@dataclass(frozen=True, eq=False)
class Exposure:
    """Values on the head's lattice, smoothed to the slices' thickness, and the lattice's affine."""

    values: Field
    affine: Affine


def expose(head: Head, contrast: Contrast) -> Exposure:
    """The head as `contrast` shows it, before any plane is chosen."""
    table = np.zeros(len(Tissue), dtype=np.float32)
    table[[int(tissue) for tissue in contrast.intensity]] = list(contrast.intensity.values())
    return _smoothed(table[head.tissue] * (1 + TEXTURE * head.texture), head.affine)


def scan(exposure: Exposure, noise: float, grid: Grid, pose: Affine, rng: np.random.Generator) -> Volume:
    """An int16 magnitude image on `grid` (scanner RAS mm); `pose` takes head coordinates to the scanner's."""
    signal = _sample(exposure, grid, pose) * _shading(grid.shape, rng)
    real, imaginary = rng.standard_normal((2, *grid.shape), dtype=np.float32) * np.float32(noise)
    return Volume(np.rint(np.hypot(signal + real, imaginary)).astype(np.int16), grid.affine)  # Rician noise


def tissue_part(head: Head, tissues: tuple[Tissue, ...], grid: Grid, pose: Affine) -> Field:
    """The part (0..1) of each voxel of `grid` that is one of `tissues`."""
    return _sample(_smoothed(np.isin(head.tissue, tissues), head.affine), grid, pose)


def _smoothed(values: npt.NDArray[np.generic], affine: Affine) -> Exposure:
    smooth = ndimage.correlate1d(values.astype(np.float32), THROUGH_PLANE, axis=2, mode="constant")
    return Exposure(smooth, affine)


def _sample(exposure: Exposure, grid: Grid, pose: Affine) -> Field:
    """Averaged through the slices of `grid`; 0 outside the lattice."""
    total = np.zeros(grid.shape, dtype=np.float32)
    for offset in SUBSLICES:
        affine = grid.affine.copy()
        affine[:3, 3] += offset * SLICE_THICKNESS * grid.affine[:3, 2]
        lookup = np.linalg.inv(pose @ exposure.affine) @ affine
        total += ndimage.affine_transform(exposure.values, lookup[:3, :3], lookup[:3, 3], grid.shape, order=1)
    return total / len(SUBSLICES)


def _shading(shape: tuple[int, int, int], rng: np.random.Generator) -> Field:
    """Smooth gain around 1: a random quadratic of the position in the volume."""
    i, j, k = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    terms = (i, j, k, i * j, i * i, j * j)
    weights = rng.uniform(-1, 1, len(terms)).astype(np.float32) * np.float32(SHADING / 2)
    gain = np.ones(shape, dtype=np.float32)
    for weight, term in zip(weights, terms, strict=True):
        gain += weight * term
    return gain
