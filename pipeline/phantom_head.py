"""The phantom's head: tissues on a lattice of head coordinates, made from a seed.

Head coordinates are RAS mm with the origin near the middle of the brain: x to the patient's right, y to the
front, z to the top. Every structure is an ellipsoid or a sheet bent by smooth noise. Nothing is taken from a
patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scanweave.transforms.geometry import Affine

Field = npt.NDArray[np.floating]
"""One value a lattice point."""
Labels = npt.NDArray[np.uint8]
"""Tissue of each lattice point."""

LATTICE_FROM_MM = (-94.0, -114.0, -92.0)
LATTICE_TO_MM = (94.0, 122.0, 94.0)
LATTICE_STEP_MM = (1.0, 1.0, 2.0)
SCALE_MM = 72.0
"""Turns the unitless radius of a head-sized ellipsoid into depth in mm; exact halfway between its axes."""
SKULL_MM = 6.5
SCALP_MM = 13.0
"""Outer faces of skull and skin, measured outward from the cranial cavity."""
FAR_MM = np.float32(99.0)
"""Stands for no such structure here."""


class Tissue(IntEnum):
    """What fills a lattice point; indexes the columns of a contrast table."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    BONE = 3
    MARROW = 4
    CSF = 5
    GREY = 6
    WHITE = 7
    DEEP_GREY = 8
    EYE = 9
    LESION = 10
    LESION_RIM = 11
    LESION_CORE = 12
    VESSEL = 13
    SKIN = 14
    ORBIT = 15


LESION_TISSUES = (Tissue.LESION, Tissue.LESION_RIM, Tissue.LESION_CORE)


@dataclass(frozen=True, eq=False)
class Head:
    """Tissue labels (i, j, k), a unit-variance texture of the same shape, and the lattice's affine."""

    tissue: Labels
    texture: Field
    affine: Affine


def make_head(rng: np.random.Generator) -> Head:
    """A head with skull, folded cortex, ventricles, and a lesion in one frontal lobe, drawn from `rng`."""
    space = _Space(rng)
    tissue = np.zeros(space.shape, dtype=np.uint8)
    shell = _shell_depth(space)
    cavity = _cavity_depth(space, shell)
    _paint_outside_brain(space, shell, cavity, tissue)
    brain = _paint_brain(space, cavity, tissue)
    _paint_inside_brain(space, tissue)
    _paint_lesion(space, brain, tissue)
    return Head(tissue, space.noise(5.0), space.affine)


