"""Which cases a folder holds, and the mask of each on the grid of its reference."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from labelled_folders import AFFINE, head, square, write_nifti_case, write_patient
from PIL import Image
from studies import write_nifti

from scanweave.errors import InputRefused
from scanweave.pipeline.bundle import find_bundle
from scanweave.transforms.io.find_study import StudyRequest
from scanweave.transforms.io.labelled_cases import Case, find_cases
from scanweave.transforms.load_study import LoadStudyd
from scanweave.transforms.load_truth import LoadTruthd

ROLES = ("pre", "flair", "post")


def names(root: Path) -> list[tuple[str, str]]:
    return [(case.name, case.patient) for case in find_cases(root, ROLES)]


def truth_of(case: Case) -> np.ndarray:
    data = {"study": case.request, "label_file": case.label}
    loaded = LoadTruthd()(LoadStudyd(find_bundle().roles, "flair")(data))
    assert loaded["label"].array.shape == loaded["flair"].array.shape
    assert np.allclose(loaded["label"].affine, loaded["flair"].affine)
    assert set(np.unique(loaded["label"].array)) <= {0.0, 1.0}
    return loaded["label"].array[0] > 0


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


# --- finding --------------------------------------------------------------------------------------------------------


def test_patients_of_slices(tmp_path: Path) -> None:
    for patient in ("b", "a", "site/c"):
        stem = patient.split("/")[-1]
        touch(*(tmp_path / patient / f"{stem}_{n}{end}.tif" for n in (1, 2) for end in ("", "_mask")))
    touch(tmp_path / "readme.txt", tmp_path / "overview.tif", tmp_path / "charts" / "x_1.png")
    assert names(tmp_path) == [("a", "a"), ("b", "b"), ("site/c", "site")]
    (first, *_) = find_cases(tmp_path, ROLES)
    assert first.request == StudyRequest(tmp_path / "a") and first.label is None


def test_root_that_is_the_patient(tmp_path: Path) -> None:
    touch(tmp_path / "TCGA_1" / "x_1.png", tmp_path / "TCGA_1" / "x_1_mask.png")
    assert names(tmp_path / "TCGA_1") == [("TCGA_1", "TCGA_1")]


def test_folders_of_volumes(tmp_path: Path) -> None:
    """Roles by name; a case without a role is refused later, with its name; a label alone is no case."""
    touch(*(tmp_path / "p" / visit / f"{role}.nii.gz" for visit in "12" for role in ("flair", "post", "label", "adc")))
    touch(tmp_path / "q" / "label.nii.gz", tmp_path / "q" / "t2.nii.gz")
    touch(tmp_path / "r" / "label.nii.gz")
    assert names(tmp_path) == [("p/1", "p"), ("p/2", "p"), ("q", "q")]
    (first, _, _) = find_cases(tmp_path, ROLES)
    assert set(first.request.inputs) == {"flair", "post"}
    assert first.label == tmp_path / "p" / "1" / "label.nii.gz"


@pytest.mark.parametrize(("images", "labels"), [("images", "labels"), ("image", "label"), ("img", "label")])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".png", ".tif", ".jpg"])
def test_pairs(tmp_path: Path, images: str, labels: str, suffix: str) -> None:
    touch(*(tmp_path / folder / f"brain_{n}.v1{suffix}" for folder in (images, labels) for n in (10, 9)))
    touch(tmp_path / labels / f"spare{suffix}", tmp_path / images / "notes.txt")
    found = find_cases(tmp_path, ROLES)
    assert [case.name for case in found] == ["brain_10.v1", "brain_9.v1"]
    for case in found:
        assert case.label is not None and case.label.name == f"{case.name}{suffix}"
        assert case.files == (tmp_path / images / case.label.name, case.label)


def write_pairs(root: Path, *stems: str, rows: int = 48) -> None:
    """Pictures in `img/` and their masks in `label/`: a square, larger and brighter by the picture's number."""
    for folder in ("img", "label"):
        (root / folder).mkdir(exist_ok=True)
    for stem in stems:
        number = int(stem.rpartition("_")[2])
        truth = np.zeros((rows, 40), dtype=bool)
        truth[8 : 20 + number, 10:20] = True
        Image.fromarray(np.where(truth, 100 + number, 20).astype(np.uint8)).save(root / "img" / f"{stem}.jpg")
        Image.fromarray((truth * 255).astype(np.uint8)).save(root / "label" / f"{stem}.png")


