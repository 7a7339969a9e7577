"""`scanweave demo`: a phantom study through the whole chain, held against what is true of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scanweave import RESEARCH_NOTICE
from scanweave.pipeline.outputs import OUTPUTS
from scanweave.pipeline.phantom import head_points, make_phantom, motion_error_mm, phantom_dice
from scanweave.pipeline.phantom_dicom import write_phantom_study
from scanweave.pipeline.progress import Progress, Stage, silent
from scanweave.pipeline.progress_course import PHANTOM
from scanweave.pipeline.result_folder import check_place, staged
from scanweave.pipeline.study import SegmentSettings, segment
from scanweave.transforms.io.nifti import read_nifti

STUDY_FOLDER = "phantom"
MARK = "PHANTOM.txt"
"""What tells the study of an earlier demo, which may be replaced, from somebody's data."""


def run_demo(out: Path, seed: int, *, overwrite: bool = False, progress: Progress = silent) -> dict[str, Any]:
    """Write the study to `out`/phantom, segment it to `out`/<study>, and return places and figures.

    Raises
    ------
    InputRefused, EnvironmentFailure
        As `segment`; OUTPUT_EXISTS where `out`/phantom is there and is not to be replaced, or is no phantom.
    """
    progress(Stage(PHANTOM))
    study = out / STUDY_FOLDER
    check_place(study, overwrite=overwrite, mark=MARK)
    phantom = make_phantom(seed)
    settings = SegmentSettings(overwrite=overwrite)
    # The study takes its place when its results are there: what fails leaves the earlier demo, or nothing.
    with staged(study, overwrite=overwrite, mark=MARK) as stage:
        write_phantom_study(stage, seed, phantom)
        (stage / MARK).write_text(f"An invented patient, seed {seed}, made by scanweave demo. {RESEARCH_NOTICE}.\n")
        done = segment(stage, out, settings=settings, progress=progress)
    results = Path(done.folder or out)
    (mask,), _ = read_nifti(results / OUTPUTS["nifti"].file)
    points = head_points(phantom)
    registration = done.record["registration"]
    errors = {
        role: motion_error_mm(np.array(registration[role]["matrix_ras"]), truth, points)
        for role, truth in phantom.motion.items()
    }
    return {
        "study": str(study),
        "results": str(results),
        "dice": round(phantom_dice(mask, phantom), 4),
        "registration_error_mm": {role: round(error, 3) for role, error in errors.items()},
        "displacement_mm": {role: registration[role]["displacement_mm"] for role in errors},
        "volume_ml": done.record["volume_ml"],
        "true_volume_ml": round(float((phantom.lesion.array > 0).sum()) * phantom.lesion.grid.voxel_ml, 4),
        "seconds": round(sum(done.record["seconds"].values()), 1),
        "warnings": done.record["warnings"],
        "files": sorted(path.name for path in results.iterdir()),
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
