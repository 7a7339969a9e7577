"""The whole chain: a study in, a mask in the study's own geometry out, on the phantom and on real scans."""

import json
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from external_tools import dicom_errors, require_tool

from scanweave.cli import main
from scanweave.pipeline.phantom import head_points, make_phantom, motion_error_mm, phantom_dice
from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_index import index_dicom
from scanweave.transforms.io.dicom_volume import read_dicom_volume

SEED = 7


def segment(*arguments: object) -> dict:
    """One run of the command; the content of its result.json, with the folder under `folder`."""
    values = [str(value) for value in arguments]
    assert main(["segment", *values]) == 0
    out = Path(values[values.index("-o") + 1])
    (folder,) = [path for path in out.iterdir() if (path / "result.json").exists()]
    return {**json.loads((folder / "result.json").read_text()), "folder": folder}


def mask_of(folder: Path) -> nib.Nifti1Image:
    return nib.load(folder / "segmentation.nii.gz")


def dice(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a > 0, b > 0
    return float(2 * (a & b).sum() / max(a.sum() + b.sum(), 1))


# --- the phantom: lesion and motion are known -----------------------------------------------------------------------


def test_lesion_and_motion_of_the_phantom_are_found(segmented_phantom: Path) -> None:
    phantom = make_phantom(SEED)
    image = mask_of(segmented_phantom)
    mask = Volume(np.asarray(image.dataobj), image.affine)
    result = json.loads((segmented_phantom / "result.json").read_text())
    lesion = phantom.lesion
    # DICOM axes need not be the phantom's own: compare in patient space.
    indices = np.argwhere(mask.array > 0)
    back = np.linalg.inv(lesion.affine)
    theirs = np.rint(mask.grid.points(indices) @ back[:3, :3].T + back[:3, 3]).astype(int)
    found = np.zeros_like(lesion.array)
    found[tuple(theirs.T)] = 1
    assert phantom_dice(Volume(found, lesion.affine), phantom) > 0.9
    for role, truth in phantom.motion.items():
        registration = result["registration"][role]
        assert motion_error_mm(np.array(registration["matrix_ras"]), truth, head_points(phantom)) < 1.0
        assert registration["displacement_mm"] > 5 and not registration["flagged"]
    # The twin: the same mask, mirrored left to right, is nowhere near.
    mirrored = Volume(found[::-1].copy(), lesion.affine)
    assert phantom_dice(mirrored, phantom) < 0.1


def test_nifti_lies_on_the_flair(segmented_phantom: Path, phantom_study: Path) -> None:
    (flair,) = [s for s in index_dicom(sorted(phantom_study.iterdir())).series if s.facts.ti_ms]
    volume, _ = read_dicom_volume(flair)
    image = mask_of(segmented_phantom)
    assert image.shape == volume.array.shape
    assert np.allclose(image.affine, volume.affine, atol=1e-4)
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1
    assert image.header.get_xyzt_units()[0] == "mm"
    # An independent reader of both files sees the same grid.
    other = sitk.ReadImage(str(segmented_phantom / "segmentation.nii.gz"))
    source = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(phantom_study), flair.name))
    for index in ((0, 0, 0), (10, 200, 20)):
        point = source.TransformIndexToPhysicalPoint(index)
        assert np.allclose(other.TransformIndexToPhysicalPoint(index), point, atol=0.01)


def test_result_json_holds_what_was_promised(segmented_phantom: Path) -> None:
    result = json.loads((segmented_phantom / "result.json").read_text())
    expected = {"roles", "registration", "volume_ml", "components", "weights", "bundle", "versions", "seconds",
                "peak_memory_mb", "warnings"}  # fmt: skip
    assert expected <= set(result)
    assert set(result["roles"]) == {"pre", "flair", "post"}
    for role in result["roles"].values():
        assert role["evidence"] and role["substituted"] is False
    for moved in result["registration"].values():
        assert np.array(moved["matrix_ras"]).shape == (4, 4)
        assert moved["quality"]["before"] and moved["quality"]["after"]
    image = mask_of(segmented_phantom)
    volume = float((np.asarray(image.dataobj) > 0).sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000)
    assert result["volume_ml"] == pytest.approx(volume, abs=1e-3)
    probability = np.asarray(nib.load(segmented_phantom / "probability.nii.gz").dataobj)
    assert probability.min() >= 0 and probability.max() <= 1
    assert ((probability >= 0.5) >= (np.asarray(image.dataobj) > 0)).all()


