"""A batch from the command line: what is done, refused and failed; once, again, and after whatever went wrong."""

import csv
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from batch_faults import FAULT_FILE
from batch_rooms import (
    BESIDE,
    PATIENCE,
    add_patient,
    check_whole,
    marks,
    no_process_of,
    patience_s,
    record_of,
    states,
    wait_until,
    with_faults,
)
from external_tools import run_tool
from studies import SECRETS, UID, Ran, console_script, run, tree, uid_of, write_nifti_study

from scanweave import BatchSettings, SegmentSettings, batch
from scanweave.pipeline.identity import pseudonym

pytest_plugins = ["study_fixtures"]


@pytest.fixture(scope="module")
def mixed(small_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good studies, one without a FLAIR, a damaged one, a broken archive; tests only read it."""
    root = tmp_path_factory.mktemp("mixed") / "root"
    for n in range(3):
        add_patient(small_study, root / f"good-{n}", n)
    for path in add_patient(small_study, root / "no-flair", 3):
        if path.name.startswith("flair"):
            path.unlink()
    damaged = add_patient(small_study, root / "damaged", 4)[12]
    damaged.write_bytes(damaged.read_bytes()[:-500])
    (root / "broken.zip").write_bytes(b"PK\x03\x04")
    return root


@pytest.fixture(scope="module")
def done(mixed: Path, small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """The batch of `mixed`; tests only read it."""
    out = tmp_path_factory.mktemp("mixed-out") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCANWEAVE_SITE_KEY", "tests")
        return out, run("batch", mixed, "-o", out, "--bundle", small_bundle, "--workers", 2, "--json")


def test_good_ones_are_done_and_bad_ones_refused(done: tuple[Path, Ran], mixed: Path) -> None:
    out, ran = done
    assert (ran.exit_code, ran.lines) == (4, ())
    record = record_of(ran.out)
    counts = {name: record[name] for name in ("studies", "queued", "running", "done", "refused", "failed")}
    assert counts == {"studies": 6, "queued": 0, "running": 0, "done": 3, "refused": 3, "failed": 0}
    assert record["network_span_s"] >= record["network_busy_s"] > 0
    found = check_whole(out, ended=True)
    for n in range(3):
        name = pseudonym(uid_of(next((mixed / f"good-{n}").glob("*.dcm")), "StudyInstanceUID"))
        assert found[name] == "done"
    with (out / "summary.csv").open() as stream:
        rows = {row["study"]: row for row in csv.DictReader(stream)}
    assert sorted(row["code"] for row in rows.values()) == ["", "", "", "BAD_ARCHIVE", "NO_FLAIR", "TRUNCATED"]
    assert {path.name for path in out.iterdir() if path.is_file()} <= BESIDE
    ledger = run("ledger", out)
    assert ledger.out.splitlines()[0] == "6 studies: 3 done, 3 refused"


def test_no_identifiers_outside_of_dicom(done: tuple[Path, Ran]) -> None:
    out, ran = done
    shown = [ran.out, *tree(out), (out / "summary.csv").read_text(), (out / "index.html").read_text()]
    shown += [path.read_text() for path in out.glob("*/result.json")]
    assert not any(secret in text for secret in SECRETS for text in shown)
    assert not any(UID.search(text) for text in shown)


def test_same_voxels_as_segment(done: tuple[Path, Ran], mixed: Path, small_bundle: Path, tmp_path: Path) -> None:
    assert run("segment", mixed / "good-0", "-o", tmp_path, "--bundle", small_bundle).exit_code == 0
    (alone,) = tmp_path.iterdir()
    together = done[0] / alone.name
    for name in ("segmentation.nii.gz", "segmentation.dcm"):
        one, other = (folder / name for folder in (alone, together))
        if name.endswith(".gz"):
            assert np.array_equal(np.asarray(nib.load(one).dataobj), np.asarray(nib.load(other).dataobj))
        else:
            assert uid_of(one, "SOPInstanceUID") == uid_of(other, "SOPInstanceUID")
    one, other = (json.loads((folder / "result.json").read_text()) for folder in (alone, together))
    for key in ("roles", "registration", "volume_ml", "components", "weights", "settings", "warnings"):
        assert one[key] == other[key]


def test_again_nothing_is_done_twice(done: tuple[Path, Ran], mixed: Path, small_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    before = marks(out)
    ran = run("batch", mixed, "-o", out, "--bundle", small_bundle, "--workers", 1)
    assert ran.exit_code == 4
    assert marks(out) == before
    assert ran.out.splitlines()[0] == "6 studies: 3 done, 3 refused"
    assert ran.lines[-1] == "scanweave: 6 of 6 studies: 3 done, 3 refused"


def test_new_changed_and_mended_studies(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    for n in range(2):
        add_patient(small_study, root / f"{n}", n)
    (root / "1" / "flair_04.dcm").rename(tmp_path / "kept.dcm")
    call = ["batch", root, "-o", out, "--bundle", small_bundle, "--workers", 1, "--json"]
    assert record_of(run(*call).out)["refused"] == 1
    before = marks(out)
    add_patient(small_study, root / "2", 2)
    (tmp_path / "kept.dcm").rename(root / "1" / "flair_04.dcm")
    ran = run(*call)
    assert ran.exit_code == 0 and record_of(ran.out)["done"] == 3
    assert before.items() <= marks(out).items()
    changed = root / "0" / "flair_00.dcm"
    os.utime(changed)
    run(*call)
    name = pseudonym(uid_of(changed, "StudyInstanceUID"))
    after = marks(out)
    assert after[name] != before[name] and len(after) == 3, "a changed study replaces its result"


def test_other_settings_or_studies_want_another_out(done: tuple[Path, Ran], mixed: Path, small_bundle: Path) -> None:
    out, _ = done
    before = tree(out)
    for arguments, word in (
        ([mixed, "--components", "all"], "components"),
        ([mixed, "--outputs", "nifti"], "outputs"),
        ([mixed / "good-0"], "ROOT"),
    ):
        ran = run("batch", *arguments, "-o", out, "--bundle", small_bundle)
        assert (ran.exit_code, ran.codes) == (2, ["USAGE"])
        assert word in ran.lines[0]
    assert {name: what for name, what in tree(out).items() if not name.startswith("ledger")} == {
        name: what for name, what in before.items() if not name.startswith("ledger")
    }


def test_results_of_segment_are_not_replaced(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    add_patient(small_study, root / "0", 0)
    assert run("segment", root / "0", "-o", out, "--bundle", small_bundle).exit_code == 0
    before = marks(out)
    call = ["batch", root, "-o", out, "--bundle", small_bundle, "--workers", 1]
    assert run(*call).exit_code == 4
    assert "OUTPUT_EXISTS" in run("ledger", out, "--failed").out
    assert marks(out) == before
    assert run(*call, "--overwrite", "--retry-refused").exit_code == 0
    assert marks(out) != before


def test_retry(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    bundle = with_faults(small_bundle, tmp_path / "quick")
    add_patient(small_study, root / "0", 0)
    (root / "0" / FAULT_FILE).write_text("raise")
    call = ["batch", root, "-o", out, "--bundle", bundle, "--workers", 1, "--json"]
    assert record_of(run(*call).out)["failed"] == 1
    ((name, _),) = states(out).items()
    assert "INTERNAL" in run("ledger", out, "--show", name).out
    assert record_of(run(*call).out)["failed"] == 1, "what has failed stays so until somebody says otherwise"
    config = bundle / "configs" / "inference.json"
    config.write_text(config.read_text().replace("$__import__('batch_faults').Fault()", "$lambda study: study"))
    ran = run(*call, "--retry-failed")
    assert (ran.exit_code, record_of(ran.out)["done"]) == (0, 1)


@pytest.mark.parametrize("once", [False, True])
def test_a_crash_and_a_hang_among_good_studies(
    small_study: Path, small_bundle: Path, tmp_path: Path, once: bool
) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    bundle = with_faults(small_bundle, tmp_path / "quick")
    kinds = ("crash", "exit", "hang", "grow")
    names = {}
    for n in range(6):
        files = add_patient(small_study, root / f"{n}", n)
        if n < len(kinds):
            (root / f"{n}" / FAULT_FILE).write_text(f"{kinds[n]} once" if once else kinds[n])
            names[kinds[n]] = pseudonym(uid_of(files[0], "StudyInstanceUID"))
    minutes = patience_s(small_study, small_bundle, tmp_path / "once") / 60
    ran = run("batch", root, "-o", out, "--bundle", bundle, "--workers", 2, "--json",
              "--timeout", minutes, "--memory", 1.5)  # fmt: skip
    record = record_of(ran.out)
    found = check_whole(out, ended=True)
    if once:
        assert (ran.exit_code, record["done"]) == (0, 6), "a second attempt in a fresh process"
        return
    assert (ran.exit_code, record["done"], record["failed"]) == (4, 2, 4)
    codes = {
        kind: json.loads(run("ledger", out, "--show", name, "--json").out)["study"] for kind, name in names.items()
    }
    assert {kind: shown["code"] for kind, shown in codes.items()} == {
        "crash": "CRASHED", "exit": "CRASHED", "hang": "TIMED_OUT", "grow": "OUT_OF_MEMORY"}  # fmt: skip
    assert {shown["attempts"] for shown in codes.values()} == {2}
    assert all(found[name] == "failed" for name in names.values())


def test_what_every_study_needs_ends_the_batch(mixed: Path, small_bundle: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "quick"
    shutil.copytree(small_bundle, bundle)
    weights = next((bundle / "models").iterdir())
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    ran = run("batch", mixed, "-o", tmp_path / "out", "--bundle", bundle, "--workers", 1, "--json")
    assert (ran.exit_code, ran.codes) == (5, ["WEIGHTS_ALTERED"])
    assert set(states(tmp_path / "out").values()) <= {"queued", "refused"}, "no study is to blame"


def shown_in(out: Path, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(run("ledger", out, "--show", name, "--json").out)["study"]
    return shown


def start(*arguments: object, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        console_script("batch", *arguments), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment}, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip


def runs(out: Path) -> bool:
    try:
        return "running" in states(out).values()
    except Exception:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_goes_on(
    small_study: Path, small_bundle: Path, tmp_path: Path, number: signal.Signals
) -> None:
    root, out, temporary = tmp_path / "root", tmp_path / "out", tmp_path / "tmp"
    temporary.mkdir()
    for n in range(6):
        add_patient(small_study, root / f"{n}", n)
    call = [root, "-o", out, "--bundle", small_bundle, "--workers", 2]
    process = start(*call, cwd=tmp_path, TMPDIR=str(temporary))
    wait_until(lambda: runs(out))
    # A terminal's Ctrl-C reaches every process of the group, a queue's SIGTERM the one that it started.
    os.killpg(process.pid, number) if number is signal.SIGINT else process.send_signal(number)
    _, errors = process.communicate(timeout=30 * PATIENCE)
    assert process.returncode == 130
    assert "Traceback" not in errors
    found = check_whole(out, ended=False)
    assert "running" not in found.values(), "the queue has them back"
    assert not any(temporary.iterdir())
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    ran = run("batch", *call, "--json")
    assert (ran.exit_code, record_of(ran.out)["done"]) == (0, 6)
    assert {shown_in(out, name)["attempts"] for name in found} == {1}, "to be stopped is no attempt"


def test_two_batches_do_not_share_an_out(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    for n in range(5):
        add_patient(small_study, root / f"{n}", n)
    call = [root, "-o", out, "--bundle", small_bundle, "--workers", 1]
    first = start(*call, "--json", cwd=tmp_path)
    wait_until(lambda: runs(out))
    second = run("batch", *call)
    assert (second.exit_code, second.codes) == (5, ["OUTPUT_IN_USE"])
    printed, errors = first.communicate(timeout=120 * PATIENCE)
    assert (first.returncode, record_of(printed)["done"]) == (0, 5), errors
    check_whole(out, ended=True)


def test_killed_it_leaves_no_process_behind(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    root, out, temporary = tmp_path / "root", tmp_path / "out", tmp_path / "tmp"
    temporary.mkdir()
    for n in range(6):
        add_patient(small_study, root / f"{n}", n)
    call = [root, "-o", out, "--bundle", small_bundle, "--workers", 2]
    process = start(*call, cwd=tmp_path, TMPDIR=str(temporary))
    wait_until(lambda: runs(out))
    process.kill()
    process.communicate()
    wait_until(lambda: no_process_of(process.pid), 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(temporary))
        patch.setenv("TMPDIR", str(temporary))
        ran = run("batch", *call, "--json")
    assert ran.exit_code == 0, ran.lines
    assert record_of(ran.out)["done"] == 6
    check_whole(out, ended=True)
    assert not any(temporary.iterdir()), "what the killed one left in the temporary folder is gone too"


def test_bids_derivatives(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    files = write_nifti_study(small_study, tmp_path / "nifti")
    (root / "sub-01" / "anat").mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.8.0"}))
    names = {"flair": "FLAIR", "pre": "T1w", "post": "ce-gadolinium_T1w"}
    for role, suffix in names.items():
        shutil.copy(files[role], root / "sub-01" / "anat" / f"sub-01_{suffix}.nii.gz")
    ran = run("batch", root, "-o", out, "--bundle", small_bundle, "--workers", 1, "--json")
    assert (ran.exit_code, record_of(ran.out)["done"]) == (0, 1)
    check_whole(out, ended=True)
    derivative = out / "derivatives" / "scanweave"
    assert set(tree(derivative)) == {
        "README", "dataset_description.json", "sub-01", "sub-01/anat",
        "sub-01/anat/sub-01_label-lesion_desc-scanweave_mask.nii.gz",
        "sub-01/anat/sub-01_label-lesion_desc-scanweave_mask.json",
    }  # fmt: skip
    mask = derivative / "sub-01/anat/sub-01_label-lesion_desc-scanweave_mask.nii.gz"
    assert mask.read_bytes() == (out / "sub-01" / "segmentation.nii.gz").read_bytes()
    sidecar = json.loads(mask.with_name(mask.name.replace(".nii.gz", ".json")).read_text())
    assert sidecar["Type"] == "Lesion"
    assert sidecar["Sources"] == [f"bids:raw:sub-01/anat/sub-01_{suffix}.nii.gz" for suffix in
                                  ("FLAIR", "T1w", "ce-gadolinium_T1w")]  # fmt: skip
    assert _valid_bids(derivative)
    mask.unlink()
    call = ["batch", root, "-o", out, "--bundle", small_bundle, "--workers", 1]
    database_says_running(out)
    assert run(*call).exit_code == 0
    assert mask.exists(), "a study that was whole when its batch died is published, not done again"


def database_says_running(out: Path) -> None:
    """As after a kill between the rename of the results and the commit of the row."""
    import sqlite3

    database = sqlite3.connect(out / "ledger.sqlite")
    database.execute("UPDATE studies SET state = 'running', leased = 0, result = NULL")
    database.commit()
    database.close()


def _valid_bids(folder: Path) -> bool:
    """By the BIDS project's own validator: no error, and of the derivative's documents no recommended key missing."""
    issues = json.loads(run_tool("bids-validator-deno", "--format", "json", folder).stdout)["issues"]["issues"]
    assert not [issue for issue in issues if issue["severity"] == "error"], issues
    return not [issue for issue in issues if issue["code"] in ("SIDECAR_KEY_RECOMMENDED", "README_FILE_MISSING")]


def test_a_result_that_was_whole_when_its_batch_died_is_taken(
    done: tuple[Path, Ran], mixed: Path, small_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    database_says_running(out)
    before = marks(out)
    ran = run("batch", mixed, "-o", out, "--bundle", small_bundle, "--workers", 1, "--json")
    assert (record_of(ran.out)["done"], record_of(ran.out)["refused"]) == (3, 3)
    assert marks(out) == before, "nothing twice"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--workers", 0], "--workers"),
        (["--scheduler", "tcp://127.0.0.1:1"], "--executor dask"),
        (["--executor", "dask", "--tls-ca", "ca.pem"], "--scheduler"),
        (["--timeout", 0], "--timeout"),
        (["--memory", -1], "--memory"),
        (["--precision", "fp32", "--outputs", "nonsense"], "--outputs"),
        (["--executor", "slurm"], "--executor"),
    ],
)
def test_calls_without_meaning(mixed: Path, tmp_path: Path, arguments: list[object], word: str) -> None:
    ran = run("batch", mixed, "-o", tmp_path / "out", *arguments)
    assert (ran.exit_code, ran.codes) == (2, ["USAGE"])
    assert word in ran.lines[0]
    assert not (tmp_path / "out").exists()


def test_nothing_to_do_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    ran = run("batch", tmp_path / "root", "-o", tmp_path / "out")
    assert (ran.exit_code, ran.codes) == (3, ["EMPTY_INPUT"])
    assert not (tmp_path / "out").exists()
    ran = run("batch", tmp_path / "missing", "-o", tmp_path / "out")
    assert (ran.exit_code, ran.codes) == (3, ["INPUT_NOT_FOUND"])
    assert not (tmp_path / "out").exists()


def test_from_python(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    add_patient(small_study, tmp_path / "root" / "0", 0)
    heard: list[Mapping] = []
    before = dict(os.environ)
    found = batch(tmp_path / "root", tmp_path / "out", told=heard.append,
                  settings=BatchSettings(SegmentSettings(bundle=small_bundle), workers=1))  # fmt: skip
    assert found.complete and found.record["done"] == 1
    assert dict(os.environ) == before
    assert heard[0]["queued"] == 1 and heard[-1]["done"] == 1
