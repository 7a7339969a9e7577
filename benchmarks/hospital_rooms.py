"""A hospital on loopback: patients, an Orthanc that has them, a node, and the line between the node and its PACS."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import pydicom
import requests
from batch_rooms import add_patient
from node_rooms import LOOPBACK, TITLE, Node
from orthanc_server import ITS_FRIEND, ITS_NAME, Orthanc, orthanc_server
from proof_rooms import SmallDisk
from studies import SECRETS, UID
from study_fixtures import make_small_bundle, make_small_study

from scanweave.pipeline.phantom_dicom import write_phantom_study

BAD_EVERY = 5
"""Each fifth study lacks a slice, and is refused."""


class Line(threading.Thread):
    """A TCP line to a port of this machine that can be cut."""

    def __init__(self, target: int) -> None:
        super().__init__(daemon=True)
        self.target, self.cut = target, threading.Event()
        self.server = socket.create_server((LOOPBACK, 0), backlog=64)
        self.port = int(self.server.getsockname()[1])
        self.open: list[socket.socket] = []

    def run(self) -> None:
        """Take calls until the process ends."""
        while True:
            near, _ = self.server.accept()
            if self.cut.is_set():
                near.close()
                continue
            far = socket.create_connection((LOOPBACK, self.target))
            self.open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()

    def hang_up(self) -> None:
        """Cut it, in the middle of whatever is said."""
        self.cut.set()
        for end in self.open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.open.clear()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@dataclass
class Hospital:
    """Everything, and a lock around the node that may be killed at any moment."""

    folder: Path
    node: Node
    orthanc: Orthanc
    line: Line
    patients: list[list[Path]]
    kills: int = 0
    disk: SmallDisk | None = None
    turn: threading.RLock = field(default_factory=threading.RLock)
    sent: set[str] = field(default_factory=set)

    def ensure_running(self) -> None:
        """Start the node where it does not run."""
        with self.turn:
            if self.node.process is None or self.node.process.poll() is not None:
                self.node.start()

    def send_all(self, senders: int) -> None:
        """Have Orthanc send every study, so many at once, each until it was acknowledged as a whole."""
        self.ensure_running()
        self.orthanc.ask(f"/modalities/{ITS_FRIEND}", "PUT", [TITLE, LOOPBACK, self.node.dicom_port])
        studies = self.orthanc.ask("/studies")
        with ThreadPoolExecutor(senders) as pool:
            list(pool.map(self._send, studies))

    def _send(self, study: str) -> None:
        while True:
            try:
                self.orthanc.ask(f"/modalities/{ITS_FRIEND}/store", "POST", {"Resources": [study], "Timeout": 30})
                self.sent.add(study)
                return
            except requests.RequestException:
                self.ensure_running()
                time.sleep(0.3)

    def is_busy(self) -> bool:
        """Whether anything still waits; a node that is down has what it had."""
        with suppress(requests.RequestException, KeyError):
            return not self.node.settled(len(self.sent))
        return True

    def wait_until_quiet(self, patience_s: float) -> None:
        """Until every study has ended and every result was delivered."""
        deadline = time.monotonic() + patience_s
        while self.is_busy():
            assert time.monotonic() < deadline, f"never quiet: {json.dumps(self.node.state())[:2000]}"
            time.sleep(0.5)

    def times_without_room(self) -> int:
        """How often the node has said so."""
        files = [path for path in (self.node.log, self.node.data / "audit.jsonl") if path.exists()]
        return sum(path.read_text().count("disk nearly full") for path in files)

    def count(self) -> dict[str, int]:
        """Of the ledger (each study's latest version), the disks, Orthanc and the logs."""
        import sqlite3

        database = sqlite3.connect(f"file:{self.node.data / 'ledger.sqlite'}?mode=ro", uri=True)
        latest = "SELECT study, max(number) number FROM versions GROUP BY study"
        query = (
            f"SELECT s.state, count(*) FROM ({latest}) JOIN versions v USING (study, number) "
            "JOIN studies s USING (name) GROUP BY s.state"
        )
        states = dict(database.execute(query).fetchall())
        database.close()
        results = _uids(self.node.data.glob("results/*/*.dcm"))
        given = {uid for files in self.patients for uid in _uids(files)}
        found = {item["MainDicomTags"]["SOPInstanceUID"] for item in self.orthanc.ask("/instances?expand")} - given
        done = [entry["study"] for entry in self.node.audit("ended") if entry["state"] == "done"]
        said = self.node.log.read_text() + (self.node.data / "audit.jsonl").read_text()
        half = [path for path in self.node.data.rglob("*") if path.name.endswith(".part") or ".scanweave-" in path.name]
        return {
            "sent": len(self.sent),
            "done": states.get("done", 0),
            "refused": states.get("refused", 0),
            "failed": states.get("failed", 0),
            "results_expected": len(results),
            "results_in_orthanc": len(found & results),
            "duplicates": len(found - results) + len(done) - len(set(done)),
            "half_files": len(half),
            "times_without_room": self.times_without_room(),
            "identifiers_in_logs": sum(secret in said for secret in SECRETS) + len(UID.findall(said)),
        }


def _uids(files: Iterable[Path]) -> set[str]:
    tags = ["SOPInstanceUID"]
    return {str(pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags).SOPInstanceUID) for file in files}


@contextmanager
def hospital(folder: Path, studies: int, seed: int) -> Iterator[Hospital]:
    """One with so many patients, whose images Orthanc has."""
    small = make_small_study(write_phantom_study(folder / "phantom", seed=seed), folder / "small")
    bundle = make_small_bundle(folder / "quick")
    patients = []
    for number in range(studies):
        files = add_patient(small, folder / "patients" / f"{number:05d}", number)
        if number % BAD_EVERY == BAD_EVERY - 1:
            files.pop(12).unlink()
        patients.append(files)
    (folder / "orthanc").mkdir()
    with orthanc_server(folder / "orthanc") as orthanc:
        for files in patients:
            orthanc.upload(files)
        line = Line(orthanc.dicom_port)
        line.start()
        pacs = {"kind": "dicom", "name": "pacs", "ae_title": ITS_NAME, "host": LOOPBACK, "port": line.port}
        node = Node(folder / "node", segment={"bundle": str(bundle), "workers": 2}, destinations=[pacs],
                    taking={"quiet_s": 20, "complete_quiet_s": 2},
                    delivery={"attempts": 1000, "first_wait_s": 0.5, "longest_wait_s": 5})  # fmt: skip
        place = Hospital(folder, node, orthanc, line, patients)
        try:
            yield place
        finally:
            if node.process is not None and node.process.poll() is None:
                node.kill()
            shutil.rmtree(folder / "patients", ignore_errors=True)