def test_nothing_names_the_patient(segmented_phantom: Path, phantom_study: Path) -> None:
    header = pydicom.dcmread(next(phantom_study.glob("*.dcm")), stop_before_pixels=True)
    identifiers = [str(header.PatientName), header.PatientID, header.StudyInstanceUID, header.SeriesInstanceUID]
    text = (segmented_phantom / "result.json").read_text() + segmented_phantom.name
    assert not [identifier for identifier in identifiers if identifier and identifier in text]


def seg_as_nifti_space(folder: Path, tmp_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The SEG by dcmqi: voxels (i, j, k) of its own extent, and their affine in RAS."""
    tool = require_tool("segimage2itkimage")
    command = [tool, "--inputDICOM", str(folder / "segmentation.dcm"), "--outputDirectory", str(tmp_path),
               "--prefix", "seg", "--outputType", "nii"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    (file,) = tmp_path.glob("seg*.nii.gz")
    image = sitk.ReadImage(str(file))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), LPS_FROM_RAS @ affine


def same_voxels(mask: nib.Nifti1Image, voxels: np.ndarray, affine: np.ndarray) -> bool:
    """Whether two masks occupy the same places in patient space, each voxel within 0.01 mm of its twin."""
    ours = np.argwhere(np.asarray(mask.dataobj) > 0) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    theirs = np.argwhere(voxels > 0) @ affine[:3, :3].T + affine[:3, 3]
    if len(ours) != len(theirs):
        return False
    from scipy.spatial import cKDTree

    return bool(cKDTree(theirs).query(ours)[0].max() < 0.01)


def test_seg_equals_nifti_for_dcmqi_and_highdicom(segmented_phantom: Path, tmp_path: Path) -> None:
    import highdicom as hd

    mask = mask_of(segmented_phantom)
    voxels, affine = seg_as_nifti_space(segmented_phantom, tmp_path)
    assert same_voxels(mask, voxels, affine)
    volume = hd.seg.segread(segmented_phantom / "segmentation.dcm").get_volume(combine_segments=True)
    assert same_voxels(mask, volume.array, LPS_FROM_RAS @ volume.affine)
    for axis in range(3):
        assert not same_voxels(mask, np.flip(voxels, axis), affine), "a flipped axis must be noticed"


def test_seg_passes_dciodvfy(segmented_phantom: Path) -> None:
    assert dicom_errors(segmented_phantom / "segmentation.dcm") == []


def test_shuffled_files_and_zip_and_dicomdir_give_the_same_result(
    phantom_study: Path, segmented_phantom: Path, tmp_path: Path
) -> None:
    """The order, names and packing of the files say nothing: one SEG, byte for byte."""
    files = sorted(phantom_study.glob("*.dcm"))
    order = np.random.default_rng(3).permutation(len(files))
    mixed = tmp_path / "mixed"
    for place, number in enumerate(order):
        folder = mixed / f"part {place % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(files[number], folder / f"{place:04d}")
    (mixed / "notes.txt").write_text("not DICOM")
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", mixed)
    result = segment(archive, "-o", tmp_path / "out")
    first = (segmented_phantom / "segmentation.dcm").read_bytes()
    assert (result["folder"] / "segmentation.dcm").read_bytes() == first
    assert result["folder"].name == segmented_phantom.name

    from pydicom.fileset import FileSet

    fileset = FileSet()
    for file in files:
        fileset.add(file)
    fileset.write(tmp_path / "disc")
    assert main(["inspect", str(tmp_path / "disc" / "DICOMDIR")]) == 0


def test_missing_t1_is_replaced_and_said(phantom_study: Path, tmp_path: Path) -> None:
    """Without the series after contrast the FLAIR stands in, and result.json says so."""
    study = tmp_path / "study"
    study.mkdir()
    for file in phantom_study.glob("*.dcm"):
        if "+C" not in pydicom.dcmread(file, stop_before_pixels=True).SeriesDescription:
            shutil.copy(file, study)
    result = segment(study, "-o", tmp_path / "out", "--components", "all")
    assert result["roles"]["post"]["substituted"] is True
    assert result["roles"]["post"]["series"] == result["roles"]["flair"]["series"]
    assert "post" not in result["registration"]
    assert any("post" in warning for warning in result["warnings"])


# --- real scans -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tcga(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = data_dir / "tcga-fg-6692"
    out = tmp_path_factory.mktemp("tcga")
    roles = ["--flair", folder / "flair.nii.gz", "--pre", folder / "t1.nii.gz", "--post", folder / "t1c.nii.gz"]
    return segment(*roles, "-o", out)


def test_tcga_moves_as_independent_tools_say(tcga: dict) -> None:
    """17.5 and 18.4 mm between the series' scanner coordinates; headers alone would leave three slices of error."""
    assert tcga["registration"]["pre"]["displacement_mm"] == pytest.approx(17.5, abs=1.5)
    assert tcga["registration"]["post"]["displacement_mm"] == pytest.approx(18.4, abs=2.5)
    assert not any(moved["flagged"] for moved in tcga["registration"].values())


def test_tcga_mask_lies_on_the_right_frontal_lesion(tcga: dict, data_dir: Path) -> None:
    mask = mask_of(tcga["folder"])
    flair = nib.load(data_dir / "tcga-fg-6692" / "flair.nii.gz")
    assert np.array_equal(mask.get_qform(), flair.get_qform()) and np.array_equal(mask.affine, flair.affine)
    assert (mask.header["qform_code"], mask.header["sform_code"]) == (
        flair.header["qform_code"], flair.header["sform_code"])  # fmt: skip
    assert mask.header.get_xyzt_units() == flair.header.get_xyzt_units()
    voxels = np.asarray(mask.dataobj) > 0
    brightness = np.asarray(flair.dataobj, dtype=float)
    centre = np.argwhere(voxels).mean(axis=0) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    head = np.argwhere(brightness > 150).mean(axis=0) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    assert centre[0] > head[0] + 25, "on the patient's right"
    assert centre[1] > head[1] + 15, "in the frontal half"
    assert 10 < tcga["volume_ml"] < 35
    assert np.unique(np.argwhere(voxels)[:, 2]).size in range(4, 9)
    brain = (brightness > 150) & (brightness < 600)
    assert np.median(brightness[voxels]) > 1.2 * np.median(brightness[brain]), "bright on the FLAIR"


def test_siemens_study_roles_seg_and_mask(data_dir: Path, tmp_path: Path) -> None:
    result = segment(data_dir / "study-siemens", "-o", tmp_path / "out")
    mask = mask_of(result["folder"])
    centre = np.argwhere(np.asarray(mask.dataobj) > 0).mean(axis=0) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    assert centre[0] > 25, "in the right temporal lobe"
    assert all(moved["displacement_mm"] < 1.0 for moved in result["registration"].values())
    seg_folder = tmp_path / "seg"
    seg_folder.mkdir()
    voxels, affine = seg_as_nifti_space(result["folder"], seg_folder)
    assert same_voxels(mask, voxels, affine)
    assert dicom_errors(result["folder"] / "segmentation.dcm") == []

    # The same study after its T1 was rewritten by a known rigid motion: found again, and the mask hardly changes.
    moved = tmp_path / "moved"
    truth = rewrite_t1(data_dir / "study-siemens", moved)
    again = segment(moved, "-o", tmp_path / "again")
    assert again["registration"]["pre"]["displacement_mm"] > 8
    grid = np.argwhere(np.ones(mask.shape, dtype=bool)[::20, ::20, ::4]) * (20, 20, 4)
    points = grid @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    before = np.array(result["registration"]["pre"]["matrix_ras"])
    after = np.array(again["registration"]["pre"]["matrix_ras"])
    assert motion_error_mm(after, truth @ before, points) < 1.0
    assert dice(np.asarray(mask.dataobj), np.asarray(mask_of(again["folder"]).dataobj)) > 0.95


def rewrite_t1(source: Path, target: Path) -> np.ndarray:
    """Copy a study with its T1 moved by a rigid transform (RAS), under a new frame of reference; returns it."""
    angle = np.radians(9.0)
    motion = np.eye(4)
    motion[:3, :3] = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    motion[:3, 3] = (7.0, -5.0, 9.0)
    lps = LPS_FROM_RAS @ motion @ LPS_FROM_RAS
    shutil.copytree(source, target)
    for file in target.rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        if dataset.SeriesDescription != "T1pre_reg":
            continue
        position = lps @ np.array([*map(float, dataset.ImagePositionPatient), 1.0])
        cosines = np.array([float(v) for v in dataset.ImageOrientationPatient]).reshape(2, 3) @ lps[:3, :3].T
        dataset.ImagePositionPatient = [f"{value:.8g}" for value in position[:3]]
        dataset.ImageOrientationPatient = [f"{value:.10g}" for value in cosines.ravel()]
        dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.1"
        dataset.save_as(file)
    return motion
