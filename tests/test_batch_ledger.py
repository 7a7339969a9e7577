"""The ledger: every change is whole and durable, what a killed batch left is taken up, and OUT has one owner."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from studies import run, without_privilege

from scanweave.errors import Code, EnvironmentFailure
from scanweave.pipeline.batch import ledger as ledger_module
from scanweave.pipeline.batch.entry import Entry, Outcome, State
from scanweave.pipeline.batch.ledger import Ledger
from scanweave.pipeline.batch.ledger_file import LEDGER_FILE
from scanweave.pipeline.batch.owner import become_owner, give_up_ownership, locked

DONE = Outcome(State.DONE, result={"volume_ml": 1.5})
REFUSED = Outcome(State.REFUSED, Code.NO_FLAIR, "none is a FLAIR")


def entries(count: int) -> list[Entry]:
    return [Entry(f"s{n}", f"/data/{n}", fingerprint="a") for n in range(count)]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path, writing=True)
    made.store_entries(1, entries(3))
    return made


def names(rows: list) -> list[str]:
    return [row.entry.name for row in rows]


def test_a_study_goes_from_queued_to_its_end(ledger: Ledger, tmp_path: Path) -> None:
    first, second = ledger.lease(2)
    assert names([first, second]) == ["s0", "s1"]
    assert ledger.counts()[State.RUNNING] == 2 and ledger.counts()[State.QUEUED] == 1
    ledger.end("s0", DONE)
    ledger.end("s1", REFUSED)
    ledger.close()
    again = Ledger(tmp_path, writing=False)
    row = again.row("s0")
    assert row and (row.state, row.attempts, row.result) == (State.DONE, 1, {"volume_ml": 1.5})
    row = again.row("s1")
    assert row and (row.state, row.code, row.message) == (State.REFUSED, "NO_FLAIR", "none is a FLAIR")
    assert {str(state): n for state, n in again.counts().items()} == {
        "queued": 1, "running": 0, "done": 1, "refused": 1, "failed": 0}  # fmt: skip


def test_wal_and_full_synchrony(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger._database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert ledger._database.execute("PRAGMA synchronous").fetchone()[0] == 2, "FULL: a commit outlives the power"
    assert (tmp_path / LEDGER_FILE).stat().st_mode & 0o777 == 0o600, "paths of studies may name patients"


def test_what_ran_when_its_batch_died_runs_again_behind_the_others(ledger: Ledger) -> None:
    ledger.lease(1)
    ledger.take_up()
    assert names(ledger.lease(3)) == ["s1", "s2", "s0"], "a study that kills the machine does not hold up the others"
    row = ledger.row("s0")
    assert row and (row.attempts, row.interrupted) == (1, 1), "to be killed with its batch is no fault of its own"


def test_given_back_untried_is_no_attempt(ledger: Ledger) -> None:
    ledger.lease(1)
    ledger.give_back()
    assert ledger.attempts("s0") == 0
    ledger.lease(1)
    ledger.try_again("s0")
    assert ledger.attempts("s0") == 1
    assert ledger.counts()[State.QUEUED] == 3


def test_a_changed_study_is_queued_again_and_a_known_one_is_not(ledger: Ledger) -> None:
    ledger.lease(3)
    for name in ("s0", "s1", "s2"):
        ledger.end(name, DONE)
    ledger.store_entries(2, [replace(entries(1)[0], fingerprint="b"), *entries(4)[1:]])
    assert [row.entry.name for row in ledger.rows((State.QUEUED,))] == ["s0", "s3"]
    row = ledger.row("s0")
    assert row and row.attempts == 0 and row.result == {}, "of what it was nothing is left"


def test_what_is_gone_leaves_the_queue_and_stays_on_record(ledger: Ledger) -> None:
    ledger.lease(1)
    ledger.end("s0", DONE)
    ledger.store_entries(2, entries(2)[1:])
    assert ledger.forget_unseen(2) == 1
    assert [row.entry.name for row in ledger.rows()] == ["s0", "s1"]


def test_requeue_takes_only_what_ended_so(ledger: Ledger) -> None:
    ledger.lease(3)
    ledger.end("s0", DONE)
    ledger.end("s1", REFUSED)
    ledger.end("s2", Outcome(State.FAILED, Code.CRASHED, "died"))
    assert ledger.requeue([State.FAILED]) == 1
    assert [row.state for row in ledger.rows()] == [State.DONE, State.REFUSED, State.QUEUED]


def test_lease_and_abandonment(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.lease(1)
    row = ledger.row("s0")
    assert row and not row.abandoned
    now = time.time()
    monkeypatch.setattr(ledger_module.time, "time", lambda: now + ledger_module.LEASE_S + 1)
    assert row.abandoned
    ledger.heartbeat()
    row = ledger.row("s0")
    assert row and not row.abandoned


def test_a_change_is_whole_or_not_at_all(ledger: Ledger) -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield Entry("s8", "/data/8", fingerprint="a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.store_entries(2, broken())
    assert ledger.row("s8") is None
    assert ledger.counts()[State.QUEUED] == 3


def test_file_names_of_any_bytes(ledger: Ledger) -> None:
    name = os.fsdecode(b"/data/M\xfcller.dcm")
    ledger.store_files(1, [(name, 5, 7, "dicom", "key")])
    assert ledger.unchanged_files(2, [(name, 5, 7), (name + "x", 5, 7)]) == {name}
    assert ledger.unchanged_files(2, [(name, 6, 7)]) == set(), "another size is another file"
    assert list(ledger.files()) == [(name, 5, 7, "dicom", "key")]
    ledger.forget_files(2)
    assert len(list(ledger.files())) == 1
    ledger.forget_files(3)
    assert not list(ledger.files())
    ledger.store_entries(1, [Entry("odd", name, (name,), fingerprint="a")])
    row = ledger.row("odd")
    assert row and row.entry.path == name and row.entry.files == (name,)


def test_others_read_while_one_writes(ledger: Ledger, tmp_path: Path) -> None:
    ledger.lease(1)
    ran = run("ledger", tmp_path, "--json")
    assert ran.exit_code == 0
    assert json.loads(ran.out)["counts"] == {"queued": 2, "running": 1, "done": 0, "refused": 0, "failed": 0}


def test_read_from_a_folder_that_may_not_be_written(ledger: Ledger, tmp_path: Path) -> None:
    ledger.lease(1)
    ledger.end("s0", REFUSED)
    ledger.close()
    (tmp_path / "ledger.lock").unlink(missing_ok=True)
    tmp_path.chmod(0o555)
    (tmp_path / LEDGER_FILE).chmod(0o444)
    command = [sys.executable, "-m", "scanweave", "ledger", str(tmp_path), "--failed"]
    ran = subprocess.run(without_privilege(*command), capture_output=True, text=True, check=False)
    tmp_path.chmod(0o755)
    assert ran.returncode == 0, ran.stderr
    assert "s0  refused  NO_FLAIR  none is a FLAIR" in ran.stdout


def test_show_and_failed(ledger: Ledger, tmp_path: Path) -> None:
    ledger.lease(2)
    ledger.end("s0", REFUSED)
    shown = run("ledger", tmp_path, "--show", "s0")
    assert "code             NO_FLAIR" in shown.out and "path             /data/0" in shown.out
    listed = run("ledger", tmp_path, "--failed")
    assert "s0  refused  NO_FLAIR" in listed.out and "s1" not in listed.out
    counted = run("ledger", tmp_path)
    assert counted.out.splitlines()[0] == "3 studies: 1 queued, 1 running, 1 refused"
    assert counted.out.splitlines()[1].split() == ["1", "NO_FLAIR"]
    unknown = run("ledger", tmp_path, "--show", "s9")
    assert (unknown.exit_code, unknown.codes) == (3, ["INPUT_NOT_FOUND"])


@pytest.mark.parametrize("content", [b"no database at all, only words " * 200, b""])
def test_what_is_no_ledger(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LEDGER_FILE).write_bytes(content)
    ran = run("ledger", tmp_path)
    assert (ran.exit_code, ran.codes) == (5, ["LEDGER_INVALID"])
    assert (tmp_path / LEDGER_FILE).read_bytes() == content


def test_no_ledger_there_and_a_newer_one(tmp_path: Path, ledger: Ledger) -> None:
    (tmp_path / "empty").mkdir()
    ran = run("ledger", tmp_path / "empty")
    assert (ran.exit_code, ran.codes) == (5, ["LEDGER_INVALID"])
    assert not any((tmp_path / "empty").iterdir()), "to read makes nothing"
    ledger.close()
    database = sqlite3.connect(tmp_path / LEDGER_FILE)
    database.execute("PRAGMA user_version = 99")
    database.close()
    for writing in (True, False):
        with pytest.raises(EnvironmentFailure, match="version 1, found 99"):
            Ledger(tmp_path, writing=writing)


def test_a_full_disk_is_said_so(ledger: Ledger) -> None:
    ledger._database.execute("PRAGMA max_page_count = 12")
    with pytest.raises(EnvironmentFailure, match="DISK_FULL"):
        ledger.store_entries(2, [Entry(f"s{n}", "/data/" + "x" * 500, fingerprint="a") for n in range(1000)])
    ledger._database.execute("PRAGMA max_page_count = 4294967294")
    assert ledger.counts()[State.QUEUED] == 3, "nothing of it is there"
    ledger.store_entries(2, entries(5))


def test_one_owner(tmp_path: Path) -> None:
    with locked(tmp_path):
        program = (
            "import sys; from pathlib import Path; from scanweave.pipeline.batch.owner import locked\n"
            "with locked(Path(sys.argv[1])): pass\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert "error[OUTPUT_IN_USE]" in ran.stderr
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


def test_an_owner_on_another_host(ledger: Ledger, tmp_path: Path) -> None:
    held = {"host": "elsewhere", "pid": 1, "at": time.time()}
    ledger.store_fact("owner", json.dumps(held))
    with pytest.raises(EnvironmentFailure, match=r"OUTPUT_IN_USE.*elsewhere"):
        become_owner(ledger, tmp_path)
    ledger.store_fact("owner", json.dumps({**held, "at": time.time() - 1000}))
    become_owner(ledger, tmp_path)
    give_up_ownership(ledger)
    assert ledger.fact("owner") == "{}"


def test_a_copy_of_the_ledger_is_a_ledger(ledger: Ledger, tmp_path: Path) -> None:
    ledger.close()
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / LEDGER_FILE, tmp_path / "copy")
    assert Ledger(tmp_path / "copy", writing=False).counts()[State.QUEUED] == 3
