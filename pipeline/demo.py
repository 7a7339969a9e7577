"""`scanweave demo`: a phantom study through the whole chain, held against what is true of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scanweave import RESEARCH_NOTICE
from scanweave.pipeline.outputs import OUTPUTS
from scanweave.pipeline.phantom import head_points, make_phantom, motion_error_mm, phantom_dice
from scanweave.pipeline.phantom_dicom import write_phantom_study
from scanweave.pipeline.result_folder import staged
from scanweave.pipeline.study import SegmentSettings, segment
from scanweave.transforms.io.find_study import StudyRequest
from scanweave.transforms.io.nifti import read_nifti

STUDY_FOLDER = "phantom"


def run_demo(out: Path, seed: int, *, overwrite: bool = False) -> dict[str, Any]:
    """Write the study to `out`/phantom, segment it to `out`/<study>, and return places and figures.

    Raises
    ------
    InputRefused, EnvironmentFailure
        As `segment`; OUTPUT_EXISTS where a phantom is there already and is not to be replaced.
    """
    phantom = make_phantom(seed)
    study = out / STUDY_FOLDER
    with staged(study, overwrite=overwrite) as stage:
        write_phantom_study(stage, seed, phantom)
    done = segment(StudyRequest(study), out, SegmentSettings(overwrite=overwrite))
    (mask,), _ = read_nifti(done.folder / OUTPUTS["nifti"].file)
    points = head_points(phantom)
    registration = done.result["registration"]
    errors = {
        role: motion_error_mm(np.array(registration[role]["matrix_ras"]), truth, points)
        for role, truth in phantom.motion.items()
    }
    return {
        "study": str(study),
        "results": str(done.folder),
        "dice": round(phantom_dice(mask, phantom), 4),
        "registration_error_mm": {role: round(error, 3) for role, error in errors.items()},
        "displacement_mm": {role: registration[role]["displacement_mm"] for role in errors},
        "volume_ml": done.result["volume_ml"],
        "true_volume_ml": round(float((phantom.lesion.array > 0).sum()) * phantom.lesion.grid.voxel_ml, 4),
        "seconds": round(sum(done.result["seconds"].values()), 1),
        "warnings": done.result["warnings"],
        "files": sorted(path.name for path in done.folder.iterdir()),
    }


def demo_text(figures: dict[str, Any]) -> str:
    """The figures in plain lines."""
    lines = [f"warning: {warning}" for warning in figures["warnings"]]
    lines.append(f"phantom study: {figures['study']} (an invented patient)")
    lines.append(f"Dice with the true lesion: {figures['dice']:.3f}")
    lines.append(f"volume: {figures['volume_ml']:.1f} ml (true: {figures['true_volume_ml']:.1f} ml)")
    for role, error in figures["registration_error_mm"].items():
        moved = figures["displacement_mm"][role]
        lines.append(f"registration of {role}: {error:.2f} mm from the true motion of {moved:.1f} mm")
    lines.append(f"seconds: {figures['seconds']:.1f}")
    lines.append(f"results: {figures['results']} ({', '.join(figures['files'])})")
    lines.append(f"{RESEARCH_NOTICE}.")
    return "\n".join(lines)
