"""One spoiled study through the whole command: a whole result, or a refusal that leaves nothing."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Before processes are forked, each of which would import them for itself.
import highdicom  # noqa: F401
import nibabel as nib
import numpy as np
import pydicom
import SimpleITK  # noqa: F401
import torch
from dicom_forms import enhanced, stored_as
from mutations import spoil_dicom, spoil_nifti, spoil_zip, zipped
from seeds import Files, Seed
from studies import ROLES, WHOLE, run, tree, write_nifti_study
from study_fixtures import make_small_bundle, make_small_study
from trials import Judge

import scanweave.pipeline.study  # noqa: F401
from scanweave.pipeline.phantom_dicom import write_phantom_study

DONE = "segmented"
WHOLE_NIFTI = {"segmentation.nii.gz", "report.html", "result.json"}
REFUSED = (3, 5)
"""Exit codes of a refused input and of a lack of the machine."""
JPEG_2000 = "1.2.840.10008.1.2.4.90"


def run_seeds(folder: Path, study: Path | None = None, bundle: Path | None = None) -> tuple[list[Seed], Path]:
    """The small `study` in every form, and the `bundle` with the quick network; made in `folder` where not given."""
    study = study or make_small_study(write_phantom_study(folder / "phantom", seed=7), folder / "study")
    plain = _files(study)
    datasets = {name: pydicom.dcmread(study / name) for name in plain}
    for name, dataset in datasets.items():
        stored_as(dataset, JPEG_2000).save_as(_made(folder / "compressed") / name)
    for role in ROLES:
        made = enhanced([item for name, item in datasets.items() if name.startswith(role)])
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{made.SeriesInstanceUID}.1"
        made.save_as(_made(folder / "enhanced") / f"{role}.dcm", enforce_file_format=True)
    by_role = write_nifti_study(study, folder / "nifti")
    names = {"pre": "t1.nii.gz", "flair": "flair.nii.gz", "post": "t1c.nii.gz"}
    seeds = [
        Seed("study", plain, spoil=spoil_dicom),
        Seed("compressed", _files(folder / "compressed"), spoil=spoil_dicom),
        Seed("enhanced", _files(folder / "enhanced"), spoil=spoil_dicom),
        Seed("zip", {"study.zip": zipped(list(plain.items()))}, "study.zip", spoil_zip),
        Seed("nifti", {names[role]: path.read_bytes() for role, path in by_role.items()}, spoil=spoil_nifti),
    ]
    return seeds, bundle or make_small_bundle(folder / "bundle")


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _files(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@contextmanager
def running(bundle: Path) -> Iterator[Judge]:
    """Judges by segmenting with that bundle."""
    torch.set_num_threads(1)
    yield lambda seed, folder: whole_run(seed, folder, bundle)


def whole_run(seed: Seed, folder: Path, bundle: Path) -> str:
    """`DONE`, or the code of the first refusal.

    Raises
    ------
    AssertionError
        A defect: a traceback, an exit code that is none, a result that is not whole, or something left behind.
    """
    before = tree(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        out = Path(made, "out")
        arguments = ["segment", folder / seed.target, "-o", out, "--bundle", bundle, "--json"]
        ran = run(*arguments)
        if ran.exit_code not in (0, *REFUSED):
            raise AssertionError(f"exit {ran.exit_code}: {run(*arguments, '--debug').lines}")
        if ran.exit_code == 0:
            _check_whole(ran.out, ran.lines, out, WHOLE_NIFTI if seed.name == "nifti" else WHOLE)
        else:
            _check(not ran.out and ran.codes and "INTERNAL" not in ran.codes, f"no refusal: {ran}")
            _check(not out.exists(), f"left in the output folder: {[*tree(out)]}")
    _check(tree(folder) == before, "the input was changed")
    _check(not any(Path(tempfile.gettempdir()).iterdir()), "left in the folder for temporary files")
    return DONE if ran.exit_code == 0 else ran.codes[0]


def _check_whole(printed: str, lines: tuple[str, ...], out: Path, files: set[str]) -> None:
    result = json.loads(printed)
    (folder,) = out.iterdir()
    _check(
        not lines and json.loads((folder / "result.json").read_text()) == result, "what was printed is not the result"
    )
    found = {path.name for path in folder.iterdir()}
    seg = set() if result["volume_ml"] else {"segmentation.dcm"}  # an empty result has none
    _check(files - seg <= found <= files, f"files: {found}")
    mask = nib.load(folder / "segmentation.nii.gz")
    _check(mask.ndim == 3 and set(np.unique(np.asarray(mask.dataobj))) <= {0, 1}, "no mask")
    _check(bool(np.isfinite(mask.affine).all()), "no affine")


def _check(holds: object, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)
