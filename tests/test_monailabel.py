"""The MONAI Label app: the real server, asked as Slicer and OHIF ask; what it answers is what the command gives."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import REPOSITORY
from monailabel_server import (
    MODEL,
    READY_S,
    Server,
    environment,
    free_port,
    monailabel_server,
    require_monailabel,
    start_command,
)
from monailabel_studies import assert_clean, assert_lies_as, assert_same_seg, make_partial_bundle, write_studies
from orthanc_server import Orthanc, orthanc_server
from studies import SECRETS, run, uid_of

pytest_plugins = ["study_fixtures"]

NOTICE = "Research use only, not a medical device"
AS_OHIF = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False, "restore_label_idx": False}
DICOM_OUTPUTS = "nifti,dicom-seg"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick one."""
    require_monailabel()
    return make_partial_bundle(tmp_path_factory.mktemp("bundle") / "partial")


@pytest.fixture(scope="module")
def studies(small_study: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of them."""
    return write_studies(small_study, tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="module")
def server(studies: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Over the folder of studies; nothing may be left behind, and nothing said of whom it was."""
    with monailabel_server(studies, tmp_path_factory.mktemp("server"), bundle) as running:
        yield running
        assert_clean(running)


@pytest.fixture(scope="module")
def orthanc(small_study: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A PACS with the study."""
    with orthanc_server(tmp_path_factory.mktemp("orthanc")) as pacs:
        pacs.upload(sorted(small_study.glob("*.dcm")))
        yield pacs


@pytest.fixture(scope="module")
def web(orthanc: Orthanc, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Over that PACS."""
    login = {"MONAI_LABEL_DICOMWEB_USERNAME": orthanc.user, "MONAI_LABEL_DICOMWEB_PASSWORD": orthanc.password}
    folder = tmp_path_factory.mktemp("web")
    with monailabel_server(f"{orthanc.address}/dicom-web", folder, bundle, **login) as running:
        yield running
        assert_clean(running)


@pytest.fixture(scope="module")
def by_command(bundle: Path, tmp_path_factory: pytest.TempPathFactory):
    """A function: the folder with what the command gives for a source."""
    made: dict[tuple[str, ...], Path] = {}

    def result(*source: object, outputs: str = "nifti") -> Path:
        words = (*map(str, source), "--outputs", outputs)
        if words not in made:
            out = tmp_path_factory.mktemp("command") / "out"
            ran = run("segment", *words, "-o", out, "--bundle", bundle, "--json")
            assert ran.exit_code == 0, ran.lines
            (made[words],) = out.iterdir()
        return made[words]

    return result


def saved(answer, path: Path) -> Path:
    """The body of a successful answer, as a file."""
    assert answer.status_code == 200, answer.text
    path.write_bytes(answer.content)
    return path


def refused(answer, status: int, code: str) -> str:
    """Assert that the client reads why; what it reads."""
    assert answer.status_code == status, answer.text
    said = str(answer.json()["detail"])
    assert said.startswith(f"error[{code}]: ") and not any(secret in said for secret in SECRETS)
    return said


def test_viewers_find_the_model_and_read_what_it_is_for(server: Server) -> None:
    info = server.ask("/info/").json()
    shipped = json.loads((REPOSITORY / "bundles/flair_abnormality/configs/metadata.json").read_text())
    model = info["models"][MODEL]
    assert (model["type"], model["dimension"]) == ("segmentation", 3)
    (segment,) = shipped["segments"]
    assert model["labels"] == {segment["label"]: 1}
    assert NOTICE in info["description"] and NOTICE in model["description"]
    paths = server.ask("/openapi.json").json()["paths"]
    assert set(paths["/infer/{model}"]) == {"post"}


def test_slicers_client_gets_the_mask_of_a_zip(server: Server, studies: Path, by_command, tmp_path: Path) -> None:
    answer = server.slicer(tmp_path, session=studies / "parts.zip")
    assert MODEL in answer["models"] and "error" not in answer
    assert_lies_as(Path(answer["file"]), by_command(studies / "parts") / "segmentation.nii.gz")
    assert answer["said"]["notice"] == NOTICE and answer["said"]["volume_ml"] > 0
    assert answer["said"]["label_names"] == {"FLAIR abnormality": 1}


def test_slicers_client_gets_the_mask_of_a_4_d_file(server: Server, studies: Path, by_command, tmp_path: Path) -> None:
    expected = by_command(studies / "stack.nii.gz") / "segmentation.nii.gz"
    assert_lies_as(Path(server.slicer(tmp_path, image="stack")["file"]), expected)


def test_slicers_one_volume_is_taken_for_a_flair_only_when_somebody_says_so(
    server: Server, studies: Path, by_command, tmp_path: Path
) -> None:
    flair = tmp_path / "tmp4711.nii.gz"
    shutil.copy(studies / "parts/flair.nii.gz", flair)
    assert "error[" in server.slicer(tmp_path, session=flair)["error"]
    answer = server.slicer(tmp_path, session=flair, single_volume_is_flair=True)
    expected = by_command("--flair", studies / "parts/flair.nii.gz") / "segmentation.nii.gz"
    assert_lies_as(Path(answer["file"]), expected)
    assert answer["said"]["warnings"]


def test_a_session_of_several_files(server: Server, studies: Path, by_command, tmp_path: Path) -> None:
    session = server.session(*sorted((studies / "parts").iterdir()))
    answer = server.infer("image", {"result_extension": ".nii"}, session_id=session)
    expected = by_command(studies / "parts") / "segmentation.nii.gz"
    assert_lies_as(saved(answer, tmp_path / "mask.nii"), expected)
    hand = {"inputs": {"pre": "pre.nii.gz", "flair": "flair.nii.gz", "post": "post.nii.gz"}}
    answer = server.infer("image", hand, session_id=session)
    assert_lies_as(saved(answer, tmp_path / "mask.nii.gz"), expected)
    outside = {"inputs": {"flair": "../../../etc/passwd"}}
    refused(server.infer("image", outside, session_id=session), 400, "USAGE")


def test_a_dicom_study_as_dicom_seg(server: Server, studies: Path, small_study: Path, by_command, tmp_path: Path):
    session = server.session(studies / "dicom.zip", uncompress=True)
    answer = server.infer("dicom_seg", session_id=session)
    assert answer.headers["content-type"] == "application/dicom"
    assert_same_seg(saved(answer, tmp_path / "a.dcm"), by_command(small_study, outputs=DICOM_OUTPUTS))


def test_a_folder_of_the_studies_as_slicers_segmentation(server: Server, studies: Path, by_command, tmp_path: Path):
    seg = saved(server.infer("image", {"result_extension": ".seg.nrrd"}, image="dicom"), tmp_path / "a.seg.nrrd")
    assert_lies_as(seg, by_command(studies / "dicom", outputs=DICOM_OUTPUTS) / "segmentation.nii.gz")
    assert NOTICE.encode() in seg.read_bytes()


def test_the_figures_alone(server: Server, by_command, studies: Path) -> None:
    said = server.infer("json", image="dicom").json()
    result = json.loads((by_command(studies / "dicom", outputs=DICOM_OUTPUTS) / "result.json").read_text())
    assert said["result"]["volume_ml"] == said["volume_ml"] == result["volume_ml"]
    flagged = [role for role, found in result["registration"].items() if found["flagged"]]
    assert said["registration_flagged"] == flagged


def test_refusals_reach_the_client(server: Server, studies: Path, tmp_path: Path) -> None:
    assert "missing" in refused(server.infer("image", image="broken"), 422, "MISSING_SLICE")
    assert "error[MISSING_SLICE]" in server.slicer(tmp_path, session=studies / "broken.zip")["error"]
    refused(server.infer("image", image="nobody"), 404, "UNKNOWN_IMAGE")
    refused(server.infer("image", image=str(tmp_path)), 404, "UNKNOWN_IMAGE")
    refused(server.infer("image", image="../"), 404, "UNKNOWN_IMAGE")
    refused(server.infer("image", session_id="nobody"), 404, "UNKNOWN_SESSION")
    refused(server.infer("image", {"result_extension": ".exe"}, image="dicom"), 400, "USAGE")
    refused(server.infer("dicom_seg", image="stack"), 400, "USAGE")
    refused(server.ask("/infer/other", "POST", params={"image": "dicom"}), 404, "UNKNOWN_MODEL")
    refused(server.ask(f"/batch/infer/{MODEL}", "POST", json={}), 501, "USAGE")


def test_ohif_gets_the_mask_of_the_flair_that_it_shows(
    web: Server, small_study: Path, by_command, tmp_path: Path
) -> None:
    """Voxel by voxel in the order of the series, which is all that OHIF looks at: no header, no compression."""
    flair = uid_of(small_study / "flair_00.dcm")
    assert MODEL in web.ask("/info/").json()["models"]
    listed = web.ask("/proxy/dicom/qido/series", params={"SeriesInstanceUID": flair})
    assert listed.status_code == 200
    answer = saved(web.infer("image", AS_OHIF, image=flair), tmp_path / "mask.nrrd")
    expected = by_command(small_study, outputs=DICOM_OUTPUTS) / "segmentation.nii.gz"
    assert_lies_as(answer, expected)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(small_study), flair))
    shown = sitk.Resample(sitk.ReadImage(str(expected)), reader.Execute(), sitk.Transform(), sitk.sitkNearestNeighbor)
    header, _, raw = answer.read_bytes().partition(b"\n\n")
    assert b"encoding: raw" in header
    assert raw == sitk.GetArrayFromImage(shown).astype(np.uint8).tobytes()


