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


def voxel_mb(study: Study) -> float:
    """Of the three series as float32, 10^6 bytes."""
    return sum(math.prod(_shape(path)) for path in study.series.values()) * VOXEL_BYTES / 1e6


def _shape(path: Path) -> tuple[int, ...]:
    """Of a NIfTI file or a folder of DICOM slices."""
    import nibabel as nib
    import pydicom

    if path.is_file():
        return nib.load(path).shape[:3]
    files = sorted(path.iterdir())
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    return (header.Columns, header.Rows, len(files))


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
        ("start, imports, exit", around),
        *table.items(),
        ("whole run", [median(run["measured"]["wall_s"] for run in runs) for runs in found.values()]),
    ]
    heads = ["step, wall s", *found]
    lines = ["### What each step costs", "", TEXT, "", line(heads), line(["---"] + ["---:"] * len(found))]
    lines += [line([TITLES.get(name, name), *(_number(value) for value in values)]) for name, values in rows]
    lines.append(line(["slices in the network", *(str(one.get("slices", "")) for one in limits)]))
    lines += [line([title, *(_number(made(one)) for one in limits)]) for title, made in LIMITS.items()]
    return "\n".join(lines) + "\n"


TEXT = (
    "Of scanweave, from its result.json, with what lies around the steps. Below, in the same units, what the machine "
    "allows: the network's arithmetic (12.07 GMAC a slice) at the speed of a large fp32 matrix "
    "product on all cores; decompressing the input on one core; copying the three series as float32 once "
    "through memory, which each step that touches every voxel needs at least."
)
LIMITS: Mapping[str, Callable[[Mapping[str, float]], float | None]] = {
    "limit: network in fp32": lambda one: (
        network_limit_s(one["slices"], one["matmul_gflops"]) if one.get("slices") else None
    ),
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
