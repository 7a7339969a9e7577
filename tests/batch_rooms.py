"""Small studies for batches, the quick bundle that segments them, and what must hold of an OUT at any moment."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
from studies import WHOLE, console_script

from scanweave.pipeline.bundle import INFERENCE_CONFIG
from scanweave.pipeline.phantom_dicom import phantom_uid

WHOLE_IN_BATCH = WHOLE | {"thumbnail.jpg"}
NIFTI_IN_BATCH = WHOLE_IN_BATCH - {"segmentation.dcm", "measurements.dcm"}
BESIDE = {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "ledger.lock", "summary.csv", "index.html"}
ENDED = ("done", "refused", "failed")
PATIENCE = 5
"""How much longer a busy machine may take than an idle one."""


def add_patient(small_study: Path, folder: Path, number: int, *, flat: bool = False) -> list[Path]:
    """A copy of the small study as another patient's, in `folder`; `flat` among the files of others."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(small_study.glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            dataset[keyword].value = phantom_uid(0, "patient", number, dataset[keyword].value)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.PatientID = f"ID-4711-{number}"
        target = folder / (f"{number:04d}_{path.name}" if flat else path.name)
        dataset.save_as(target)
        written.append(target)
    return written


def with_faults(bundle: Path, target: Path) -> Path:
    """A copy of the quick bundle whose chain begins with `batch_faults.Fault`."""
    shutil.copytree(bundle, target)
    config = json.loads((target / INFERENCE_CONFIG).read_text())
    config["preprocessing"]["transforms"].insert(0, "$__import__('batch_faults').Fault()")
    (target / INFERENCE_CONFIG).write_text(json.dumps(config))
    return target


def states(out: Path) -> dict[str, str]:
    """State of each study by name, read beside whoever writes."""
    database = sqlite3.connect(f"file:{out / 'ledger.sqlite'}?mode=ro", uri=True, timeout=30)
    try:
        return dict(database.execute("SELECT name, state FROM studies").fetchall())
    finally:
        database.close()


def check_whole(out: Path, *, ended: bool) -> dict[str, str]:
    """What the ledger says is done is whole, and nothing else looks as if it were; the states.

    With `ended` nothing is left over, and every study has ended.
    """
    database = sqlite3.connect(out / "ledger.sqlite", timeout=30)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    names = [name for (name,) in database.execute("SELECT name FROM studies")]
    assert len(names) == len(set(names))
    database.close()
    found = states(out)
    done = {name for name, state in found.items() if state == "done"}
    folders = {path.name for path in out.iterdir() if path.is_dir() and not path.name.startswith(".scanweave-")}
    folders -= {"derivatives"}
    assert done <= folders, "done, but not there"
    for name in folders:
        assert {path.name for path in (out / name).iterdir()} in (WHOLE_IN_BATCH, NIFTI_IN_BATCH), (
            f"{name} is not whole"
        )
        assert json.loads((out / name / "result.json").read_text())["fingerprint"]
    if ended:
        assert set(found.values()) <= set(ENDED), found
        assert folders == done
        assert not [path.name for path in out.iterdir() if path.name.startswith(".")]
    return found


def marks(out: Path) -> dict[str, tuple[int, int]]:
    """(inode, time) of each result: a study that was done again has another."""
    found = [path for path in out.glob("*/result.json") if not path.parent.name.startswith(".")]  # is not whole yet
    return {path.parent.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def no_process_of(session: int) -> bool:
    """Whether every process of a session (setsid(2)) has ended."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                return False
    return True


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Look again and again; `seconds` are those of an idle machine."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def patience_s(study: Path, bundle: Path, out: Path) -> float:
    """Within how many seconds a study should be done, as fast as this machine is at present: ten times what one takes
    in a process of its own."""
    begin = time.monotonic()
    call = console_script("segment", study, "-o", out, "--bundle", bundle)
    subprocess.run(call, check=True, capture_output=True)
    return max(15.0, 10 * (time.monotonic() - begin))


def record_of(text: str) -> dict[str, Any]:
    """The document of `--json`."""
    record: dict[str, Any] = json.loads(text)
    return record