class _Space:
    """The lattice's coordinates (open mesh, broadcast), and smooth noise over it."""

    def __init__(self, rng: np.random.Generator) -> None:
        axes = [
            np.arange(start, stop, step, dtype=np.float32)
            for start, stop, step in zip(LATTICE_FROM_MM, LATTICE_TO_MM, LATTICE_STEP_MM, strict=True)
        ]
        self.rng = rng
        self.axes = axes
        self.shape = (axes[0].size, axes[1].size, axes[2].size)
        self.x, self.y, self.z = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
        self.affine: Affine = np.diag([*LATTICE_STEP_MM, 1.0])
        self.affine[:3, 3] = LATTICE_FROM_MM

    def noise(self, width_mm: float) -> Field:
        """Unit-variance noise: Gaussian bumps of random height, standard deviation and spacing `width_mm`."""
        across_x, across_y, across_z = (_bumps(axis, width_mm) for axis in self.axes)
        knots = (across_x.shape[1], across_y.shape[1], across_z.shape[1])
        heights = self.rng.standard_normal(knots, dtype=np.float32)
        planes = (across_x @ heights.reshape(knots[0], -1)).reshape(-1, *knots[1:])
        return (across_y @ planes) @ across_z.T

    def radial(self, noise: Field, pull: float) -> Field:
        """`noise` drawn out along rays from the brain's middle, so that its level sheets lie as sulci do.

        `pull` 1 makes it constant along a ray, 0 leaves it as it is.
        """
        radius = np.sqrt(self.x**2 + self.y**2 + self.z**2) + np.float32(1.0)
        factor = (1 - pull) + pull * SCALE_MM / radius
        geometry = zip((self.x, self.y, self.z), LATTICE_FROM_MM, LATTICE_STEP_MM, strict=True)
        points = [(axis * factor - start) / step for axis, start, step in geometry]
        return ndimage.map_coordinates(noise, points, order=1, mode="nearest")

    def ball(self, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Field:
        """Radius of each point in units of an ellipsoid's: under 1 is inside."""
        parts = [((a - c) / r) ** 2 for a, c, r in zip((self.x, self.y, self.z), centre, radii, strict=True)]
        return np.sqrt(parts[0] + parts[1] + parts[2])


def _bumps(axis: Field, width: float) -> Field:
    """Gaussian bumps (points, knots), a knot every `width`; random heights on them have unit variance."""
    knots = np.arange(axis[0] - 3 * width, axis[-1] + 4 * width, width)
    distance = (axis[:, None] - knots) / width
    near = np.abs(distance) < 5  # without their tails, which are denormal numbers and slow to multiply
    bumps = np.where(near, np.exp(-0.5 * distance**2), 0)
    return (bumps / np.sqrt((bumps**2).sum(axis=1, keepdims=True))).astype(np.float32)


def _shell_depth(space: _Space) -> Field:
    """Depth in mm below the inner face of an egg-shaped skull without a base: positive inside."""
    width = 69.0 * (1 - 0.0014 * space.y)  # wider at the back than at the front
    bent = space.x - 2.0 * np.tanh(space.y / 40)  # right frontal and left occipital bulge, as in most people
    radius = np.sqrt((bent / width) ** 2 + ((space.y + 10) / 86) ** 2 + ((space.z - 6) / 70) ** 2)
    return (1 - radius) * SCALE_MM


def _cavity_depth(space: _Space, shell: Field) -> Field:
    """Depth inside the cranial cavity: the shell, closed below by the base's three steps."""
    petrous = 1 / (1 + np.exp(-(space.y + 12 + 0.3 * np.abs(space.x)) / 3))
    sphenoid = 1 / (1 + np.exp(-(space.y - 32 + 0.1 * np.abs(space.x)) / 3))
    floor = -66 + 20 * petrous + 18 * sphenoid
    return np.minimum(shell, space.z - floor + 0.002 * space.x**2)


def _paint_outside_brain(space: _Space, shell: Field, cavity: Field, tissue: Labels) -> None:
    """Skin, fat, muscle, skull and its marrow, face with eyes, orbits and air cells, neck."""
    z = space.z
    wobble = space.noise(8.0)
    face = (1 - space.ball((0, 42, -52), (62, 58, 62))) * 58
    nose = (1 - space.ball((2, 100, -52), (15, 24, 24))) * 18
    neck = (1 - np.sqrt((space.x / 62) ** 2 + ((space.y + 28) / 62) ** 2)) * 60 + np.minimum(0, -(z + 20))
    skin = np.maximum.reduce([shell + SCALP_MM + 0.8 * wobble, face, nose, np.minimum(neck, shell + 40)])
    tissue[skin > 0] = Tissue.SKIN
    tissue[skin > 1.5] = Tissue.FAT
    tissue[(skin > 9 + 3 * wobble) & (z < 5) & (np.abs(wobble) > 0.25)] = Tissue.MUSCLE
    tissue[(space.ball((0, 62, -60), (20, 42, 32)) < 1) & (wobble > -0.6)] = Tissue.AIR
    for side in (-1, 1):
        tissue[space.ball((side * 33, 66, -34), (19, 30, 17)) < 1] = Tissue.ORBIT
        tissue[space.ball((side * 33, 78, -34), (12.5, 12.5, 12.5)) < 1] = Tissue.EYE
        tissue[space.ball((side * 32, 52, -34), (4, 22, 9)) < 1] = Tissue.MUSCLE
        tissue[(space.ball((side * 52, -22, -50), (15, 18, 16)) < 1) & (wobble > -0.5)] = Tissue.BONE
    bone = (cavity > -SKULL_MM - 0.7 * wobble) & (skin > 4)
    tissue[bone] = Tissue.BONE
    marrow = (np.abs(cavity + 0.5 * SKULL_MM) < 1.0 + 0.5 * wobble) & bone & (shell < 4) & (z > -30)
    tissue[marrow] = Tissue.MARROW
    tissue[space.ball((3, 86, -14), (16, 7, 10)) < 1] = Tissue.AIR
    tissue[cavity > 0] = Tissue.CSF


def _paint_brain(space: _Space, cavity: Field, tissue: Labels) -> npt.NDArray[np.bool_]:
    """Folded cortex over white matter, cerebellum, brain stem; returns where the cerebrum is."""
    x, y, z = space.x, space.y, space.z
    wobble = space.noise(12.0)
    rim = cavity - 2.2 - 0.6 * wobble  # mm below the brain's surface
    tentorium = z + 16 + 0.25 * np.abs(x) + 0.20 * np.maximum(-30 - y, 0)  # mm above it
    ridge = y + 12 + 0.3 * np.abs(x) - wobble  # mm before the edge on which the tentorium is fixed
    cerebrum = (rim > 0) & ~((tentorium < 0.8) & (ridge < 0.5))
    cerebrum &= space.ball((0, 6, -28), (13, 12, 13)) - 0.2 * wobble > 1  # suprasellar cistern

    fold = space.radial(space.noise(3.6), 0.7)
    slope = np.sqrt(sum(np.square(np.gradient(fold, step, axis=a)) for a, step in enumerate(LATTICE_STEP_MM)))
    sulcus = np.abs(fold) / np.maximum(slope, 0.06)  # mm to the middle of the nearest sulcus
    sulcus = np.where(rim < 14 + 4 * wobble, sulcus, FAR_MM)
    callosum = np.hypot((y + 5) / 50, (z - 10) / 20)
    fissure = np.where(callosum > 1, np.abs(x - 1.5 * np.sin(y / 30) - 0.7 * wobble), FAR_MM)
    insula = np.hypot((y - 4) / 30, (np.abs(x) - 62) / 30)
    sylvian = np.where(insula < 1, np.abs(z + 4 - 0.3 * y - 3 * wobble), FAR_MM)
    gap = np.minimum(fissure, sylvian)
    tissue[cerebrum] = Tissue.WHITE
    tissue[cerebrum & (np.minimum.reduce([rim, gap - 0.8, sulcus - 0.5]) < 2.8 + 0.3 * wobble)] = Tissue.GREY
    tissue[cerebrum & ((gap < 0.9) | (sulcus < np.where(rim < 6, 0.9, 0.5)))] = Tissue.CSF

    cerebellum = (tentorium < -0.8) & (ridge < -1) & (rim > 0)
    folia = np.sin(0.9 * SCALE_MM * space.ball((0, -30, -38), (SCALE_MM,) * 3) + wobble)
    tissue[cerebellum] = np.where(folia > -0.2, Tissue.GREY, Tissue.WHITE)[cerebellum]
    lean = y + 20 + 0.15 * (z + 30)
    stem = np.hypot(x / 14, lean / 12) + 0.3 * (z < -48)
    cistern = np.hypot(x / 17, (lean - 4) / 13)
    tissue[(cistern < 1) & (z < -18) & (z > -66)] = Tissue.CSF
    tissue[(stem < 1) & (z < 0)] = Tissue.WHITE
    return cerebrum


def _paint_inside_brain(space: _Space, tissue: Labels) -> None:
    """Deep grey matter and the ventricles, the left one larger."""
    x, y, z = space.x, space.y, space.z
    wobble = 1 + 0.10 * space.noise(8.0)
    for side, size in ((-1, 1.25), (1, 1.0)):
        for centre, radii in (
            ((10, -16, 8), (8, 13, 9)),  # thalamus
            ((15, 16, 10), (5, 11, 9)),  # head of caudate
            ((25, 4, 5), (6, 16, 10)),  # putamen
        ):
            tissue[space.ball((side * centre[0], *centre[1:]), radii) < wobble] = Tissue.DEEP_GREY
        across = (side * x - 7.0 - 0.007 * (y - 14) ** 2) / (5.0 * size)  # the horns bend outward behind
        along = (y + 8) / 46
        up = (z - 21 + 0.007 * (y + 2) ** 2) / (8.0 * size)
        tissue[np.sqrt(across**2 + along**2 + up**2) < wobble] = Tissue.CSF  # lateral
    tissue[space.ball((0, -8, 2), (2.5, 14, 10)) < wobble] = Tissue.CSF  # third
    tissue[space.ball((0, -36, -40), (8, 5, 9)) < wobble] = Tissue.CSF  # fourth
    tissue[space.ball((0, -95, 12), (4, 5, 40)) < 1] = Tissue.VESSEL  # sagittal sinus


def _paint_lesion(space: _Space, brain: npt.NDArray[np.bool_], tissue: Labels) -> None:
    """An irregular blob of 30 to 40 mm in the white and grey matter of one frontal lobe."""
    rng = space.rng
    side = float(rng.choice((-1, 1)))
    centre = (side * rng.uniform(28, 33), rng.uniform(24, 34), rng.uniform(24, 32))
    radii = (rng.uniform(15.5, 20.0), rng.uniform(15.5, 20.0), rng.uniform(15.5, 20.0))
    radius = space.ball(centre, radii) + 0.10 * space.noise(7.0)
    tumour = (radius < 1) & brain & (tissue != Tissue.CSF)
    tissue[tumour] = Tissue.LESION
    tissue[tumour & (radius < 0.58)] = Tissue.LESION_RIM
    tissue[tumour & (radius < 0.44)] = Tissue.LESION_CORE
