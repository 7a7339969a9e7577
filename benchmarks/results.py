"""What a contender left behind, looked at: a number counts only where there is a result, and it is like the others'."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_studies import Study
from contenders import Contender, Task

GRID_TOLERANCE_MM = 0.01
"""NIfTI holds a grid in single precision, and some libraries rebuild it from quaternions."""
PROBES_MM = 70.0
"""From the FLAIR's centre to the points at which two transforms are compared: about a head's surface."""


def figures_of(contender: Contender, study: Study, out: Path, ours: Path | None) -> dict[str, float]:
    """Of the result in `out`; `ours` is the folder with scanweave's of the same round, None where there is none.

    Raises ValueError, KeyError or OSError where there is no such result.
    """
    found = _the_one(out, contender.result)
    reference = next(iter(sorted(ours.glob(contender.result))), None) if ours is not None else None
    if contender.task is Task.STUDY:
        return _of_mask(found, study.series["flair"], reference)
    done = json.loads(found.read_text())
    figures = {"pairs_cpu_s": float(done["pairs_cpu_s"])}
    if study.motion is not None:
        figures["error_mm"] = distance_mm(done, json.loads(study.motion.read_text()))
    if reference is not None:
        figures["from_scanweave_mm"] = distance_mm(done, json.loads(reference.read_text()))
    return figures


def steps_of(out: Path) -> dict[str, float]:
    """Seconds of each step as scanweave's result.json has them; empty for the others."""
    found = sorted(out.glob("**/result.json"))
    return dict(json.loads(found[0].read_text()).get("seconds", {})) if found else {}


def _the_one(out: Path, pattern: str) -> Path:
    found = sorted(out.glob(pattern))
    if len(found) != 1:
        raise ValueError(f"expected one {pattern}, found {len(found)}")
    return found[0]


def _of_mask(path: Path, flair: Path, reference: Path | None) -> dict[str, float]:
    """Volume, and Dice with `reference`; ValueError off the FLAIR's grid (of DICOM: with another number of slices)."""
    import nibabel as nib
    import numpy as np

    try:
        image = _canonical(path)
        if flair.is_dir():
            slices = len(list(flair.iterdir()))
            placed, expected = slices in image.shape, f"{slices} slices"
        else:
            grid = nib.as_closest_canonical(nib.load(flair))
            placed, expected = _on_one_grid(image, grid), str(grid.shape)
    except nib.filebasedimages.ImageFileError as error:
        raise ValueError(str(error)) from None
    if not placed:
        raise ValueError(f"expected a mask on the FLAIR's grid {expected}, found {image.shape} or other axes")
    mask = np.asarray(image.dataobj) > 0
    figures = {"volume_ml": float(np.count_nonzero(mask)) * abs(float(np.linalg.det(image.affine[:3, :3]))) / 1000}
    if reference is not None:
        figures["dice"] = _dice(image, mask, _canonical(reference))
    return figures


def _canonical(path: Path) -> Any:
    """Nearest to RAS: readers of DICOM order voxels each in their own way."""
    import nibabel as nib

    return nib.as_closest_canonical(nib.load(path))


def _on_one_grid(one: Any, other: Any) -> bool:
    import numpy as np

    return one.shape == other.shape and np.allclose(one.affine, other.affine, atol=GRID_TOLERANCE_MM)


def _dice(image: Any, mask: Any, ours: Any) -> float:
    """1 where both are empty."""
    import numpy as np

    if not _on_one_grid(image, ours):
        raise ValueError(f"expected a mask on the grid of scanweave's {ours.shape}, found {image.shape} or other axes")
    other = np.asarray(ours.dataobj) > 0
    total = np.count_nonzero(mask) + np.count_nonzero(other)
    return 2.0 * float(np.count_nonzero(mask & other)) / float(total) if total else 1.0


def distance_mm(one: Mapping[str, object], other: Mapping[str, object]) -> float:
    """Mean distance between where two results (4x4 RAS mm under `pre` and `post`) take six points about the head."""
    import numpy as np

    steps = np.vstack([np.eye(3), -np.eye(3)]) * PROBES_MM
    points = np.hstack([steps + np.asarray(one["centre_ras"], dtype=float), np.ones((6, 1))])
    apart = [
        np.linalg.norm((points @ (np.asarray(one[role], float) - np.asarray(other[role], float)).T)[:, :3], axis=1)
        for role in ("pre", "post")
    ]
    return float(np.mean(apart))
