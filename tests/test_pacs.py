"""A study and all its results in a real PACS: back comes what was sent, and the same run twice is one result."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_series import LABEL_MAP_STORAGE
from external_tools import dicom_errors, run_tool
from orthanc_server import Orthanc, orthanc_server
from pydicom.uid import SegmentationStorage
from sr_reports import entity_errors
from studies import ROLES, run

from scanweave.pipeline.outputs import OUTPUTS

pytest_plugins = ["study_fixtures"]

DICOM_OUTPUTS = [name for name, output in OUTPUTS.items() if output.sources == ("dicom",)]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc_server(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def results(small_study: Path, small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[Path]]:
    """Every DICOM object of two runs of the same study."""
    runs = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCANWEAVE_SITE_KEY", "tests")
        for name in ("one", "two"):
            out = tmp_path_factory.mktemp(name)
            ran = run("segment", small_study, "-o", out, "--bundle", small_bundle, "--outputs", ",".join(DICOM_OUTPUTS))
            assert ran.exit_code == 0, ran.lines
            runs.append(sorted(out.rglob("*.dcm")))
    return runs


@pytest.fixture(scope="module")
def everything(small_study: Path, results: list[list[Path]]) -> list[Path]:
    """The study's own files and the results of the first run."""
    return [*sorted(small_study.glob("*.dcm")), *results[0]]


