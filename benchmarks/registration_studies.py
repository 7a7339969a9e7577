"""The studies that are registered, and how their series truly lie to one another, as well as it can be known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import permutations
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from scanweave.transforms.geometry import LPS_FROM_RAS, Affine, Volume
from scanweave.transforms.rigid.estimate import estimate_rigid
from scanweave.transforms.rigid.pyramid import pyramid
from scanweave.transforms.rigid.settings import Descent, Level, RigidSettings

FINE = RigidSettings(
    levels=(
        Level(7.2, 4.0, Descent(20_000, 2.0, 8.0, 0.02, 80)),
        Level(3.6, 2.0, Descent(50_000, 0.5, 2.0, 0.01, 80)),
        Level(1.8, 1.0, Descent(100_000, 0.2, 1.0, 0.002, 80)),
    ),
    glances_kept=6,
    max_samples=100_000,
)
"""For the truth: seven times the samples, and no haste."""
NEAR = replace(FINE, start_angles_deg=(0.0,), start_shift_mm=4.0, starts_kept=2, glances_kept=1)
"""For series that their publishers aligned."""
LGG_IN_PLANE_MM = 0.9
LGG_HEIGHT_MM = 140.0
LGG_SLICE_MM = (1.5, 6.5)
"""No spacing of these slices was published: they are taken to reach over so much of a head."""
LGG_SAME_LEVELS = 1.0
"""Grey levels by which a copy of the FLAIR differs from it after lossy compression, and no other series does."""
LGG_EVERY = 5
"""Of the sorted patients, those numbered 1, 6, 11 .. set the thresholds, 0, 5, 10 .. test them."""
SIEMENS = {
    "flair": "36468-FLAIRreg-58706",
    "t1": "26401-T1prereg-52906",
    "t1c": "11-T1post-18670",
    "t2": "37830-T2reg-78532",
}
TCGA = ("flair", "t1", "t1c", "t2")


class Group(StrEnum):
    """Settings and thresholds were chosen on one group of patients and tested on the other."""

    CHOSEN = "chosen on"
    TESTED = "tested on"


@dataclass(frozen=True, eq=False)
class Study:
    """Series by name, and for pairs of them the matrix (4x4, RAS mm) from a point of the first to one of the second.

    `spread_mm` is how far apart the ways are by which the truth was found (mean over the head, the worst pair).
    `moved_mm` is how far from its header's place the truth puts a series at most.
    """

    name: str
    group: Group
    series: Mapping[str, Volume]
    truth: Mapping[tuple[str, str], Affine]
    spread_mm: float
    moved_mm: float


def find_studies(data: Path) -> Iterator[Study]:
    """The two raw studies and every second LGG patient, of whom some are for either group."""
    yield _study(
        "tcga-fg-6692", Group.CHOSEN, {name: _nifti(data / "tcga-fg-6692" / f"{name}.nii.gz") for name in TCGA}
    )
    yield _study(
        "study-siemens",
        Group.TESTED,
        {name: _dicom(data / "study-siemens" / folder) for name, folder in SIEMENS.items()},
        aligned=True,
    )
    patients = sorted(path for path in (data / "lgg" / "train").iterdir() if path.is_dir())
    for first, group in ((1, Group.CHOSEN), (0, Group.TESTED)):
        for folder in patients[first::LGG_EVERY]:
            series = _lgg(folder)
            if len(series) > 1:
                yield _study(folder.name, group, series, settings=NEAR)


def _study(
    name: str, group: Group, series: Mapping[str, Volume], *, settings: RigidSettings = FINE, aligned: bool = False
) -> Study:
    """Consensus of every way from one series to another; `aligned`: their makers did it, the ways only verify."""
    prepared = {key: pyramid(volume, settings) for key, volume in series.items()}
    direct = {
        (one, two): estimate_rigid(prepared[one], prepared[two], try_identity=True, settings=settings).matrix_ras
        for one, two in permutations(series, 2)
    }
    truth, spread, moved = {}, 0.0, 0.0
    for one, two in direct:
        if one != "flair" and "flair" in (one, two):
            continue
        ways = [direct[one, two], np.linalg.inv(direct[two, one])]
        ways += [direct[via, two] @ direct[one, via] for via in series if via not in (one, two)]
        middle = np.eye(4) if aligned else mean_rigid(ways)
        points = head_points(prepared[one].middle.grid.points(np.argwhere(prepared[one].head)))
        spread = max(spread, *(distances_mm(way, middle, points).mean() for way in ways))
        moved = max(moved, float(distances_mm(middle, np.eye(4), points).mean()))
        truth[one, two] = middle
    return Study(name, group, series, truth, spread, moved)


def mean_rigid(matrices: list[Affine]) -> Affine:
    """The rigid matrix nearest to the mean of some that are near one another."""
    mean = np.mean(matrices, axis=0)
    left, _, right = np.linalg.svd(mean[:3, :3])
    mean[:3, :3] = left @ right
    return mean


def head_points(points: np.ndarray) -> np.ndarray:
    """Some thousand of the points (n, 3)."""
    return points[:: max(1, len(points) // 4000)]


def distances_mm(one: Affine, two: Affine, points: np.ndarray) -> np.ndarray:
    """How far apart two transforms put each point (n, 3)."""
    apart = one - two
    return np.linalg.norm(points @ apart[:3, :3].T + apart[:3, 3], axis=1)


def _nifti(path: Path) -> Volume:
    image = nib.load(path)
    return Volume(np.asarray(image.dataobj, dtype=np.float32), image.affine)


def _dicom(folder: Path) -> Volume:
    import highdicom
    import pydicom

    volume = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))])
    order = [2, 1, 0, 3]  # columns, rows, slices
    return Volume(volume.array.transpose(2, 1, 0).astype(np.float32), (LPS_FROM_RAS @ volume.affine)[:, order])


def _lgg(folder: Path) -> dict[str, Volume]:
    """Pre, FLAIR and post; a series for which the FLAIR stands in is left out."""
    paths = sorted(folder.glob("*.webp"), key=lambda path: int(path.stem))
    planes = np.stack([np.asarray(Image.open(path).convert("L")) for path in paths], axis=-1)
    channels = [part.transpose(1, 0, 2) for part in np.split(planes, 3, axis=1)]
    slice_mm = float(np.clip(LGG_HEIGHT_MM / len(paths), *LGG_SLICE_MM))
    affine = np.diag([-LGG_IN_PLANE_MM, -LGG_IN_PLANE_MM, slice_mm, 1.0])
    own = dict(zip(("t1", "flair", "t1c"), channels, strict=True))
    return {
        name: Volume(array.astype(np.float32), affine)
        for name, array in own.items()
        if name == "flair" or np.abs(array.astype(np.int16) - own["flair"]).mean() > LGG_SAME_LEVELS
    }
