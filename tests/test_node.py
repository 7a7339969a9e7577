"""A node between a real Orthanc and its results: received, taken, segmented, delivered, once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_rooms import add_patient, wait_until
from node_rooms import LOOPBACK, TITLE, Node, node
from orthanc_server import ITS_NAME, Orthanc, orthanc_server

pytest_plugins = ["study_fixtures"]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc_server(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


def to(orthanc: Orthanc, **settings: Any) -> dict[str, Any]:
    """Orthanc as a destination."""
    return {"name": "pacs", "kind": "dicom", "ae_title": ITS_NAME, "host": LOOPBACK, "port": orthanc.dicom_port,
            **settings}  # fmt: skip


def send_from(orthanc: Orthanc, running: Node) -> None:
    """Have Orthanc send every study that it has."""
    orthanc.ask("/modalities/node", "PUT", [TITLE, LOOPBACK, running.dicom_port])
    for study in orthanc.ask("/studies"):
        orthanc.ask("/modalities/node/store", "POST", study)


def test_from_orthanc_and_back(orthanc: Orthanc, small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    orthanc.empty()
    files = add_patient(small_study, tmp_path / "study", 1)
    assert orthanc.store(*files).returncode == 0
    before = orthanc.instances()
    with node(tmp_path, segment={"bundle": str(small_bundle), "workers": 1}, destinations=[to(orthanc)]) as running:
        send_from(orthanc, running)
        wait_until(lambda: running.settled(1), 90)
        results = orthanc.instances() - before
        assert len(results) == 2
        state = running.state()
        assert state["counts"]["done"] == 1 and state["deliveries"]["delivered"] == 1
        (modalities,) = [study["MainDicomTags"] and study for study in orthanc.ask("/studies?expand")]
        series = [orthanc.ask(f"/series/{one}")["MainDicomTags"]["Modality"] for one in modalities["Series"]]
        assert sorted(series) == ["MR", "MR", "MR", "SEG", "SR"]
        send_from(orthanc, running)
        wait_until(lambda: running.settled(1), 30)
        assert orthanc.instances() - before == results, "its own results, and the same study again, change nothing"
        assert running.stop() == 0
