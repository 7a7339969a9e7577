"""The mask as the kind of file that a client wants."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np

from lib.refusal import Refusal

DEFAULT = ".nii.gz"
OUTPUT_OF = {".nrrd": "nifti", ".nii": "nifti", ".nii.gz": "nifti", ".seg.nrrd": "seg-nrrd", ".dcm": "dicom-seg"}
"""What the command has to write (`--outputs`) for each kind of file."""
MADE_AS = {"nifti": "segmentation.nii.gz", "seg-nrrd": "segmentation.seg.nrrd", "dicom-seg": "segmentation.dcm"}
TYPES = ("uint8", "uint16", "int16", "int32", "float32")
MEDIA_TYPES = {".dcm": "application/dicom"}
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def output_of(extension: str) -> str:
    """The command's output for `extension`.

    Raises
    ------
    Refusal
        400: a kind of file that is not made.
    """
    if extension not in OUTPUT_OF:
        raise Refusal(400, "USAGE", f"result_extension: one of {', '.join(OUTPUT_OF)}, not {extension!r}")
    return OUTPUT_OF[extension]


def write_answer(result: Path, extension: str, target: Path, dtype: str, compress: bool) -> None:
    """Write the mask of the folder `result` to `target`; `dtype` and `compress` are those of a .nrrd file.

    Voxels of .nrrd and .nii lie as in the series: columns, rows, then slices along the cross product of both, which is
    the order of SimpleITK's and OHIF's volumes.

    Raises
    ------
    Refusal
        400: an unknown dtype; 422: nothing was found, of which there is no DICOM-SEG.
    """
    made = result / MADE_AS[output_of(extension)]
    if extension == ".dcm" and not made.exists():
        raise Refusal(422, "EMPTY_RESULT", "nothing was found, and there is no DICOM-SEG of nothing; ask for .nii.gz")
    if made.name.endswith(extension) and extension != ".nrrd":
        shutil.move(made, target)
        return
    mask = nib.Nifti1Image.from_filename(made)
    if extension == ".nii":
        nib.save(mask, target)
        return
    if dtype not in TYPES:
        raise Refusal(400, "USAGE", f"result_dtype: one of {', '.join(TYPES)}, not {dtype!r}")
    affine = LPS_FROM_RAS @ mask.affine
    header = {
        "space": "left-posterior-superior",
        "kinds": ["domain"] * 3,
        "space directions": affine[:3, :3].T,
        "space origin": affine[:3, 3],
        "encoding": "gzip" if compress else "raw",
    }
    nrrd.write(str(target), np.asarray(mask.dataobj).astype(dtype), header, index_order="F")
