"""The phantom: the same bytes from a seed, read back where it was put, its motion and lesion true."""

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scipy import ndimage

from scanweave.pipeline.phantom import (
    HEAD_CENTRE,
    MOTION_DEG,
    MOTION_MM,
    head_points,
    make_phantom,
    motion_error_mm,
    phantom_dice,
)
from scanweave.pipeline.phantom_dicom import write_phantom_study
from scanweave.transforms.geometry import LPS_FROM_RAS, Volume

SEED = 7
POSITION_TOLERANCE_MM = 1e-4
"""ITK takes the spacing from the slices' positions, which DICOM holds in 16 characters."""
DESCRIPTIONS = {
    "Ax T1": "pre",
    "Ax FLAIR": "flair",
    "Ax T1 +C": "post",
    "Ax ADC": "adc",
    "T1 Crop Volume": "crop",
}
COUNTS = {"Ax T1": 24, "Ax FLAIR": 24, "Ax T1 +C": 24, "Ax ADC": 20, "T1 Crop Volume": 40}
LOCALISER = "3-Plane Localizer"
SKIN_SIGNAL = {"flair": 60, "pre": 90, "post": 90}


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(SEED)


@pytest.fixture(scope="module")
def files(phantom_study: Path):
    """Paths of the study's series by description, ordered by InstanceNumber."""
    found = {}
    for path in phantom_study.glob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        found.setdefault(header.SeriesDescription, []).append((header.InstanceNumber, path))
    return {description: [path for _, path in sorted(paths)] for description, paths in found.items()}


def written(phantom, description):
    name = DESCRIPTIONS[description]
    return (phantom.series | phantom.others)[name]


def on_flair(moving: Volume, flair: Volume, matrix) -> tuple[np.ndarray, np.ndarray]:
    """Moving voxels on the FLAIR's grid, and where they were imaged."""
    lookup = np.linalg.inv(moving.affine) @ matrix @ flair.affine
    place = {"matrix": lookup[:3, :3], "offset": lookup[:3, 3], "output_shape": flair.array.shape, "order": 1}
    inside = ndimage.affine_transform(np.ones(moving.array.shape, np.float32), **place) > 0.99
    return ndimage.affine_transform(moving.array.astype(np.float32), **place), inside


def outline(array, signal) -> np.ndarray:
    """The head, slice by slice, its dark parts filled."""
    smooth = ndimage.uniform_filter(array.astype(np.float32), (5, 5, 1))
    return np.stack([ndimage.binary_fill_holes(plane > signal) for plane in np.moveaxis(smooth, 2, 0)], axis=2)


def overlap(phantom, role, matrix) -> float:
    """Dice of the head's outlines on the FLAIR and on `role` under `matrix`, where both were imaged."""
    flair = phantom.series["flair"]
    voxels, inside = on_flair(phantom.series[role], flair, matrix)
    fixed = outline(flair.array, SKIN_SIGNAL["flair"]) & inside
    moved = outline(voxels, SKIN_SIGNAL[role]) & inside
    return 2 * (fixed & moved).sum() / (fixed.sum() + moved.sum())


def test_study_holds_the_series_promised(files, phantom_study):
    assert set(files) == {*DESCRIPTIONS, LOCALISER}
    counts = {description: len(paths) for description, paths in files.items()}
    assert counts == {**COUNTS, LOCALISER: 9}
    assert [path.name for path in phantom_study.iterdir() if path.suffix != ".dcm"] == ["README.txt"]
    assert sum(path.stat().st_size for path in phantom_study.iterdir()) < 10e6


def test_file_names_are_in_no_order(files):
    names = [path.name for path in files["Ax FLAIR"]]
    assert names != sorted(names)


def test_headers_tell_one_study_in_order_of_time(files):
    headers = {name: pydicom.dcmread(paths[0], stop_before_pixels=True) for name, paths in files.items()}
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert len({header[keyword].value for header in headers.values()}) == 1
    assert len({header.SeriesInstanceUID for header in headers.values()}) == len(headers)
    times = [headers[name].AcquisitionTime for name in (LOCALISER, "Ax T1", "Ax FLAIR", "Ax T1 +C")]
    assert times == sorted(times) and len(set(times)) == len(times)
    assert headers["Ax T1 +C"].ContrastBolusAgent and "ContrastBolusAgent" not in headers["Ax T1"]
    assert headers["Ax FLAIR"].InversionTime == 2500
    assert headers["T1 Crop Volume"].ImageType[0] == headers["Ax ADC"].ImageType[0] == "DERIVED"


def test_instances_are_unique_and_uids_valid(files):
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for paths in files.values() for path in paths]
    uids = [header.SOPInstanceUID for header in headers]
    assert len(set(uids)) == len(uids)
    assert all(uid.is_valid for uid in uids)
    assert all(header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID for header in headers)


def test_localiser_shows_three_planes(files):
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files[LOCALISER]]
    assert len({tuple(header.ImageOrientationPatient) for header in headers}) == 3


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_simpleitk_reads_what_was_made(files, phantom, description):
    volume = written(phantom, description)
    image = sitk.ReadImage([str(path) for path in files[description]])
    assert np.array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), volume.array)
    for index in ((0, 0, 0), tuple(n - 1 for n in volume.array.shape), (3, 50, 7)):
        lps = image.TransformIndexToPhysicalPoint(index)
        expected = LPS_FROM_RAS[:3, :3] @ volume.grid.points([index])[0]
        assert np.allclose(lps, expected, rtol=0, atol=POSITION_TOLERANCE_MM)


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_highdicom_reads_what_was_made(files, phantom, description):
    volume = written(phantom, description)
    shuffled = np.random.default_rng(0).permutation(files[description])
    read = hd.get_volume_from_series([pydicom.dcmread(path) for path in shuffled])
    same = read.match_geometry(hd.Volume(volume.array, LPS_FROM_RAS @ volume.affine, coordinate_system="PATIENT"))
    assert np.array_equal(same.array, volume.array)