def test_numbered_pictures_of_a_patient_are_slices_of_one_volume(tmp_path: Path) -> None:
    """In the order of their numbers; one that is called otherwise is a volume of its own."""
    write_pairs(tmp_path, *(f"site_001_{number}" for number in (10, 2, 9)), "site_002_1", "7")
    found = {case.name: case for case in find_cases(tmp_path, ROLES)}
    assert {name: case.patient for name, case in found.items()} == {
        name: name for name in ("site_001", "site_002", "7")
    }
    volume = found["site_001"]
    assert {file.relative_to(tmp_path).as_posix() for file in volume.files} == {
        f"{place}_{number}.{suffix}" for place, suffix in (("img/site_001", "jpg"), ("label/site_001", "png"))
        for number in (2, 9, 10)
    }  # fmt: skip
    truth = truth_of(volume)
    assert truth.shape == (48, 40, 3) and truth.sum(axis=(0, 1)).tolist() == [140, 210, 220]
    assert truth_of(found["7"]).shape == (48, 40, 1)


def test_pictures_that_are_no_volume(tmp_path: Path) -> None:
    """Of several sizes, or with a name that a picture of its own has, or all of one prefix: each by itself."""
    write_pairs(tmp_path, "a_1", "a_2", "b_1", "b_2")
    write_pairs(tmp_path, "b_3", "0", rows=50)
    shutil.copy(tmp_path / "img" / "0.jpg", tmp_path / "img" / "a.jpg")
    shutil.copy(tmp_path / "label" / "0.png", tmp_path / "label" / "a.png")
    assert names(tmp_path) == [(stem, stem[0]) for stem in ("0", "a", "a_1", "a_2", "b_1", "b_2", "b_3")]
    (tmp_path / "other").mkdir()
    write_pairs(tmp_path / "other", "cell_1", "cell_2")
    assert names(tmp_path / "other") == [("cell_1", "cell_1"), ("cell_2", "cell_2")]


def test_image_without_its_mask_is_told(tmp_path: Path) -> None:
    touch(tmp_path / "images" / "1.png", tmp_path / "images" / "2.png", tmp_path / "labels" / "2.png")
    with pytest.raises(InputRefused, match=r"1 of 2 images have none.*1\.png") as refusal:
        find_cases(tmp_path, ROLES)
    assert refusal.value.code == "MISSING_LABEL"


def test_two_masks_of_one_case_are_told(tmp_path: Path) -> None:
    touch(*(tmp_path / "p" / name for name in ("flair.nii.gz", "label.nii", "label.nii.gz")))
    with pytest.raises(InputRefused) as refusal:
        find_cases(tmp_path, ROLES)
    assert refusal.value.code == "DUPLICATE_POSITION"


@pytest.mark.parametrize("without", ["b/b_1.tif", "c/flair.nii.gz", "c/visit/post.nii.gz"])
def test_a_patient_without_any_mask_is_told(tmp_path: Path, without: str) -> None:
    """The mean of the others would be taken for that of all."""
    touch(tmp_path / "a" / "a_1.tif", tmp_path / "a" / "a_1_mask.tif")
    touch(tmp_path / "n" / "flair.nii.gz", tmp_path / "n" / "label.nii.gz")
    assert names(tmp_path) == [("a", "a"), ("n", "n")], "layouts side by side are all taken"
    touch(tmp_path / without)
    with pytest.raises(InputRefused, match=f"case {Path(without).parent}") as refusal:
        find_cases(tmp_path, ROLES)
    assert refusal.value.code == "MISSING_LABEL"


