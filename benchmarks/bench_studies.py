"""What is measured on: two real scans, and one invented head in ever more slices."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from environments import CHECKOUT, digest

SEED = 7
HEIGHT_MM = 132.0
"""What the slices cover together, as in the phantom of `scanweave demo`."""
SLICES = (10, 25, 50, 100, 200, 400)
SOURCES = ("phantom.py", "phantom_head.py", "phantom_scan.py")
NAMES = {"pre": "t1.nii.gz", "flair": "flair.nii.gz", "post": "t1c.nii.gz"}
MOTION = "motion.json"
"""The phantom's true transforms, in the form of a registrator's result."""
SIEMENS = {"pre": "26401-T1prereg-52906", "flair": "36468-FLAIRreg-58706", "post": "11-T1post-18670"}


@dataclass(frozen=True)
class Size:
    """Voxels along i, j, k; their size in mm; the plane."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    view: str = "axial"


@dataclass(frozen=True)
class Study:
    """A study on disk; `series` holds, by role, a NIfTI file or a folder of DICOM files; `motion` a phantom's truth."""

    name: str
    what: str
    folder: Path
    series: Mapping[str, Path]
    motion: Path | None = None


REAL: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "tcga-fg-6692": ("real, NIfTI, FLAIR 208 x 256 x 26, 0.90 x 0.90 x 5.5 mm", NAMES),
    "study-siemens": ("real, DICOM, FLAIR 280 x 320 x 22, 0.69 x 0.69 x 6.5 mm", SIEMENS),
}
PHANTOMS: Mapping[str, Size] = {
    **{f"phantom-{n}": Size((208, 256, n), (0.9, 0.9, HEIGHT_MM / n)) for n in SLICES},
    "phantom-0.5mm": Size((512, 448, 384), (0.5, 0.5, 0.5), "sagittal"),
}
STUDY_NAMES = (*REAL, *PHANTOMS)
WARM_UP = "phantom-10"
"""The smallest: what a first run compiles and reads from disk is not to be in any number."""


def find_study(name: str, data: Path, cache: Path) -> Study:
    """The study of that name: below `data`, or made below `cache` where it is not there yet.

    Raises FileNotFoundError for a real scan that is not below `data`.
    """
    if name in REAL:
        what, names = REAL[name]
        series = {role: data / name / file for role, file in names.items()}
        missing = [path for path in series.values() if not path.exists()]
        if missing:
            raise FileNotFoundError(f"{name} is not in SCANWEAVE_DATA")
        return Study(name, what, data / name, series)
    size = PHANTOMS[name]
    folder = _phantom(size, cache / name)
    shape, spacing = (" x ".join(f"{n:.3g}" for n in numbers) for numbers in (size.shape, size.spacing))
    series = {role: folder / file for role, file in NAMES.items()}
    return Study(name, f"phantom, NIfTI, {size.view}, {shape}, {spacing} mm", folder, series, _beside(folder, MOTION))


def _phantom(size: Size, folder: Path) -> Path:
    """Make the phantom of `size` unless `folder` holds it."""
    import nibabel as nib
    import numpy as np

    from scanweave.pipeline.phantom import PLANS, make_phantom
    from scanweave.pipeline.phantom_head import make_head
    from scanweave.pipeline.phantom_scan import CONTRASTS, Plan, expose, scan

    made_by = digest([Path(__file__).read_bytes(), *((CHECKOUT / "pipeline" / name).read_bytes() for name in SOURCES)])
    stamp = _beside(folder, "stamp")
    if stamp.is_file() and stamp.read_text() == made_by:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(SEED)
    head = make_head(rng)
    poses = {"flair": np.eye(4), **make_phantom(SEED).motion}
    for role, old in PLANS.items():
        plan = Plan(old.contrast, size.shape, size.spacing, old.turn_deg, old.centre, size.view)
        contrast = CONTRASTS[plan.contrast]
        volume = scan(expose(head, contrast), contrast.noise, plan.grid, poses[role], rng)
        nib.save(nib.Nifti1Image(volume.array, volume.affine), folder / NAMES[role])
    centre = PLANS["flair"].centre
    truth = {"centre_ras": list(centre), **{role: poses[role].tolist() for role in ("pre", "post")}}
    _beside(folder, MOTION).write_text(json.dumps(truth))
    stamp.write_text(made_by)
    return folder


def _beside(folder: Path, name: str) -> Path:
    """Not inside: the folder is a program's input and holds nothing but the series."""
    return folder.with_name(f"{folder.name}.{name}")
