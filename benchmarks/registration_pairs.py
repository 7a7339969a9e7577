"""Pairs of series of which it is known how they lie to one another, perturbed; and pairs that must not be believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from registration_studies import Group, Study

from scanweave.transforms.geometry import Affine, Volume
from scanweave.transforms.rigid.pose import TURN_RADIUS_MM, PoseFrame

SHIFT_MM, TURN_DEG = 20.0, 20.0
CROPPED, MUCH_CROPPED = 0.15, 0.30
"""At most this share of an axis is cut from each of its ends, each end with an even chance."""
FAR = 2.0
"""Times `SHIFT_MM` and `TURN_DEG`, in pairs that are meant to be too hard."""
MIN_TOLERANCE_MM = 1.5
"""Of thin slices: less than half of these is beyond what the truth is known to."""
HALF_VIEW = (0.45, 0.7)
"""Shares of an axis that a cut field of view loses."""
Random = np.random.Generator


class Kind(StrEnum):
    """What is registered."""

    RIGHT = "right"
    HARD = "right, far and much cropped"
    OUT_OF_VIEW = "half the head out of view"
    OTHER = "another patient"
    NOISE = "noise"
    MIRRORED = "mirrored"


@dataclass(frozen=True, eq=False)
class Pair:
    """The `number`th of its kind; `truth` (4x4, RAS mm) takes a fixed point to the moving one; None where none is."""

    number: int
    kind: Kind
    group: Group
    name: str
    fixed: Volume
    moving: Volume
    truth: Affine | None

    @property
    def tolerance_mm(self) -> float:
        """Half a slice of the fixed series."""
        return max(MIN_TOLERANCE_MM, float(self.fixed.grid.spacing.max()) / 2)


def right_pairs(studies: list[Study], count: int, random: Random) -> Iterator[Pair]:
    """`count` pairs, the studies in turn, and of each its pairs in turn."""
    for number in range(count):
        yield _pair(Kind.RIGHT, studies, number, random, SHIFT_MM, TURN_DEG, CROPPED)


def flag_pairs(studies: list[Study], counts: Mapping[Kind, int], random: Random) -> Iterator[Pair]:
    """So many pairs of each kind."""
    for kind, count in counts.items():
        for number in range(count):
            yield _flag_pair(kind, studies, number, random)


def _flag_pair(kind: Kind, studies: list[Study], number: int, random: Random) -> Pair:
    if kind is Kind.HARD:
        return _pair(kind, studies, number, random, FAR * SHIFT_MM, FAR * TURN_DEG, MUCH_CROPPED)
    pair = _pair(kind, studies, number, random, SHIFT_MM, TURN_DEG, CROPPED)
    if kind is Kind.RIGHT:
        return pair
    moving, truth = pair.moving, None
    if kind is Kind.OUT_OF_VIEW:
        moving, truth = _half(moving, random), pair.truth
    elif kind is Kind.OTHER:
        step = 1 + int(random.integers(len(studies) - 1))
        moving = _pair(kind, studies, number + step, random, SHIFT_MM, TURN_DEG, CROPPED).moving
    elif kind is Kind.NOISE:
        noise = random.normal(300, 100, moving.array.shape).astype(np.float32)
        moving = Volume(noise, moving.affine)
    else:
        axis = int(np.argmax(np.abs(moving.grid.directions[0])))
        moving = Volume(np.flip(moving.array, axis), moving.affine)
    return Pair(number, kind, pair.group, pair.name, pair.fixed, moving, truth)


def _pair(
    kind: Kind, studies: list[Study], number: int, random: Random, shift_mm: float, turn_deg: float, crop: float
) -> Pair:
    study = studies[number % len(studies)]
    names = list(study.truth)
    fixed_name, moving_name = names[number // len(studies) % len(names)]
    fixed, moving = study.series[fixed_name], study.series[moving_name]
    change = perturbation(moving, random, shift_mm, turn_deg)
    truth = change @ study.truth[fixed_name, moving_name]
    moving = Volume(moving.array, change @ moving.affine)
    name = f"{study.name} {fixed_name}-{moving_name}"
    return Pair(number, kind, study.group, name, cropped(fixed, random, crop), cropped(moving, random, crop), truth)


def perturbation(volume: Volume, random: Random, shift_mm: float, turn_deg: float) -> Affine:
    """A turn about the volume's centre by up to `turn_deg` about any axis, and a shift of up to `shift_mm` anywhere."""
    centre = volume.grid.points([(np.array(volume.array.shape) - 1) / 2])[0]
    shift, axis = (direction / np.linalg.norm(direction) for direction in random.normal(size=(2, 3)))
    turn = axis * np.deg2rad(turn_deg) * random.random() * TURN_RADIUS_MM
    pose = np.concatenate([shift * shift_mm * random.random(), turn])
    return PoseFrame(centre).matrices(pose[None])[0]


def cropped(volume: Volume, random: Random, most: float) -> Volume:
    """The volume without up to `most` of each axis at either end."""
    shape = np.array(volume.array.shape)
    low, high = np.floor(random.random((2, 3)) * random.integers(0, 2, (2, 3)) * most * shape).astype(int)
    return _cut(volume, low, shape - high)


def _half(volume: Volume, random: Random) -> Volume:
    shape = np.array(volume.array.shape)
    axis, lost = int(random.integers(3)), random.uniform(*HALF_VIEW)
    low, high = np.zeros(3, dtype=int), shape.copy()
    if random.random() < 1 / 2:
        low[axis] = round(lost * shape[axis])
    else:
        high[axis] -= round(lost * shape[axis])
    return _cut(volume, low, high)


def _cut(volume: Volume, low: npt.NDArray[np.int_], high: npt.NDArray[np.int_]) -> Volume:
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    return Volume(volume.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], affine)