def known(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Those whose kind Orthanc 1.10 and dcmtk 3.6.7 have heard of, and the others: label maps are of 2024."""
    new = [path for path in files if pydicom.dcmread(path).SOPClassUID == LABEL_MAP_STORAGE]
    return [path for path in files if path not in new], new


def uids(files: list[Path]) -> set[str]:
    return {str(pydicom.dcmread(path).SOPInstanceUID) for path in files}


def test_the_results_are_all_there(results: list[list[Path]], small_study: Path) -> None:
    slices = len(list(small_study.glob("flair_*.dcm")))
    assert len(results[0]) == len(DICOM_OUTPUTS) - 1 + slices, "one file each, but for the overlay's, one a slice"


def test_source_and_results_are_one_patient_and_one_study(everything: list[Path], tmp_path: Path) -> None:
    files, (label_map,) = known(everything)
    shown = pydicom.dcmread(label_map)  # as the class that the validator knows
    shown.SOPClassUID = shown.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    shown.save_as(tmp_path / "label_map.dcm")
    assert entity_errors(*files, tmp_path / "label_map.dcm") == []
    shown.PatientBirthDate = "19000101"
    shown.save_as(tmp_path / "label_map.dcm")
    assert any("PatientBirthDate" in line for line in entity_errors(*files, tmp_path / "label_map.dcm"))


def test_the_validator_finds_no_error_in_any_result(results: list[list[Path]]) -> None:
    files, _ = known(results[0])
    assert {path.name: dicom_errors(path) for path in files} == {path.name: [] for path in files}


def test_every_object_has_a_series_and_a_number_of_its_own(small_study: Path, results: list[list[Path]]) -> None:
    found = [pydicom.dcmread(path, stop_before_pixels=True) for path in [*small_study.glob("*.dcm"), *results[0]]]
    numbers = {header.SeriesInstanceUID: int(header.SeriesNumber) for header in found}
    assert len(numbers) == 3 + len(DICOM_OUTPUTS)
    assert len(set(numbers.values())) == len(numbers)
    assert len({header.SOPInstanceUID for header in found}) == len(found)


def test_the_overlay_shows_each_slice_of_the_flair(small_study: Path, results: list[list[Path]]) -> None:
    slices = {header.SOPInstanceUID: header for header in map(pydicom.dcmread, small_study.glob("flair_*.dcm"))}
    for picture in map(pydicom.dcmread, [path for path in results[0] if path.parent.name == "secondary-capture"]):
        source = slices.pop(picture.SourceImageSequence[0].ReferencedSOPInstanceUID)
        assert picture.InstanceNumber == source.InstanceNumber
        zoom = picture.Columns // source.Columns
        drawn = picture.pixel_array[: source.Rows * zoom, :, 2]  # blue, of which the outline has none
        seen = drawn.reshape(source.Rows, zoom, source.Columns, zoom).mean(axis=(1, 3))
        assert like(seen, source.pixel_array) > 0.9
        assert max(like(np.flip(seen, axis), source.pixel_array) for axis in (0, 1)) < 0.9
    assert not slices


def like(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_results_beside_their_source_are_not_taken_for_scans(everything: list[Path], tmp_path: Path) -> None:
    for number, path in enumerate(everything):
        shutil.copy(path, tmp_path / f"{number}.dcm")
    seen = json.loads(run("inspect", tmp_path, "--json").out)
    assert seen["error"] is None
    assert {role["series"] is not None and not role["substituted"] for role in seen["roles"].values()} == {True}
    described = {role: next(s for s in seen["series"] if s["role"] == role)["description"] for role in seen["roles"]}
    assert described == ROLES


def test_c_store_takes_the_study_and_its_results_and_gives_back_what_it_got(
    orthanc: Orthanc, everything: list[Path]
) -> None:
    orthanc.empty()
    sent, _ = known(everything)
    stored = orthanc.store(*sent)
    assert stored.returncode == 0, stored.stdout + stored.stderr
    assert orthanc.instances() == uids(sent)
    assert_same(orthanc, sent)


def test_stow_takes_even_what_is_new_and_gives_back_what_it_got(orthanc: Orthanc, everything: list[Path]) -> None:
    orthanc.empty()
    answer = orthanc.client().store_instances([pydicom.dcmread(path) for path in everything])
    assert not answer.get("FailedSOPSequence")
    assert len(answer.ReferencedSOPSequence) == len(everything)
    assert orthanc.instances() == uids(everything)
    assert_same(orthanc, everything)


def test_qido_finds_results_by_what_a_worklist_shows(orthanc: Orthanc, everything: list[Path]) -> None:
    orthanc.empty()
    client = orthanc.client()
    client.store_instances([pydicom.dcmread(path) for path in everything])
    (study,) = client.search_for_studies()
    found = pydicom.Dataset.from_json(study)
    sent = pydicom.dcmread(everything[0])
    assert (found.PatientID, found.StudyInstanceUID) == (sent.PatientID, sent.StudyInstanceUID)
    series = [pydicom.Dataset.from_json(item) for item in client.search_for_series(found.StudyInstanceUID)]
    described = {item.get("SeriesDescription", "").removeprefix("REVIEW: "): item.Modality for item in series}
    for name in ("segmentation", "probability", "label map"):
        assert described[f"scanweave {name}"] == "SEG"
    assert described["scanweave overlay"] == "OT"
    assert described["scanweave measurements"] == "SR"
    for item in series:
        count = sum(pydicom.dcmread(path).SeriesInstanceUID == item.SeriesInstanceUID for path in everything)
        assert len(client.search_for_instances(found.StudyInstanceUID, item.SeriesInstanceUID)) == count


def test_two_runs_sent_twice_are_one_result(orthanc: Orthanc, results: list[list[Path]]) -> None:
    orthanc.empty()
    for files in (*results, *results):
        sent, new = known(files)
        assert orthanc.store(*sent).returncode == 0
        orthanc.client().store_instances([pydicom.dcmread(path) for path in new])
    assert orthanc.instances() == uids(results[0])
    assert [path.read_bytes() for path in results[0]] == [path.read_bytes() for path in results[1]]


def test_a_kind_that_the_pacs_does_not_take_is_noticed(orthanc: Orthanc, results: list[list[Path]]) -> None:
    orthanc.empty()
    _, (label_map,) = known(results[0])
    refused = orthanc.store(label_map)
    assert refused.returncode != 0
    assert orthanc.instances() == set()


def test_nobody_else_may_use_it(orthanc: Orthanc, results: list[list[Path]]) -> None:
    import requests

    assert requests.get(f"{orthanc.address}/system", timeout=10).status_code == 401
    command = ["-R", "-aet", "SOMEBODY", "-aec", "ORTHANC", "127.0.0.1", str(orthanc.dicom_port), results[0][0]]
    assert run_tool("storescu", *command).returncode != 0


def assert_same(orthanc: Orthanc, files: list[Path]) -> None:
    """By WADO, every data set as it was sent, and its pixels to the byte."""
    client = orthanc.client()
    for path in files:
        sent = pydicom.dcmread(path)
        back = client.retrieve_instance(sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID)
        assert back == sent, path.name
        assert back.get("PixelData") == sent.get("PixelData"), path.name
