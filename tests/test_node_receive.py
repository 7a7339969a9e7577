"""What comes in: who may send, what is acknowledged is on the disk, and nothing is done twice."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
from batch_rooms import add_patient, wait_until
from dask_cluster import make_certificate
from node_rooms import CALLER, LOOPBACK, TITLE, Node, node
from pynetdicom import AE
from pynetdicom.sop_class import MRImageStorage  # type: ignore[attr-defined]

pytest_plugins = ["study_fixtures"]
TAKEN_WHOLE = {"quiet_s": 900, "complete_quiet_s": 2}


def quick(small_bundle: Path) -> dict[str, object]:
    return {"segment": {"bundle": str(small_bundle), "workers": 1}}


def kept(running: Node) -> int:
    return len(list(running.data.glob("incoming/*/*.dcm")))


def test_who_may_send_and_what(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    files = add_patient(small_study, tmp_path / "study", 1)[:2]
    config = {"receive": {"port": 0, "callers": [CALLER], "called": ["OTHER"], "max_associations": 1}}
    with node(tmp_path, **quick(small_bundle), **config) as running:
        assert running.store(files[:1]).returncode == 0
        wait_until(lambda: running.state()["associations"] == 0)  # it may still be closing the last one
        assert "Rejected" in running.store(files, title="STRANGER").stderr, "a title that is not on the list"
        entity = AE(CALLER)
        entity.add_requested_context(MRImageStorage)
        wrong = entity.associate(LOOPBACK, running.dicom_port, ae_title="NOBODY")
        assert wrong.is_rejected, "and one that is not its own"
        wait_until(lambda: running.state()["associations"] == 0)
        known = entity.associate(LOOPBACK, running.dicom_port, ae_title="OTHER")
        assert known.is_established
        second = entity.associate(LOOPBACK, running.dicom_port, ae_title=TITLE)
        assert second.is_rejected, "one more than it takes at once"
        broken = pydicom.dcmread(files[1])
        del broken.StudyInstanceUID
        assert known.send_c_store(broken).Status == 0xC000
        assert known.send_c_store(pydicom.dcmread(files[1])).Status == 0
        known.release()
        assert kept(running) == 2
        assert len(running.audit("rejected")) == 3 and len(running.audit("refused")) == 1


def test_a_disk_that_is_nearly_full(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    files = add_patient(small_study, tmp_path / "study", 1)
    with node(tmp_path, **quick(small_bundle), disk={"least_free_gb": 1e9}) as running:
        assert "Rejected" in running.store(files).stderr
        assert kept(running) == 0
        ready = running.ask("/readyz")
        assert ready.status_code == 503 and "disk" in ready.text
        assert running.ask("/healthz").status_code == 200


def test_two_studies_interleaved_and_sent_twice_at_once(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    studies = [add_patient(small_study, tmp_path / f"study-{n}", n) for n in range(2)]
    mixed = [file for pair in zip(*studies, strict=True) for file in pair]
    with node(tmp_path, **quick(small_bundle)) as running:
        with ThreadPoolExecutor(8) as pool:
            sent = list(pool.map(running.store, [mixed] * 4 + [mixed[::-1]] * 4))
        assert all(one.returncode == 0 for one in sent)
        assert kept(running) == len(mixed)
        wait_until(lambda: running.settled(2), 90)
        assert running.state()["counts"]["done"] == 2
        assert running.store(mixed).returncode == 0
        wait_until(lambda: running.settled(2), 30)
        assert running.state()["counts"]["done"] == 2, "what is known already is not done again"


def test_what_was_acknowledged_survives_a_kill(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    files = add_patient(small_study, tmp_path / "study", 1)
    with node(tmp_path, **quick(small_bundle), taking=TAKEN_WHOLE) as running:
        entity = AE(CALLER)
        entity.add_requested_context(MRImageStorage)
        association = entity.associate(LOOPBACK, running.dicom_port, ae_title=TITLE)
        acknowledged = 0
        for file in files[:10]:
            acknowledged += association.send_c_store(file).Status == 0
        running.kill()
        association.abort()
        (running.data / "incoming" / next((running.data / "incoming").iterdir()) / ".x.dcm.1.part").write_bytes(b"half")
        running.start()
        assert kept(running) == acknowledged == 10
        assert not list(running.data.glob("incoming/*/.*")), "what was not acknowledged is gone"
        assert running.store(files).returncode == 0
        wait_until(lambda: running.settled(1), 90)
        assert running.state()["counts"]["done"] == 1


def test_late_instances_make_a_new_result_that_names_the_old_one(
    small_study: Path, small_bundle: Path, tmp_path: Path
) -> None:
    files = add_patient(small_study, tmp_path / "study", 1)
    late = [file for file in files if file.name.startswith("post")]
    with node(tmp_path, **quick(small_bundle), taking={"quiet_s": 4, "complete_quiet_s": 2}) as running:
        assert running.store([file for file in files if file not in late]).returncode == 0
        wait_until(lambda: running.settled(1), 90)
        assert running.store(late).returncode == 0
        wait_until(lambda: running.settled(2), 90)
        first, second = sorted((running.data / "results").iterdir(), key=lambda folder: len(folder.name))
        older, newer = (pydicom.dcmread(folder / "measurements.dcm") for folder in (first, second))
        assert second.name == f"{first.name}-2" and "PredecessorDocumentsSequence" not in older
        (study,) = newer.PredecessorDocumentsSequence
        named = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        assert named == older.SOPInstanceUID != newer.SOPInstanceUID


def test_never_complete_is_reported(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    files = [file for file in add_patient(small_study, tmp_path / "study", 1) if not file.name.startswith("flair")]
    with node(tmp_path, **quick(small_bundle), taking=TAKEN_WHOLE) as running:
        assert running.store(files).returncode == 0
        (arriving,) = running.state()["arriving"]
        assert arriving["images"] == len(files)
        assert running.ask("/api/force", {"study": arriving["study"]}).json() == {"done": True}
        wait_until(lambda: running.settled(1), 60)
        (troubled,) = running.state()["troubled"]
        assert (troubled["state"], troubled["code"]) == ("refused", "NO_FLAIR")
        assert 'scanweave_studies_ended_total{code="NO_FLAIR",state="refused"} 1.0' in running.ask("/metrics").text
        assert kept(running) == len(files), "its instances stay"


def test_sigterm_lets_what_has_begun_end(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    files = add_patient(small_study, tmp_path / "study", 1)
    with node(tmp_path, **quick(small_bundle)) as running:
        assert running.store(files).returncode == 0
        wait_until(lambda: running.audit("begun"))
        assert running.stop() == 0
        (folder,) = (running.data / "results").iterdir()
        assert (folder / "result.json").exists()
        running.start()
        assert running.state()["counts"] == {"queued": 0, "running": 0, "done": 1, "refused": 0, "failed": 0}


def test_only_with_a_certificate(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    files = add_patient(small_study, tmp_path / "study", 1)[:2]
    make_certificate(tmp_path)
    tls = {name: str(tmp_path / f"{name}.pem") for name in ("cert", "key", "ca")}
    with node(tmp_path, **quick(small_bundle), receive={"port": 0, "callers": [CALLER], "tls": tls}) as running:
        assert running.store(files).returncode != 0, "without TLS"
        options = ["+tls", tls["key"], tls["cert"], "+cf", tls["ca"]]
        assert running.store(files, options=["+tla", "+cf", tls["ca"]]).returncode != 0, "without a certificate"
        ran = running.store(files, options=options)
        assert ran.returncode == 0, ran.stderr
        assert kept(running) == 2


def test_input_is_removed_once_everything_is_delivered(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    good = add_patient(small_study, tmp_path / "good", 1)
    bad = add_patient(small_study, tmp_path / "bad", 2)
    bad.pop(12)
    config = {**quick(small_bundle), "keep": {"input_days": 0, "results_days": 0}, "taking": TAKEN_WHOLE}
    with node(tmp_path, **config) as running:
        assert running.store([*good, *bad]).returncode == 0
        (waiting,) = [item["study"] for item in running.state()["arriving"] if item["images"] == len(bad)]
        running.ask("/api/force", {"study": waiting})
        wait_until(lambda: running.settled(2), 90)
        wait_until(lambda: kept(running) == len(bad), 90)
        # Nobody wants the results, and they need not be kept.
        wait_until(lambda: not list((running.data / "results").iterdir()), 60)
        assert running.store(good).returncode == 0
        wait_until(lambda: running.audit("known already"), 60)
        assert running.state()["counts"]["done"] == 1, "it is not done again"
