"""What each step of scanweave costs, beside the least that the machine could do it in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from bench_studies import Study
from table import line

GMAC_A_SLICE = 12.07
"""Multiplications with addition of the shipped network for a slice of 256 x 256 (docs/performance.md)."""
VOXEL_BYTES = 4
"""Volumes are float32 in the chain."""
SMALL_S = 0.01
"""Below it two decimals would say nothing."""
TITLES = {"Infer": "Infer (network)"}


def size_of(study: Study) -> dict[str, float]:
    """`slices` that the network would see of the whole FLAIR, and `voxel_mb` of the three series as float32."""
    grids = {role: _grid(path) for role, path in study.series.items()}
    voxels = sum(math.prod(shape) for shape, _ in grids.values())
    return {"slices": _axial_slices(*grids["flair"]), "voxel_mb": voxels * VOXEL_BYTES / 1e6}


def _grid(path: Path) -> tuple[tuple[int, ...], Any]:
    """Shape and affine; of a DICOM folder, (columns, rows, files) and None: both real studies are axial."""
    import nibabel as nib
    import pydicom

    if path.is_file():
        image = nib.load(path)
        return image.shape[:3], image.affine
    files = sorted(path.iterdir())
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    return (header.Columns, header.Rows, len(files)), None


def _axial_slices(shape: tuple[int, ...], affine: Any) -> int:
    """As the shipped bundle's AxialPlanesd turns them."""
    import nibabel as nib
    import numpy as np

    from scanweave.transforms.axial_planes import AxialPlanesd, axial_grid, slice_angle
    from scanweave.transforms.geometry import Grid

    if affine is None:
        return shape[2]
    grid, planes = Grid(shape, np.asarray(affine, dtype=np.float64)), AxialPlanesd("flair")
    angle = slice_angle(grid)
    if angle is not None and angle <= planes.max_angle:
        return shape[nib.orientations.io_orientation(affine)[:, 0].tolist().index(2)]
    return int(axial_grid(grid, planes.slice_spacing, planes.plane_spacing).shape[2])


def network_limit_s(slices: int, gflops: float) -> float:
    """Seconds for the network's arithmetic alone at the speed of a large fp32 matrix product."""
    return slices * 2 * GMAC_A_SLICE / gflops


def steps_table(studies: Mapping[str, Mapping[str, Any]], contender: str) -> str:
    """Medians of wall-clock seconds, a column a study, in markdown; empty where no run had any."""
    found = {name: own for name, entry in studies.items() if (own := _runs(entry, contender))}
    if not found:
        return ""
    names = list(dict.fromkeys(step for runs in found.values() for run in runs for step in run["steps"]))
    table = {step: [_median(runs, step) for runs in found.values()] for step in names}
    around = [median(run["measured"]["wall_s"] - sum(run["steps"].values()) for run in runs) for runs in found.values()]
    limits = [studies[name].get("limits", {}) for name in found]
    rows = [
        ("start, imports, network, exit", around),
        *table.items(),
        ("whole run", [median(run["measured"]["wall_s"] for run in runs) for runs in found.values()]),
    ]
    heads = ["step, wall s", *found]
    lines = ["### What each step costs", "", TEXT, "", line(heads), line(["---"] + ["---:"] * len(found))]
    lines += [line([TITLES.get(name, name), *(_number(value) for value in values)]) for name, values in rows]
    lines += [line([title, *(_number(made(one)) for one in limits)]) for title, made in LIMITS.items()]
    return "\n".join(lines) + "\n"


TEXT = (
    "Of scanweave, from its result.json, with what lies around the steps. Below, in the same units, what the machine "
    "allows: the network's arithmetic for every axial slice (12.07 GMAC each) at the speed of a large fp32 matrix "
    "product on all cores; decompressing the input on one core; copying the three series as float32 once "
    "through memory, which each step that touches every voxel needs at least."
)
LIMITS: Mapping[str, Callable[[Mapping[str, float]], float | None]] = {
    "limit: network in fp32": lambda one: network_limit_s(one["slices"], one["matmul_gflops"]) if one else None,
    "limit: reading the files": lambda one: one.get("decode_s"),
    "limit: one pass over the voxels": lambda one: one["voxel_mb"] * 2 / 1e3 / one["copy_gb_s"] if one else None,
}


def _runs(entry: Mapping[str, Any], contender: str) -> list[Mapping[str, Any]]:
    return [run for run in entry.get("runs", ()) if run["contender"] == contender and run.get("steps")]


def _median(runs: list[Mapping[str, Any]], step: str) -> float | None:
    values = [run["steps"][step] for run in runs if step in run["steps"]]
    return median(values) if values else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.{2 if value >= SMALL_S else 4}f}"
