"""Each reason to refuse a series, by its header alone, beside the smallest repair, with which it is read."""

import copy
from pathlib import Path

import pydicom
import pytest
from dicom_defects import CASES, Change, put, syntax
from dicom_forms import codes, enhanced, indexed, mr_slices, only_series, pixels_of, read_only, save, stored_as
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from scanweave.transforms.io import dicom_file, dicom_pixel_checks, volume_limits
from scanweave.transforms.io.dicom_index import index_dicom


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("expected", "break_it", "repair"), CASES.values(), ids=CASES)
def test_refused_with_all_its_reasons_and_read_when_repaired(
    expected: list[str], break_it: Change, repair: Change, tmp_path: Path
) -> None:
    for change, folder in ((break_it, tmp_path / "bad"), (repair, tmp_path / "good")):
        slices = mr_slices()
        change(slices)
        save(slices, folder)
    assert codes(tmp_path / "bad") == expected
    assert read_only(tmp_path / "good").array.max() > 0


def test_every_code_of_a_series_has_a_case_with_its_repair() -> None:
    """Of those a header can tell; the decoder's are in test_dicom_read_decoder.py, the voxels' in test_refusals.py."""
    of_a_series = {
        "TRUNCATED", "UNREADABLE", "UNSUPPORTED_SYNTAX", "UNSUPPORTED_FORM", "TOO_LARGE", "MISSING_GEOMETRY",
        "MIXED_ORIENTATION", "MIXED_MATRIX", "MIXED_FRAME_OF_REFERENCE", "DUPLICATE_POSITION", "TILT",
        "MISSING_SLICE", "UNEVEN_SPACING", "NOT_MR", "TOO_FEW_SLICES", "PATIENT_MISMATCH", "MULTIPLE_STUDIES",
    }  # fmt: skip
    assert {code for expected, _, _ in CASES.values() for code in expected} == of_a_series


def test_what_is_wrong_with_many_files_is_said_once(tmp_path: Path) -> None:
    slices = mr_slices()
    syntax("1.2.840.10008.1.2.4.103")(slices)
    (problem,) = only_series(save(slices, tmp_path / "s")).problems
    assert str(problem).endswith("(000.dcm and 5 more)")


# --- sizes, before anything is decoded ------------------------------------------------------------------------------


def test_size_is_refused_by_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(mr_slices(), tmp_path / "s")
    voxels = 6 * 40 * 36
    monkeypatch.setattr(volume_limits, "MAX_VOXELS", voxels - 1)
    assert codes(folder) == ["TOO_LARGE"]
    monkeypatch.setattr(volume_limits, "MAX_VOXELS", voxels)
    assert codes(folder) == []


def test_frames_that_are_only_claimed_count(tmp_path: Path) -> None:
    made = enhanced(mr_slices())
    made.NumberOfFrames = 2_000_000_000
    assert {"TOO_LARGE", "TRUNCATED"} <= set(codes(save([made], tmp_path / "s")))
    made.file_meta.TransferSyntaxUID = RLELossless
    made.PixelData = pydicom.encaps.encapsulate([b"0"] * 6)
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    assert "TOO_LARGE" in codes(save([made], tmp_path / "t")), "its compressed length says nothing"


def test_enhanced_image_that_was_a_mosaic_is_read(tmp_path: Path) -> None:
    """Siemens' Numaris X writes the slices of a mosaic as frames, and leaves the word in ImageType."""
    made = enhanced(mr_slices())
    made.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    assert codes(save([made], tmp_path / "s")) == []


def refused_file(path: Path) -> list[str]:
    return [problem.code.value for problem in index_dicom([path]).stray_problems]


