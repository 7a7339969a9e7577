"""What the tests of the MONAI Label app send, and what must hold of what comes back."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
import torch
from monailabel_server import Server
from studies import SECRETS, write_nifti_study


def make_partial_bundle(folder: Path) -> Path:
    """The quick bundle, marking a part of the volume alone, so that a turned or shifted mask is another one."""
    from study_fixtures import make_small_bundle  # a plugin, which pytest wants to import first

    make_small_bundle(folder)
    metadata = json.loads((folder / "configs/metadata.json").read_text())
    weights = folder / metadata["weights"]["file"]
    state = torch.load(weights, weights_only=True)
    state["conv.bias"][:] = -0.0005
    torch.save(state, weights)
    metadata["weights"]["sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    (folder / "configs/metadata.json").write_text(json.dumps(metadata))
    return folder


def write_studies(small_study: Path, root: Path) -> Path:
    """Below `root`: `dicom`, `broken`, `parts` (three NIfTI), `stack.nii.gz` (4-D), and zips of the folders."""
    shutil.copytree(small_study, root / "dicom")
    shutil.copytree(small_study, root / "broken")
    sorted((root / "broken").glob("flair_*.dcm"))[4].unlink()
    files = write_nifti_study(small_study, root / "parts")
    volumes = [nib.load(files[role]) for role in ("pre", "flair", "post")]
    stacked = np.stack([np.asarray(volume.dataobj) for volume in volumes], axis=-1)
    nib.save(nib.Nifti1Image(stacked, volumes[1].affine, volumes[1].header), root / "stack.nii.gz")
    for name in ("parts", "dicom", "broken"):
        with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
            for file in sorted((root / name).iterdir()):
                archive.write(file, file.name)
    return root


def assert_clean(server: Server) -> None:
    """No temporary file stays, and the log names no patient and no UID."""
    assert not list((server.run / "tmp").glob("*-*")), "something was left in the temporary folder"
    said = server.log.read_text() + "".join(path.read_text() for path in server.run.glob("app/logs/*"))
    assert "Traceback" not in said
    assert not any(secret in said for secret in SECRETS)
    assert not re.search(r"2\.25\.\d+", said), said


def voxels(path: Path) -> np.ndarray:
    """Of a NIfTI mask, which is neither empty nor full."""
    mask = np.asarray(nib.load(path).dataobj)
    assert 0.01 < mask.mean() < 0.95
    return mask


def assert_lies_as(path: Path, mask: Path) -> None:
    """The file (NRRD or NIfTI) has the voxels and the grid of the NIfTI `mask`, seen by SimpleITK."""
    one, other = sitk.ReadImage(str(path)), sitk.ReadImage(str(mask))
    voxels(mask)
    assert np.array_equal(sitk.GetArrayFromImage(one), sitk.GetArrayFromImage(other))
    for seen, expected in ((one.GetOrigin(), other.GetOrigin()), (one.GetDirection(), other.GetDirection())):
        np.testing.assert_allclose(seen, expected, atol=1e-4)
    np.testing.assert_allclose(one.GetSpacing(), other.GetSpacing(), atol=1e-4)


def assert_same_seg(path: Path, expected: Path) -> None:
    """The same object as the command's, of the FLAIR."""
    seg, other = pydicom.dcmread(path), pydicom.dcmread(expected / "segmentation.dcm")
    assert seg.Modality == "SEG" and seg.pixel_array.any()
    assert seg.SOPInstanceUID == other.SOPInstanceUID and seg.PixelData == other.PixelData
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == other.ReferencedSeriesSequence[0].SeriesInstanceUID