def test_planes_are_oblique_and_differ(phantom):
    normals = [phantom.series[role].grid.directions[:, 2] for role in ("pre", "flair", "post")]
    angles = [np.degrees(np.arccos(a @ b)) for a, b in ((normals[0], normals[1]), (normals[1], normals[2]))]
    assert min(angles) > 5
    assert all(2 < np.degrees(np.arccos(normal[2])) < 25 for normal in normals)


def test_same_seed_gives_the_same_bytes(phantom_study, phantom, tmp_path):
    again = write_phantom_study(tmp_path / "again", phantom=phantom)
    first = {path.name: path.read_bytes() for path in phantom_study.iterdir()}
    assert {path.name: path.read_bytes() for path in again.iterdir()} == first


def test_another_seed_gives_another_study(phantom):
    other = make_phantom(SEED + 1)
    assert not np.array_equal(other.lesion.array, phantom.lesion.array)
    assert not np.allclose(other.motion["pre"], phantom.motion["pre"])


@pytest.mark.parametrize("role", ["pre", "post"])
def test_motion_is_rigid_and_as_large_as_promised(phantom, role):
    matrix = phantom.motion[role]
    turn = matrix[:3, :3]
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    angle = np.degrees(np.arccos((np.trace(turn) - 1) / 2))
    shift = np.linalg.norm(turn @ HEAD_CENTRE + matrix[:3, 3] - HEAD_CENTRE)
    assert MOTION_DEG[0] <= angle <= MOTION_DEG[1]
    assert MOTION_MM[0] <= shift <= MOTION_MM[1]


@pytest.mark.parametrize("role", ["pre", "post"])
def test_the_true_motion_aligns_the_heads_and_identity_does_not(phantom, role):
    true, identity, inverse = (
        overlap(phantom, role, matrix)
        for matrix in (phantom.motion[role], np.eye(4), np.linalg.inv(phantom.motion[role]))
    )
    assert true > 0.98
    assert identity < true - 0.02
    assert inverse < identity


def test_lesion_is_bright_on_flair_and_dark_on_t1_where_the_motion_takes_it(phantom):
    flair = phantom.series["flair"]
    lesion = phantom.lesion.array > 0
    around = ndimage.binary_dilation(lesion, iterations=8) & ~ndimage.binary_dilation(lesion, iterations=2)
    pre, _ = on_flair(phantom.series["pre"], flair, phantom.motion["pre"])
    tissue = around & (flair.array > 150) & (flair.array < 300)
    assert np.median(flair.array[lesion]) > 1.3 * np.median(flair.array[tissue])
    assert np.median(pre[lesion]) < 0.85 * np.median(pre[tissue])


def test_lesion_rim_takes_up_contrast(phantom):
    flair = phantom.series["flair"]
    pre, post = (on_flair(phantom.series[r], flair, phantom.motion[r])[0] for r in ("pre", "post"))
    gain = post - pre
    lesion = phantom.lesion.array > 0
    assert np.percentile(gain[lesion], 95) > 3 * np.median(gain[lesion])


def test_lesion_lies_in_one_frontal_lobe(phantom):
    points = phantom.lesion.grid.points(np.argwhere(phantom.lesion.array))
    extent = np.ptp(points, axis=0)
    millilitres = np.count_nonzero(phantom.lesion.array) * phantom.lesion.grid.voxel_ml
    assert 10 < millilitres < 35
    assert (extent > 25).all() and (extent < 48).all()
    assert abs(points[:, 0]).min() > 5 and len(set(np.sign(points[:, 0]))) == 1
    assert points[:, 1].mean() > 15


def test_head_is_neither_symmetric_nor_the_same_from_behind(phantom):
    crop = phantom.others["localiser-axial"].array[:, :, 1].astype(float)
    head = ndimage.gaussian_filter(crop, 1.5)
    for axis in (0, 1):
        mirrored = [np.roll(np.flip(head, axis), shift, axis) for shift in range(-12, 13)]
        assert max(np.corrcoef(head.ravel(), other.ravel())[0, 1] for other in mirrored) < 0.97


def test_dice_of_truth_nothing_and_half(phantom):
    lesion = phantom.lesion
    assert phantom_dice(lesion, phantom) == 1
    assert phantom_dice(Volume(np.zeros_like(lesion.array), lesion.affine), phantom) == 0
    half = lesion.array.copy()
    half[:, :, : int(np.median(np.nonzero(half)[2]))] = 0
    assert 0.3 < phantom_dice(Volume(half, lesion.affine), phantom) < 0.9


def test_dice_refuses_a_mask_on_another_grid(phantom):
    shifted = phantom.lesion.affine.copy()
    shifted[2, 3] += 1
    with pytest.raises(ValueError, match="FLAIR"):
        phantom_dice(Volume(phantom.lesion.array, shifted), phantom)


def test_motion_error_of_a_shift_is_its_length(phantom):
    truth = phantom.motion["pre"]
    wrong = truth.copy()
    wrong[:3, 3] += (3.0, 0.0, 4.0)
    points = head_points(phantom)
    assert motion_error_mm(truth, truth, points) == 0
    assert motion_error_mm(wrong, truth, points) == pytest.approx(5)
    assert motion_error_mm(np.eye(4), truth, points) > 5
