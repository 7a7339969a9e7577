"""Our segmentation in a real OHIF, from a real Orthanc: voxel by voxel, with its name, codes and colour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
import yaml
from dicom_series import ABNORMALITY, FOREIGN_FLAIR, FOREIGN_T1, SETTINGS, read_real
from ohif_viewer import INTEGRATION, Ohif, ohif
from orthanc_server import Orthanc, orthanc_server
from pydicom.dataset import Dataset

from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_seg import write_dicom_seg

pytest_plugins = ["study_fixtures"]

PHANTOM, REAL = ("flair_*.dcm", ("pre_*.dcm", "post_*.dcm")), (FOREIGN_FLAIR, FOREIGN_T1)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc_server(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def opened(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ohif]:
    """One window for all tests; fails at the end where it asked anybody else."""
    with ohif(orthanc, tmp_path_factory.mktemp("ohif")) as window:
        yield window
    assert {url for url in window.asked if not url.startswith((window.address, "data:", "blob:"))} == set()


def test_segmentation_of_the_phantom(opened: Ohif, orthanc: Orthanc, small_study: Path, tmp_path: Path) -> None:
    check(opened, orthanc, small_study, PHANTOM, tmp_path)


def test_segmentation_of_a_real_study(opened: Ohif, orthanc: Orthanc, data_dir: Path, tmp_path: Path) -> None:
    check(opened, orthanc, data_dir, REAL, tmp_path)


def check(viewer: Ohif, orthanc: Orthanc, folder: Path, series: tuple[str, tuple[str, ...]], out: Path) -> None:
    flair, others = series
    mask, headers = read_real(folder, flair)
    further = [path for pattern in others for path in sorted(folder.glob(pattern))]
    further_headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in further]
    write_dicom_seg(out / "seg.dcm", mask, headers, further_headers, SETTINGS)
    orthanc.empty()
    orthanc.upload([*folder.glob(flair), *further, out / "seg.dcm"])
    loaded = viewer.open(headers[0].StudyInstanceUID).load(SETTINGS.series_description)
    (segment,) = loaded.segments
    assert segment["label"] == ABNORMALITY.label
    told = segment["cachedStats"]
    assert (told["category"], told["type"]) == (ABNORMALITY.category.meaning, ABNORMALITY.type.meaning)
    assert (told["algorithmType"], told["algorithmName"]) == ("AUTOMATIC", SETTINGS.algorithm)
    assert np.abs(np.subtract(loaded.color[:3], ABNORMALITY.color_rgb)).max() <= 1
    assert loaded.slices.keys() == {header.SOPInstanceUID for header in headers}
    for header in headers:
        shown = loaded.slices[header.SOPInstanceUID]
        assert np.array_equal(shown, on_slice(mask, header)), header.InstanceNumber


def on_slice(mask: Volume, header: Dataset) -> np.ndarray:
    """The mask where a slice of its series lies (PS3.3 C.7.6.2.1.1), (row, column)."""
    down, along = (float(mm) for mm in header.PixelSpacing)
    turn = np.array(header.ImageOrientationPatient, dtype=float).reshape(2, 3)
    rows, columns = np.mgrid[: header.Rows, : header.Columns]
    lps = np.array(header.ImagePositionPatient, dtype=float)
    lps = lps + columns[..., None] * along * turn[0] + rows[..., None] * down * turn[1]
    to_voxel = np.linalg.inv(mask.affine) @ LPS_FROM_RAS
    voxels = np.rint(lps @ to_voxel[:3, :3].T + to_voxel[:3, 3]).astype(int)
    return mask.array[tuple(np.moveaxis(voxels, -1, 0))]


def test_nobody_sees_anything_without_orthancs_password(opened: Ohif, orthanc: Orthanc) -> None:
    for page in ("/", "/viewer", "/app-config.js", "/dicom-web/studies"):
        assert requests.get(opened.address + page, timeout=60).status_code == 401
        login = (orthanc.user, orthanc.password)
        assert requests.get(opened.address + page, auth=login, timeout=60).status_code == 200
    assert requests.get(f"{opened.address}/login", auth=login, timeout=60).status_code == 404


def test_the_viewer_changes_nothing_in_the_archive(opened: Ohif, orthanc: Orthanc) -> None:
    login = (orthanc.user, orthanc.password)
    for method in ("POST", "PUT", "DELETE"):
        answer = requests.request(method, f"{opened.address}/dicom-web/studies", auth=login, timeout=60)
        assert answer.status_code == 403


def test_compose_file_mounts_what_is_there() -> None:
    compose = yaml.safe_load((INTEGRATION / "compose.yaml").read_text())
    root = INTEGRATION.parent.parent
    for service in compose["services"].values():
        mounts = [volume.split(":") for volume in service["volumes"]]
        assert all((root / source).is_file() for source, *_ in mounts if source.startswith("./"))
        targets = [Path(target) for _, target, *_ in mounts]
        assert not any(one in other.parents for one in targets for other in targets), "a mount in one that is read-only"
    conf = (INTEGRATION / "nginx.conf").read_text()
    assert "/usr/share/ohif" in compose["services"]["ohif"]["build"]["dockerfile_inline"]
    assert f":{conf.split('listen ')[1].split(';')[0]}" in compose["services"]["ohif"]["ports"][0]
