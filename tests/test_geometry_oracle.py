"""Our reading of DICOM against independent readers: ITK through MONAI, SimpleITK, and dcm2niix."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import REPOSITORY
from external_tools import run_tool

from scanweave.transforms.geometry import LPS_FROM_RAS
from scanweave.transforms.io.dicom_index import index_dicom
from scanweave.transforms.io.dicom_volume import read_dicom_volume
from scanweave.transforms.io.nifti import read_nifti
from scanweave.transforms.io.series import Series
from scanweave.transforms.resample import to_sitk

GEOMETRY_TOLERANCE_MM = 0.01


def good_series(folder: Path) -> list[Series]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [series for series in index_dicom(files).series if not series.problems]


def corners(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    indices = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    return (affine[:3, :3] @ indices + affine[:3, 3:]).T


@pytest.mark.parametrize("folder, count", [("dicom-vendors", 6), ("study-siemens", 5)])
def test_agrees_with_itk_and_simpleitk(data_dir: Path, folder: str, count: int) -> None:
    from monai.data import ITKReader

    found = good_series(data_dir / folder)
    assert len(found) == count
    for series in found:
        volume, _ = read_dicom_volume(series)
        files = [str(path) for path in series.files]
        # The readers trust the order of the files they are given, so they get the right one.
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(series.files[0].parent), series.name)
        oracle = sitk.ReadImage(names) if len(files) > 1 else sitk.ReadImage(files[0])
        affine = np.eye(4)
        affine[:3, :3] = np.array(oracle.GetDirection()).reshape(3, 3) @ np.diag(oracle.GetSpacing())
        affine[:3, 3] = oracle.GetOrigin()
        ours = corners(volume.affine, volume.array.shape)
        assert np.abs(ours - corners(LPS_FROM_RAS @ affine, oracle.GetSize())).max() < GEOMETRY_TOLERANCE_MM
        voxels = sitk.GetArrayFromImage(oracle).transpose(2, 1, 0)
        assert np.allclose(voxels, volume.array, atol=1e-3)

        reader = ITKReader(affine_lps_to_ras=True)
        image = reader.read(str(series.files[0].parent) if len(files) > 1 else files[0])
        array, meta = reader.get_data(image)
        theirs = corners(np.asarray(meta["affine"], dtype=float), array.shape)
        assert np.abs(ours - theirs).max() < GEOMETRY_TOLERANCE_MM
        assert np.allclose(array, volume.array, atol=1e-3)


@pytest.mark.parametrize("folder, count", [("dicom-vendors", 6), ("study-siemens", 5)])
def test_agrees_with_dcm2niix(data_dir: Path, tmp_path: Path, folder: str, count: int) -> None:
    """It has code of its own for every vendor, and turns rows round: places are compared, not indices."""
    found = good_series(data_dir / folder)
    assert len(found) == count
    for number, series in enumerate(found):
        volume, _ = read_dicom_volume(series)
        out = tmp_path / str(number)
        out.mkdir()
        options = ("-z", "n", "-b", "n", "-p", "n", "-f", "it")
        ran = run_tool("dcm2niix", *options, "-o", out, series.files[0].parent)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        (theirs,) = read_nifti(next(out.glob("*.nii")))[0]
        to_theirs = np.linalg.inv(theirs.affine) @ volume.affine
        there = corners(to_theirs, volume.array.shape)
        assert np.abs((there - np.rint(there)) * theirs.grid.spacing).max() < GEOMETRY_TOLERANCE_MM
        apart = np.linalg.norm(
            corners(volume.affine, volume.array.shape)[:, None] - corners(theirs.affine, theirs.array.shape), axis=-1
        )
        assert apart.min(axis=0).max() < GEOMETRY_TOLERANCE_MM and apart.min(axis=1).max() < GEOMETRY_TOLERANCE_MM
        indices = np.array([(i, j, k) for i in (3, 40, 77) for j in (5, 33, 90) for k in (0, 1, 3)])
        indices = np.minimum(indices, np.array(volume.array.shape) - 1)
        at = np.rint((to_theirs @ np.c_[indices, np.ones(len(indices))].T)[:3]).astype(int)
        assert np.allclose(volume.array[tuple(indices.T)], theirs.array[tuple(at)], rtol=1e-4, atol=0.5)


def test_a_flipped_axis_would_be_noticed(data_dir: Path) -> None:
    """The twin: the comparison above fails when one axis is turned round."""
    series = good_series(data_dir / "study-siemens")[0]
    volume, _ = read_dicom_volume(series)
    flipped = volume.affine.copy()
    flipped[:3, 1] *= -1
    shape = volume.array.shape
    assert np.abs(corners(volume.affine, shape) - corners(flipped, shape)).max() > 100


def test_to_sitk_keeps_every_point(data_dir: Path) -> None:
    volume, _ = read_dicom_volume(good_series(data_dir / "study-siemens")[0])
    image = to_sitk(volume)
    index = (12, 34, 5)
    x, y, z = image.TransformIndexToPhysicalPoint(index)
    assert np.allclose(volume.grid.points([index])[0], (-x, -y, z), atol=1e-4)
    assert image[index] == volume.array[index]


def test_itk_example_runs(phantom_study: Path) -> None:
    example = REPOSITORY / "docs" / "examples" / "itk_image.py"
    done = subprocess.run([sys.executable, str(example), str(phantom_study)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "5.5" in done.stdout
