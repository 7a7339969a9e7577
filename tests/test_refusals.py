"""DICOM input that must not be segmented, each with its code, and beside it the nearest input that must."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless
from studies import ROLES, UID, Trial, another, edit, run, uid_of

from scanweave.pipeline.identity import pseudonym

pytest_plugins = ["study_fixtures"]

Break = Callable[[Trial], object]
MIDDLE = 4
"""The slice in the middle of nine."""


def direction(files: list[Path], axis: int) -> np.ndarray:
    """LPS unit vector along the rows (0), the columns (1) or the slices (2) of a series."""
    cosines = np.array(pydicom.dcmread(files[0]).ImageOrientationPatient, dtype=float).reshape(2, 3)
    return np.vstack([cosines, np.cross(*cosines)])[axis]


def moved(role: str, axis: int, step_mm: Callable[[int], float]) -> Break:
    """Slice n of a series moves by `step_mm(n)` along an axis."""

    def change(trial: Trial) -> None:
        along = direction(trial.slices(role), axis)

        def shift(dataset: pydicom.Dataset, n: int) -> None:
            position = np.array(dataset.ImagePositionPatient, dtype=float) + along * step_mm(n)
            dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]

        edit(trial.slices(role), shift)

    return change


def turned(degrees: float) -> Break:
    """One slice of the FLAIR is turned in its plane."""

    def change(trial: Trial) -> None:
        rows, columns = (direction(trial.slices("flair"), axis) for axis in (0, 1))
        angle = np.deg2rad(degrees)
        cosines = [*(np.cos(angle) * rows + np.sin(angle) * columns)]
        cosines += [*(np.cos(angle) * columns - np.sin(angle) * rows)]
        edit(trial.slices("flair")[MIDDLE], ImageOrientationPatient=[f"{value:.10f}" for value in cosines])

    return change


def one(role: str, number: int = MIDDLE, **values: object) -> Break:
    """Attributes of one slice."""
    return lambda trial: edit(trial.slices(role)[number], **values)


def every(role: str, **values: object) -> Break:
    """Attributes of all slices of a role, of the whole study for "*"."""
    return lambda trial: edit(trial.slices(role), **values)


def without(role: str, keep: Callable[[int], bool]) -> Break:
    """The slices that remain."""
    return lambda trial: [path.unlink() for n, path in enumerate(trial.slices(role)) if not keep(n)]


def filled(role: str, brightest: int) -> Break:
    """Zeros but for one voxel."""

    def fill(dataset: pydicom.Dataset, n: int) -> None:
        pixels = np.zeros((dataset.Rows, dataset.Columns), np.uint16)
        pixels[10, 10] = brightest if n == MIDDLE else 0
        dataset.PixelData = pixels.tobytes()

    return lambda trial: edit(trial.slices(role), fill)


def cropped(dataset: pydicom.Dataset, n: int) -> None:
    dataset.PixelData = dataset.pixel_array[:-1].tobytes()
    dataset.Rows -= 1


def coloured(dataset: pydicom.Dataset, n: int) -> None:
    grey = dataset.pixel_array
    dataset.PixelData = np.repeat((grey >> 4).astype(np.uint8)[..., None], 3, axis=2).tobytes()
    dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, "RGB"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7


def copied(role: str, **values: object) -> Break:
    """A second series like that of `role`."""
    return lambda trial: another(trial.slices(role), f"x{role}", **values)


def copied_slice(same: str) -> Break:
    return lambda trial: another(trial.slices("flair")[MIDDLE:][:1], "xflair", same=same)


def nothing(trial: Trial) -> None:
    """The study as it is."""


@dataclass(frozen=True)
class Case:
    """How to break the study, the code that must come first, and the nearest change that must do no harm."""

    name: str
    code: str
    break_it: Break
    nearly: Break = nothing


UID_OF_SERIES = "StudyInstanceUID SeriesInstanceUID"
HEADER_CASES = [
    Case("no MR", "NOT_MR", every("*", Modality="CT"), copied("pre", Modality="CT")),
    Case("no FLAIR", "NO_FLAIR", without("flair", lambda n: False),
         every("flair", SeriesDescription="Series 3", ProtocolName="head")),
    Case("FLAIR without its inversion", "NO_FLAIR",
         every("flair", SeriesDescription="Ax T2", ProtocolName="Ax T2", InversionTime=None, ScanningSequence="SE")),
    Case("two FLAIR alike", "AMBIGUOUS_ROLE", copied("flair"),
         copied("flair", ImageType=["DERIVED", "SECONDARY"])),
    Case("two echoes in one series", "AMBIGUOUS_ROLE",
         lambda trial: another(trial.slices("flair"), "x", same=UID_OF_SERIES, EchoTime="60", EchoNumbers=2),
         every("flair", EchoNumbers=1)),
    Case("two time points in one series", "AMBIGUOUS_ROLE",
         lambda trial: (edit(trial.slices("flair"), TemporalPositionIdentifier=1),
                        another(trial.slices("flair"), "x", same=UID_OF_SERIES, TemporalPositionIdentifier=2))),
    Case("two studies", "MULTIPLE_STUDIES",
         lambda trial: another([path for role in ROLES for path in trial.slices(role)], "second", same=""),
         every("pre", StudyID="2", AccessionNumber="2")),
    Case("two patients", "PATIENT_MISMATCH", every("post", PatientID="ID-4712"),
         every("post", PatientName="HIDDEN^PERSON^")),
    Case("one slice of another patient", "PATIENT_MISMATCH", one("flair", PatientID="ID-4712"),
         one("flair", PatientName="HIDDEN^PERSON^")),
    Case("one slice of another study", "MULTIPLE_STUDIES", one("flair", StudyInstanceUID="1.2.3.4.5.6.7.8")),
    Case("slice missing", "MISSING_SLICE", without("flair", lambda n: n != MIDDLE),
         without("flair", lambda n: n != 0)),
    Case("slice of an optional series missing", "MISSING_SLICE", without("pre", lambda n: n != MIDDLE),
         without("pre", lambda n: n != 0)),
    Case("uneven", "UNEVEN_SPACING", moved("flair", 2, lambda n: 0.5 * (n == MIDDLE)),
         moved("flair", 2, lambda n: 0.04 * (n == MIDDLE))),
    Case("tilted", "TILT", moved("flair", 1, lambda n: 0.6 * n), moved("flair", 1, lambda n: 0.02 * n)),
    Case("two orientations", "MIXED_ORIENTATION", turned(2.0), turned(0.03)),
    Case("two matrices", "MIXED_MATRIX", lambda trial: edit(trial.slices("flair")[MIDDLE], cropped)),
    Case("two pixel spacings", "MIXED_MATRIX", one("flair", PixelSpacing=[3.6, 3.61]),
         one("flair", PixelSpacing=[3.6, 3.6005])),
    Case("two frames of reference", "MIXED_FRAME_OF_REFERENCE", one("flair", FrameOfReferenceUID="1.2.3.4.5"),
         every("pre", FrameOfReferenceUID="1.2.3.4.5")),
    Case("two slices at one place", "DUPLICATE_POSITION", copied_slice(UID_OF_SERIES),
         copied_slice(UID_OF_SERIES + " SOPInstanceUID")),
    Case("no position", "MISSING_GEOMETRY", one("flair", ImagePositionPatient=None), one("flair", SliceLocation=None)),
    Case("a position of two numbers", "MISSING_GEOMETRY", one("flair", ImagePositionPatient=[1, 2])),
    Case("no orientation", "MISSING_GEOMETRY", every("flair", ImageOrientationPatient=None),
         every("flair", PatientPosition=None)),
    Case("pixels without size", "MISSING_GEOMETRY", every("flair", PixelSpacing=[0, 0]),
         every("flair", SliceThickness=0, SpacingBetweenSlices=None)),
    Case("single slice", "TOO_FEW_SLICES", without("*", lambda n: n == MIDDLE), without("*", lambda n: n % 9 != 0)),
    Case("FLAIR of one slice", "TOO_FEW_SLICES", without("flair", lambda n: n == MIDDLE)),
    Case("colours", "UNSUPPORTED_FORM", lambda trial: edit(trial.slices("flair"), coloured)),
]  # fmt: skip


@pytest.mark.parametrize("case", HEADER_CASES, ids=lambda case: case.name)
def test_what_headers_tell_is_refused(case: Case, trial: Trial) -> None:
    case.break_it(trial)
    trial.refused_by_header(case.code, trial.study)


@pytest.mark.parametrize("case", HEADER_CASES, ids=lambda case: case.name)
def test_what_is_nearly_so_is_not_refused(case: Case, trial: Trial) -> None:
    case.nearly(trial)
    trial.inspected(trial.study)


PIXEL_CASES = [
    Case("FLAIR all zero", "EMPTY_VOLUME", filled("flair", 0), filled("flair", 900)),
    Case("T1 all zero", "EMPTY_VOLUME", filled("pre", 0), filled("pre", 900)),
    Case("slope that is no number", "NOT_FINITE",
         every("flair", RescaleSlope="NaN", RescaleIntercept="0"),
         every("flair", RescaleSlope="2", RescaleIntercept="0")),
    Case("pixels nobody decodes", "UNSUPPORTED_SYNTAX",
         lambda trial: edit(trial.slices("flair")[MIDDLE], lambda d, n: encapsulated(d, "1.2.840.10008.1.2.4.103")),
         lambda trial: edit(trial.slices("flair"), lambda d, n: d.compress(RLELossless))),
    Case("compressed pixels cut short", "TRUNCATED",
         lambda trial: edit(trial.slices("flair")[MIDDLE], lambda d, n: shortened(d)),
         lambda trial: edit(trial.slices("flair"), lambda d, n: d.compress(JPEGLSLossless))),
]  # fmt: skip


def encapsulated(dataset: pydicom.Dataset, syntax: str) -> None:
    dataset.compress(RLELossless)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)


def shortened(dataset: pydicom.Dataset) -> None:
    dataset.compress(RLELossless)
    dataset.PixelData = pydicom.encaps.encapsulate([next(pydicom.encaps.generate_frames(dataset.PixelData))[:200]])


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
@pytest.mark.parametrize("case", PIXEL_CASES, ids=lambda case: case.name)
def test_what_pixels_tell_is_refused_and_what_is_nearly_so_is_segmented(case: Case, trial: Trial) -> None:
    pristine = trial.root / "pristine"
    shutil.copytree(trial.study, pristine)
    case.break_it(trial)
    trial.refused(case.code, trial.study)
    shutil.rmtree(trial.study)
    pristine.rename(trial.study)
    case.nearly(trial)
    trial.done(trial.study)


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 131, 200, 420, 700, 1300, -1700, -12, -1])
def test_file_cut_anywhere_is_refused(trial: Trial, size: int) -> None:
    """An end slice: without it the rest is a regular volume, and only the file itself tells."""
    path = trial.slices("flair")[-1]
    path.write_bytes(path.read_bytes()[:size])
    trial.refused("TRUNCATED", trial.study)


def test_every_cut_of_a_file_is_seen_in_its_header(trial: Trial) -> None:
    path = trial.slices("flair")[-1]
    whole = path.read_bytes()
    for size in range(0, len(whole), 151):
        path.write_bytes(whole[:size])
        seen = run("inspect", trial.study, "--json", "--bundle", trial.bundle)
        assert (seen.exit_code, seen.codes[0]) == (3, "TRUNCATED"), f"cut to {size} bytes"
    path.write_bytes(whole)
    trial.inspected(trial.study)


def test_garbage_with_the_name_of_an_image_is_refused_and_any_other_passed_over(trial: Trial) -> None:
    for name in ("notes.txt", "Thumbs.db", ".DS_Store", "._flair_04.dcm", "VERSION", "empty"):
        (trial.study / name).write_bytes(b"" if name == "empty" else bytes(range(256)) * 4)
    plain = trial.done(trial.study)
    shutil.rmtree(plain.parent.parent)
    (trial.study / "x.dcm").write_bytes(bytes(range(256)) * 4)
    trial.refused_by_header("TRUNCATED", trial.study)


def test_file_without_suffix_is_broken_where_its_neighbours_are_images(trial: Trial) -> None:
    """PACS exports name files IM0001: one of zero bytes among them is a slice that was lost in copying."""
    for n, path in enumerate(sorted(trial.study.iterdir())):
        path.rename(trial.study / f"IM{n:04d}")
    (trial.study / "README").write_text("an export")
    trial.inspected(trial.study)
    (trial.study / "IM0003").write_bytes(b"")
    trial.refused_by_header("TRUNCATED", trial.study)


def test_two_images_under_one_instance_uid_are_refused_and_two_copies_are_one(trial: Trial) -> None:
    first, second, *_ = trial.slices("flair")
    shutil.copy(first, trial.study / "copy.dcm")
    trial.inspected(trial.study)
    edit(trial.study / "copy.dcm", SOPInstanceUID=uid_of(second, "SOPInstanceUID"))
    trial.refused_by_header("UNREADABLE", trial.study)


def test_the_whole_one_of_two_copies_counts(trial: Trial) -> None:
    whole = trial.slices("flair")[MIDDLE]
    (trial.study / "a.dcm").write_bytes(whole.read_bytes()[:-100])
    (trial.study / "z.dcm").write_bytes(whole.read_bytes()[:-100])
    trial.inspected(trial.study)
    whole.unlink()
    trial.refused_by_header("TRUNCATED", trial.study)


def test_study_stored_twice_gives_the_same_result(trial: Trial) -> None:
    once = (trial.done(trial.study) / "segmentation.dcm").read_bytes()
    shutil.copytree(trial.study, trial.study / "backup")
    again = trial.done(trial.study, out=trial.root / "again")
    assert (again / "segmentation.dcm").read_bytes() == once


# --- roles ----------------------------------------------------------------------------------------------------------


def test_ambiguous_role_is_decided_by_uid(trial: Trial) -> None:
    copies = another(trial.slices("flair"), "xflair")
    ran = trial.refused_by_header("AMBIGUOUS_ROLE", trial.study)
    assert set(UID.findall(ran.lines[0])) and uid_of(copies[0]) in ran.lines[0], "the candidates are named"
    result = json.loads((trial.done(trial.study, "--flair", uid_of(copies[0])) / "result.json").read_text())
    assert result["roles"]["flair"]["series"] == pseudonym(uid_of(copies[0]))


def test_echo_of_a_series_is_chosen_by_its_label(trial: Trial) -> None:
    another(trial.slices("flair"), "x", same=UID_OF_SERIES, EchoTime="60", EchoNumbers=2)
    edit(trial.slices("flair"), EchoNumbers=1)
    uid = uid_of(trial.slices("flair")[0])
    trial.refused_by_header("AMBIGUOUS_ROLE", trial.study, "--flair", uid)
    found = trial.inspected(trial.study, "--flair", f"{uid} [echo 1]")
    assert found["roles"]["flair"]["series"] == f"{uid} [echo 1]"


def test_one_of_several_studies_is_chosen(trial: Trial) -> None:
    second = another([path for role in ROLES for path in trial.slices(role)], "second", same="")
    uids = {uid_of(path, "StudyInstanceUID") for path in (trial.slices("flair")[0], second[0])}
    ran = trial.refused_by_header("MULTIPLE_STUDIES", trial.study)
    assert all(uid in ran.lines[0] for uid in uids), "the studies are listed"
    trial.refused_by_header("INPUT_NOT_FOUND", trial.study, "--study", "1.2.3")
    for uid in uids:
        assert trial.done(trial.study, "--study", uid).name == pseudonym(uid)


def test_several_studies_of_several_patients_are_both_said(trial: Trial) -> None:
    another(trial.slices("flair"), "second", same="", PatientID="ID-4712")
    ran = trial.refused_by_header("MULTIPLE_STUDIES", trial.study)
    assert ran.codes == ["MULTIPLE_STUDIES", "PATIENT_MISMATCH"]
    trial.inspected(trial.study, "--study", uid_of(trial.slices("pre")[0], "StudyInstanceUID"))


def test_series_of_another_patient_is_refused_by_hand_too(trial: Trial) -> None:
    other = trial.root / "other"
    other.mkdir()
    for path in trial.slices("pre"):
        path.rename(other / path.name)
    trial.inspected(trial.study, "--pre", other)
    edit(sorted(other.iterdir()), PatientID="ID-4712")
    trial.refused_by_header("PATIENT_MISMATCH", trial.study, "--pre", other)


def test_broken_series_of_a_folder_given_by_hand_is_not_passed_over(trial: Trial) -> None:
    """Beside a good one it may be the one that was meant; a localiser is not."""
    folder = trial.root / "folder"
    folder.mkdir()
    for path in trial.slices("pre"):
        path.rename(folder / path.name)
    broken = another(sorted(folder.iterdir()), "x")
    for path in broken[3:]:
        path.unlink()
    broken[1].unlink()
    trial.inspected(trial.study, "--pre", folder)
    broken = another(sorted(folder.glob("pre_*.dcm")), "y")
    broken[MIDDLE].unlink()
    trial.refused_by_header("AMBIGUOUS_ROLE", trial.study, "--pre", folder)
    for path in folder.glob("y_*.dcm"):
        path.unlink()
    trial.inspected(trial.study, "--pre", folder)


def test_missing_series_is_substituted_and_a_broken_one_is_not(trial: Trial) -> None:
    pre = trial.slices("pre")
    pre.pop(MIDDLE).unlink()
    trial.refused_by_header("MISSING_SLICE", trial.study)
    for path in pre:
        path.unlink()
    result = json.loads((trial.done(trial.study) / "result.json").read_text())
    assert result["roles"]["pre"]["substituted"] and not result["roles"]["post"]["substituted"]
    assert any("pre" in warning and "flair" in warning for warning in result["warnings"])


def test_broken_decoy_does_not_stop_a_good_study(trial: Trial) -> None:
    decoy = another(trial.slices("pre"), "adc", SeriesDescription="Ax ADC", ProtocolName="Ax ADC",
                    ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"])  # fmt: skip
    decoy[MIDDLE].unlink()
    decoy[0].write_bytes(decoy[0].read_bytes()[:-500])
    problems = {
        series["uid"]: [problem["code"] for problem in series["problems"]]
        for series in trial.inspected(trial.study)["series"]
    }
    assert problems[uid_of(decoy[1])] == ["TRUNCATED", "MISSING_SLICE"]
    trial.done(trial.study)


def test_broken_second_candidate_is_left_aside_with_a_warning(trial: Trial) -> None:
    second = another(trial.slices("pre"), "xpre")
    second[MIDDLE].unlink()
    result = json.loads((trial.done(trial.study) / "result.json").read_text())
    assert result["roles"]["pre"]["series"] == pseudonym(uid_of(trial.slices("pre")[0]))
    assert any("MISSING_SLICE" in warning for warning in result["warnings"])


# --- real scans -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "code"),
    [
        ("sliceincrement", "MISSING_SLICE"),
        ("slicecount", "TOO_FEW_SLICES"),
        ("sliceorientation", "MIXED_ORIENTATION"),
        ("gantrytilting", "TILT"),
    ],
)
def test_real_defects_have_their_own_codes(data_dir: Path, trial: Trial, folder: str, code: str) -> None:
    study = data_dir / "dicom-vendors" / "failing" / folder
    trial.refused_by_header(code, study)
    trial.refused_by_header(code, "--flair", study)


def test_real_study_with_one_file_cut_is_refused(data_dir: Path, trial: Trial) -> None:
    """Of links to the real files, one is replaced by a part of the file it leads to."""
    links = trial.root / "siemens"
    links.mkdir()
    for path in sorted((data_dir / "study-siemens").rglob("*.dcm")):
        (links / f"{path.parent.name}-{path.name}").symlink_to(path)
    uid = trial.inspected(links)["roles"]["flair"]["series"]
    of_flair = [path for path in sorted(links.iterdir()) if uid_of(path) == uid]
    part = of_flair[0].read_bytes()[:-1000]
    of_flair[0].unlink()
    of_flair[0].write_bytes(part)
    trial.refused_by_header("TRUNCATED", links)
