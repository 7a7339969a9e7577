"""A node between a real Orthanc and its results: received, taken, segmented, delivered, once."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
import yaml
from batch_rooms import add_patient, wait_until
from dask_cluster import dask_cluster
from node_pacs import Pacs
from node_rooms import CALLER, LOOPBACK, TITLE, Node, node
from orthanc_server import ITS_FRIEND, ITS_NAME, Orthanc, orthanc_server
from studies import run

pytest_plugins = ["study_fixtures"]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc_server(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


def to(orthanc: Orthanc, **settings: Any) -> dict[str, Any]:
    """Orthanc as a destination."""
    return {"name": "pacs", "kind": "dicom", "ae_title": ITS_NAME, "host": LOOPBACK, "port": orthanc.dicom_port,
            **settings}  # fmt: skip


def introduce(running: Node, orthanc: Orthanc) -> None:
    """Tell Orthanc where the node listens."""
    orthanc.ask(f"/modalities/{ITS_FRIEND}", "PUT", [TITLE, LOOPBACK, running.dicom_port])


def send_from(orthanc: Orthanc, running: Node) -> None:
    """Have Orthanc send every study that it has."""
    introduce(running, orthanc)
    for study in orthanc.ask("/studies"):
        orthanc.ask(f"/modalities/{ITS_FRIEND}/store", "POST", study)


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


def test_check_asks_the_real_peers(orthanc: Orthanc, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(orthanc.password)
    web = {"name": "web", "kind": "stow", "url": f"{orthanc.address}/dicom-web", "user": orthanc.user}
    config = {"folder": "node", "receive": {"callers": ["X"]}, "destinations": [to(orthanc), web]}
    path = tmp_path / "node.yaml"
    path.write_text(yaml.safe_dump(config))
    ran = run("node", "--check", path)
    assert (ran.exit_code, ran.codes) == (5, ["PEER_UNREACHABLE"]) and "status 401" in ran.lines[0]
    web["password_file"] = "password"
    path.write_text(yaml.safe_dump(config))
    ran = run("node", "--check", path, "--json")
    assert ran.exit_code == 0, ran.lines
    assert {"pacs", "web"} < set(json.loads(ran.out))


def test_delivered_only_once_the_receiver_commits(
    orthanc: Orthanc, small_study: Path, small_bundle: Path, tmp_path: Path
) -> None:
    orthanc.empty()
    files = add_patient(small_study, tmp_path / "study", 2)
    destinations = [to(orthanc, commitment=True)]
    with node(tmp_path, segment={"bundle": str(small_bundle), "workers": 1}, destinations=destinations) as running:
        introduce(running, orthanc)
        assert running.store(files).returncode == 0
        wait_until(lambda: running.settled(1), 90)
        assert running.state()["deliveries"]["delivered"] == 1
        assert len(running.audit("sent")) == len(running.audit("committed")) == 1
        assert len(orthanc.instances()) == 2


def test_by_dicomweb_in_and_out(orthanc: Orthanc, small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    from dicomweb_client.api import DICOMwebClient

    orthanc.empty()
    files = add_patient(small_study, tmp_path / "study", 3)
    (tmp_path / "password").write_text(f"{orthanc.password}\n")
    out = {"name": "web", "kind": "stow", "url": f"{orthanc.address}/dicom-web", "user": orthanc.user,
           "password_file": str(tmp_path / "password")}  # fmt: skip
    config = {"segment": {"bundle": str(small_bundle), "workers": 1}, "destinations": [out],
              "web": {"port": 0, "stow": True}}  # fmt: skip
    with node(tmp_path, **config) as running:
        client = DICOMwebClient(f"http://{LOOPBACK}:{running.web_port}/dicom-web")
        datasets = [pydicom.dcmread(file) for file in files]
        answer = client.store_instances(datasets)
        assert {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence} == {
            dataset.SOPInstanceUID for dataset in datasets
        }
        assert "FailedSOPSequence" not in answer
        wait_until(lambda: running.settled(1), 90)
        assert len(orthanc.instances()) == 2


def test_stow_says_of_each_instance_whether_it_was_stored(
    small_study: Path, small_bundle: Path, tmp_path: Path
) -> None:
    from dicomweb_client.api import DICOMwebClient

    good, bad = (pydicom.dcmread(file) for file in add_patient(small_study, tmp_path / "study", 4)[:2])
    del bad.StudyInstanceUID
    with node(tmp_path, segment={"bundle": str(small_bundle)}, web={"port": 0, "stow": True}) as running:
        address = f"http://{LOOPBACK}:{running.web_port}/dicom-web"
        answer = DICOMwebClient(address).store_instances([good, bad])
        (stored,), (failed,) = answer.ReferencedSOPSequence, answer.FailedSOPSequence
        assert stored.ReferencedSOPInstanceUID == good.SOPInstanceUID
        assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == (bad.SOPInstanceUID, 0xC000)
        assert running.ask("/dicom-web/studies", {"no": "DICOM"}).status_code == 415


BOTH = [pydicom.uid.SegmentationStorage, pydicom.uid.Comprehensive3DSRStorage]


@pytest.mark.parametrize(
    ("classes", "status", "reason"),
    [(BOTH[1:], 0, "does not take Segmentation Storage"), (BOTH, 0xA700, "status 0xA700"), ([], 0, "takes nothing")],
)
def test_what_is_not_taken_lies_in_undelivered_until_it_is_sent_again(
    small_study: Path, small_bundle: Path, tmp_path: Path, classes: list[str], status: int, reason: str
) -> None:
    files = add_patient(small_study, tmp_path / "study", 5)
    pacs = Pacs(classes or [pydicom.uid.CTImageStorage], status)
    with sending_to(pacs, small_bundle, tmp_path) as running:
        assert running.store(files).returncode == 0
        wait_until(lambda: running.settled(1), 90)
        (lost,) = running.state()["undelivered"]
        assert lost["attempts"] == 3 and reason in lost["reason"]
        place = running.data / "undelivered" / lost["study"] / "pacs"
        assert {path.name for path in place.iterdir()} == {"segmentation.dcm", "measurements.dcm", "reason.txt"}
        assert reason in (place / "reason.txt").read_text()
        for uid in BOTH:
            pacs.entity.add_supported_context(uid)
        pacs.status = 0
        pacs.stop()
        pacs.start()
        ran = run("node", "resend", tmp_path / "node.yaml", "--json")
        assert json.loads(ran.out) == {"queued": 1}
        wait_until(lambda: running.settled(1) and not running.state()["undelivered"], 30)
        assert len(pacs.got) == 2
        assert not (running.data / "undelivered" / lost["study"]).exists()


@pytest.mark.parametrize(
    ("commitment", "reason"),
    [
        ("refuses", "does not take a request for storage commitment"),
        ("silent", "did not say in time that it keeps them"),
        ("fails", "does not keep 2 instances (0x0112)"),
    ],
)
def test_what_nobody_commits_to_keep_is_not_sent_for_ever(
    small_study: Path, small_bundle: Path, tmp_path: Path, commitment: str, reason: str
) -> None:
    pacs = Pacs(BOTH, commitment=commitment)
    with sending_to(pacs, small_bundle, tmp_path, commitment_wait_s=1 if commitment == "silent" else 60) as running:
        pacs.node_port = running.dicom_port
        assert running.store(add_patient(small_study, tmp_path / "study", 5)).returncode == 0
        wait_until(lambda: running.settled(1), 90)
        (lost,) = running.state()["undelivered"]
        assert lost["attempts"] == 3 and reason in lost["reason"]
        assert len(pacs.got) == 2 and not running.audit("delivered") and not running.audit("committed")
        assert (
            f"{reason}\nafter 3 attempts"
            in (running.data / "undelivered" / lost["study"] / "pacs" / "reason.txt").read_text()
        )


@contextmanager
def sending_to(pacs: Pacs, small_bundle: Path, folder: Path, commitment_wait_s: float = 60) -> Iterator[Node]:
    """A node that tries three times, quickly."""
    pacs.start()
    try:
        delivery = {"attempts": 3, "first_wait_s": 0.1, "longest_wait_s": 0.3, "commitment_wait_s": commitment_wait_s}
        config = {"segment": {"bundle": str(small_bundle), "workers": 1}, "destinations": [pacs.destination()],
                  "receive": {"port": 0, "callers": [CALLER, "PACS"]}, "delivery": delivery}  # fmt: skip
        with node(folder, **config) as running:
            yield running
    finally:
        pacs.stop()


def test_a_cluster_computes(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    with dask_cluster(tmp_path / "cluster", tls=True) as cluster:
        cluster.add_worker("w1", SCANWEAVE_SITE_KEY="tests")
        cluster.wait_for_workers(1)
        tls = {name: str(tmp_path / "cluster" / f"{name}.pem") for name in ("ca", "cert", "key")}
        segment = {"bundle": str(small_bundle), "scheduler": cluster.address, "scheduler_tls": tls}
        with node(tmp_path, segment=segment) as running:
            assert running.store(add_patient(small_study, tmp_path / "study", 6)).returncode == 0
            wait_until(lambda: running.settled(1), 120)
            assert running.state()["counts"]["done"] == 1
            cluster.stop_scheduler()
            assert running.store(add_patient(small_study, tmp_path / "second", 7)).returncode == 0
            wait_until(lambda: running.ask("/readyz").status_code == 503, 120)
            assert "SCHEDULER_UNREACHABLE" in running.ask("/readyz").text
            assert running.state()["counts"]["failed"] == 0, "no study is to blame"