def test_names_that_are_no_roles_are_understood_as_in_a_study(tmp_path: Path) -> None:
    image = np.concatenate([head(square())[..., 1]] * 3, axis=-1).astype(np.int16)
    (tmp_path / "p").mkdir()
    for name in ("flair", "t1", "t1c", "t2", "label"):
        write_nifti(tmp_path / "p" / f"{name}.nii.gz", image, AFFINE)
    (case,) = find_cases(tmp_path, ROLES)
    study = LoadStudyd(find_bundle().roles, "flair")({"study": case.request})
    chosen = {role: choice.series for role, choice in study["loaded"].selection.assigned.items()}
    assert {role: series.name if series else None for role, series in chosen.items()} == {
        "pre": "t1.nii.gz", "flair": "flair.nii.gz", "post": "t1c.nii.gz",
    }  # fmt: skip


@pytest.mark.parametrize("there", [True, False])
def test_nothing_to_find(tmp_path: Path, there: bool) -> None:
    root = tmp_path / "in"
    if there:
        touch(root / "p" / "p_1.tif")
    with pytest.raises(InputRefused) as refusal:
        find_cases(root, ROLES)
    assert refusal.value.code == ("EMPTY_INPUT" if there else "INPUT_NOT_FOUND")


# --- the mask -------------------------------------------------------------------------------------------------------


def test_masks_beside_slices(tmp_path: Path) -> None:
    truth = square(right=7, down=3)
    write_patient(tmp_path, "p", square(), truth)
    (case,) = find_cases(tmp_path, ROLES)
    assert np.array_equal(truth_of(case), truth)


def test_mask_of_a_volume_with_labels_above_one(tmp_path: Path) -> None:
    """All foreground together, whatever its number."""
    truth = square(right=7)
    folder = write_nifti_case(tmp_path, "p", square(), truth)
    numbered = truth.astype(np.uint8)
    numbered[:100] *= 4
    write_nifti(folder / "label.nii.gz", numbered, AFFINE)
    (case,) = find_cases(tmp_path, ROLES)
    assert np.array_equal(truth_of(case), truth)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("white", [1, 255])
def test_picture_of_a_mask(tmp_path: Path, suffix: str, white: int) -> None:
    for name in ("image", "label"):
        (tmp_path / name).mkdir()
    truth = square()[..., 1]
    Image.fromarray(head(square())[:, :, 1]).save(tmp_path / "image" / f"1{suffix}")
    Image.fromarray((truth * white).astype(np.uint8)).save(tmp_path / "label" / f"1{suffix}")
    (case,) = find_cases(tmp_path, ROLES)
    assert np.array_equal(truth_of(case)[..., 0], truth)


def test_slices_of_which_one_has_no_mask(tmp_path: Path) -> None:
    folder = write_patient(tmp_path, "p", square(), square())
    (folder / "p_2_mask.tif").unlink()
    (case,) = find_cases(tmp_path, ROLES)
    with pytest.raises(InputRefused, match="found 3 of 4") as refusal:
        truth_of(case)
    assert refusal.value.code == "MISSING_LABEL"


def test_mask_of_another_grid(tmp_path: Path) -> None:
    folder = write_nifti_case(tmp_path, "p", square(), square())
    (case,) = find_cases(tmp_path, ROLES)
    moved = AFFINE.copy()
    moved[0, 3] += 0.01
    for mask, affine in ((square(), moved), (square()[:-1], AFFINE)):
        write_nifti(folder / "label.nii.gz", mask.astype(np.uint8), affine)
        with pytest.raises(InputRefused) as refusal:
            truth_of(case)
        assert refusal.value.code == "LABEL_MISMATCH"