@pytest.mark.parametrize("honest", [True, False])
def test_deflated_file_is_counted_before_it_is_inflated(
    honest: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever length the file meta information says it has; pydicom goes by what it finds."""
    made = mr_slices()[0]
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save([made], tmp_path / "s") / "000.dcm"
    if not honest:
        content = bytearray(path.read_bytes())
        content[140:144] = (8).to_bytes(4, "little")
        path.write_bytes(content)
    size = len(made.PixelData)
    monkeypatch.setattr(dicom_file, "MAX_INFLATED_BYTES", size)
    assert refused_file(path) == ["TOO_LARGE"]
    monkeypatch.setattr(dicom_file, "MAX_INFLATED_BYTES", 2 * size)
    assert refused_file(path) == []


@pytest.mark.parametrize(
    ("limit", "undefined", "syntax"),
    [
        ("MAX_HEADER_READS", True, ExplicitVRLittleEndian),
        ("MAX_ITEMS", False, ExplicitVRLittleEndian),
        ("MAX_ITEMS", False, ExplicitVRBigEndian),
        ("MAX_ITEMS", True, DeflatedExplicitVRLittleEndian),
    ],
)
def test_header_of_countless_items_is_not_taken_apart(
    limit: str, undefined: bool, syntax: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each empty item is eight bytes in the file, and a kilobyte here."""

    def crowded(dataset: pydicom.Dataset, n: int) -> None:
        dataset.SharedFunctionalGroupsSequence = [pydicom.Dataset() for _ in range(1000)]
        dataset["SharedFunctionalGroupsSequence"].is_undefined_length = undefined
        dataset.file_meta.TransferSyntaxUID = syntax

    path = save(mr_slices()[:1], tmp_path / "s", crowded) / "000.dcm"
    monkeypatch.setattr(dicom_file, limit, 900)
    assert refused_file(path) == ["TOO_LARGE"]
    monkeypatch.setattr(dicom_file, limit, 9000)
    assert refused_file(path) == []


def test_file_far_larger_than_its_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(mr_slices(), tmp_path / "s", lambda d, n: put(d, {"PixelData": d.PixelData * 2}))
    monkeypatch.setattr(dicom_pixel_checks, "MAX_OTHER_BYTES", 2000)
    assert codes(folder) == ["TOO_LARGE"]
    monkeypatch.setattr(dicom_pixel_checks, "MAX_OTHER_BYTES", 6000)
    assert codes(folder) == []


# --- one header, several values -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
def test_several_uids_for_one_are_refused(keyword: str, tmp_path: Path) -> None:
    slices = mr_slices()
    setattr(slices[2], keyword, ["1.2.2", "1.2.3"])
    folder = save(slices, tmp_path / "s")
    found = index_dicom(sorted(folder.iterdir()))
    assert [problem.code for problem in found.stray_problems] == ["UNREADABLE"]


@pytest.mark.filterwarnings("ignore")
def test_several_frames_of_reference_in_one_header_are_read_as_one(tmp_path: Path) -> None:
    folder = save(mr_slices(), tmp_path / "s", lambda d, n: put(d, {"FrameOfReferenceUID": ["1.2.8", "1.2.9"]}))
    assert read_only(folder).array.shape == (36, 40, 6)


# --- repetitions ----------------------------------------------------------------------------------------------------


def test_exact_copies_are_one_and_other_pixels_under_one_uid_are_refused(tmp_path: Path) -> None:
    slices = mr_slices()
    folder = save([*slices, slices[2], stored_as(slices[4], RLELossless)], tmp_path / "s")
    assert len(only_series(folder).files) == 6, "a copy, and a compressed copy"
    changed = copy.deepcopy(slices[2])
    changed.PixelData = (pixels_of(changed) // 2).tobytes()
    save([changed], tmp_path / "s" / "again")
    found = index_dicom(sorted(path for path in folder.rglob("*.dcm")))
    assert [problem.code for problem in found.stray_problems] == ["UNREADABLE"]


def test_a_broken_part_of_a_uid_does_not_spoil_the_others(tmp_path: Path) -> None:
    """Two echoes, of which one lacks a slice."""
    echoes = [mr_slices(), mr_slices()]
    for item in echoes[1]:
        item.EchoTime, item.SOPInstanceUID = "20", f"{item.SOPInstanceUID}.2"
    echoes[1].pop(2)
    found = {item.part: item for item in indexed(save([*echoes[0], *echoes[1]], tmp_path / "s"))}
    assert {part: len(item.problems) for part, item in found.items()} == {"echo 90": 0, "echo 20": 1}
