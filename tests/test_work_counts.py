"""How much work a study takes, counted: a step that is done twice shows here, whatever the clock says."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from studies import SLICES, write_nifti_study

pytest_plugins = ["study_fixtures"]

PROGRAM = Path(__file__).with_name("counted_run.py")
MOVED = 2
"""Series that are registered: each is resampled once, and what the report shows of it is that."""
HEADER_BYTES = 60_000
"""Unpacked of a file before its voxels are asked for, twice: to find the series, and to read it."""
OPENED_NIFTI = 7
"""The header twice, to find the series and to read it, thrice each (extensions, kind, fields); then the voxels."""
OPENED_DICOM = 2
"""The header, to find the series, and the pixels."""


def counted(study: Path, out: Path) -> dict[str, Any]:
    ran = subprocess.run([sys.executable, PROGRAM, study, out], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("form", ["nifti", "dicom"])
def test_nothing_is_done_twice(small_study: Path, tmp_path: Path, form: str) -> None:
    study = small_study
    if form == "nifti":
        study = tmp_path / "study"
        for file in write_nifti_study(small_study, study).values():
            image = nib.load(file)  # eight bytes a voxel: the file is large beside its header
            nib.save(nib.Nifti1Image(image.get_fdata(), image.affine, dtype=np.float64), file)
    found = counted(study, tmp_path / "out")
    counts, opened = found["counts"], found["opened"]
    assert found["loaded"] == [], "libraries that nothing of this run needs"
    assert counts["network_slices"] == found["shape"][2] == SLICES
    assert counts["resampled_volumes"] == MOVED
    files = sorted(path for path in study.iterdir())
    assert set(opened) == {path.name for path in files}
    assert max(opened.values()) <= (OPENED_NIFTI if form == "nifti" else OPENED_DICOM)
    if form == "nifti":
        voxels = sum(np.prod(nib.load(file).shape) * np.dtype(np.float64).itemsize for file in files)
        assert voxels < counts["unpacked_bytes"] < voxels + len(files) * HEADER_BYTES
