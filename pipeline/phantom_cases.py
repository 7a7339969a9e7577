"""Invented patients with the expert's mask, to try training and evaluation with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib

from scanweave import RESEARCH_NOTICE
from scanweave.errors import Code, Problem, UsageError
from scanweave.pipeline.demo import MARK
from scanweave.pipeline.phantom import make_phantom
from scanweave.pipeline.progress import Progress, Stage, silent
from scanweave.pipeline.progress_course import PHANTOM
from scanweave.pipeline.result_folder import check_place, staged
from scanweave.transforms.io.labelled_cases import LABEL


def write_phantom_cases(
    out: Path, count: int, seed: int, *, overwrite: bool = False, progress: Progress = silent
) -> dict[str, Any]:
    """Write `out`/patient_<n>/ with pre, flair, post and label.nii.gz, n from 1 to `count`; the record of it.

    Patient n is the phantom of `seed` + n: the one of `seed` itself, whom the demo segments, is not among them.

    Raises
    ------
    UsageError
        USAGE for less than one.
    InputRefused, EnvironmentFailure
        OUTPUT_EXISTS where `out` is there and is not to be replaced, or is no phantom's; OUTPUT_UNWRITABLE, DISK_FULL.
    """
    if count < 1:
        raise UsageError(Problem(Code.USAGE, f"--cases: expected at least 1, got {count}"))
    check_place(out, overwrite=overwrite, mark=MARK)
    with staged(out, overwrite=overwrite, mark=MARK) as stage:
        for number in range(1, count + 1):
            progress(Stage(PHANTOM, part=(number - 1) / count, note=f"patient {number}/{count}"))
            _write(stage / f"patient_{number}", seed + number)
        (stage / MARK).write_text(
            f"{count} invented patients, seeds from {seed + 1}, made by scanweave demo. {RESEARCH_NOTICE}.\n"
        )
    return {"cases": str(out), "patients": count}


def _write(folder: Path, seed: int) -> None:
    phantom = make_phantom(seed)
    folder.mkdir()
    for name, volume in {**phantom.series, LABEL: phantom.lesion}.items():
        nib.save(nib.Nifti1Image(volume.array, volume.affine), folder / f"{name}.nii.gz")