def test_ohif_gets_dicom_seg_of_a_series_and_of_a_study(
    web: Server, small_study: Path, by_command, tmp_path: Path
) -> None:
    expected = by_command(small_study, outputs=DICOM_OUTPUTS)
    for number, keyword in enumerate(("SeriesInstanceUID", "StudyInstanceUID")):
        answer = web.infer("dicom_seg", image=uid_of(small_study / "flair_00.dcm", keyword))
        assert_same_seg(saved(answer, tmp_path / f"{number}.dcm"), expected)


def test_ohif_is_told_when_it_shows_another_series(web: Server, small_study: Path) -> None:
    flair = uid_of(small_study / "flair_00.dcm")
    answer = web.infer("image", AS_OHIF, image=uid_of(small_study / "post_00.dcm"))
    assert flair in refused(answer, 422, "NOT_THE_REFERENCE")
    refused(web.infer("image", AS_OHIF, image="1.2.3"), 404, "UNKNOWN_IMAGE")
    refused(web.infer("image", AS_OHIF, image="../1.2.3"), 404, "UNKNOWN_IMAGE")


FOR_CT = {"MONAI_LABEL_DICOMWEB_SEARCH_FILTER": '{"Modality": "CT"}'}


@pytest.mark.parametrize(
    ("studies_url", "scanweave", "more", "reason"),
    [
        ("http://127.0.0.1:9/dicom-web", "", FOR_CT, "without it, CT is listed"),
        (".", "/nowhere/scanweave", {}, "no program /nowhere/scanweave"),
    ],
)
def test_a_server_that_could_not_work_does_not_start(
    tmp_path: Path, studies_url: str, scanweave: str, more: dict[str, str], reason: str
) -> None:
    require_monailabel()
    command = start_command(studies_url, free_port(), scanweave=scanweave)
    where = environment(tmp_path / "run", **more)
    how = {"capture_output": True, "text": True, "cwd": tmp_path, "timeout": READY_S, "check": False}
    done = subprocess.run(command, env=where, **how)
    assert done.returncode != 0
    assert "scanweave app: " in done.stderr and reason in done.stderr
