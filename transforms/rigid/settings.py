"""How a rigid transform is sought: the numbers of the registration, in millimetres and degrees."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Descent:
    """How a minimum is sought: on `samples` points of the fixed image.

    The first step is `first_mm` long, the longest `longest_mm` (as far as a head's voxels move); a step below
    `tolerance_mm` is the last, and so is the one after so many `evaluations`.
    """

    samples: int
    first_mm: float
    longest_mm: float
    tolerance_mm: float
    evaluations: int


@dataclass(frozen=True)
class Level:
    """One resolution: voxels of about `voxel_mm`, blurred by `sigma_mm`, and the descent there."""

    voxel_mm: float
    sigma_mm: float
    descent: Descent


@dataclass(frozen=True)
class RigidSettings:
    """The settings that the benchmark measures (docs/registration.md).

    `levels` run from coarse to fine; they shrink 0.9x0.9x5.5 mm by 8, 4 and 2 in-plane. At the coarsest, poses are
    looked at in three rounds, ever fewer on ever more points: every turn of `start_angles_deg`^3 about each of 16
    places up to `start_shift_mm` from where the centres meet, on `start_samples` points and `start_bins` bins; the
    best `starts_kept` of them, `start_apart_mm` from one another, after a short `glance`; of these the best
    `glances_kept` by the level's own descent. Heads cut to two thirds need them: with the 250 poses of a denser grid of
    turns about the two centres alone, 18 of 60 such pairs went astray, with these and the short descents 1 or 2.

    The finest level has four times the samples that finding the head takes: with 15,000, one FLAIR re-sliced four ways
    gave poses of the same T1 up to 1.25 mm apart, with 60,000 0.43 mm, for 0.1 CPU s more.

    No axis is shrunk to fewer than `min_voxels`, and no metric draws more than `max_samples`.
    """

    levels: tuple[Level, ...] = (
        Level(7.2, 4.0, Descent(8_000, first_mm=2.0, longest_mm=8.0, tolerance_mm=0.1, evaluations=40)),
        Level(3.6, 2.0, Descent(12_000, first_mm=0.5, longest_mm=2.0, tolerance_mm=0.05, evaluations=30)),
        Level(1.8, 1.0, Descent(60_000, first_mm=0.2, longest_mm=1.0, tolerance_mm=0.01, evaluations=30)),
    )
    start_angles_deg: tuple[float, ...] = (-15.0, 0.0, 15.0)
    start_shift_mm: float = 25.0
    start_samples: int = 1_000
    start_bins: int = 16
    start_apart_mm: float = 8.0
    starts_kept: int = 24
    glance: Descent = Descent(2_000, first_mm=4.0, longest_mm=15.0, tolerance_mm=0.5, evaluations=15)
    glances_kept: int = 3
    bins: int = 32
    seed: int = 1
    min_voxels: int = 20
    max_samples: int = 60_000

    def __post_init__(self) -> None:
        if not self.levels or not self.start_angles_deg or min(self.starts_kept, self.glances_kept, self.seed) < 1:
            raise ValueError(f"expected a level, an angle, a start and a seed of 1 or more, got {self}")


DEFAULT_SETTINGS = RigidSettings()
