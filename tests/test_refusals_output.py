"""The places and parts that a run needs: output, disk, weights, a proper call. Results appear whole or not at all."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from studies import WHOLE, Trial, console_script, run, tree, without_privilege, write_nifti_study

from scanweave.pipeline.bundle import METADATA_FILE
from scanweave.pipeline.result_folder import staged

pytest_plugins = ["study_fixtures"]

INTERRUPTED = 130
DEADLINE_S = 300


# --- output that exists ---------------------------------------------------------------------------------------------


def test_existing_result_is_refused_and_replaced_on_demand(trial: Trial) -> None:
    folder = trial.done(trial.study)
    trial.refused("OUTPUT_EXISTS", trial.study)
    assert trial.done(trial.study, "--overwrite", "--outputs", "nifti",
                      files={"segmentation.nii.gz", "result.json"}) == folder  # fmt: skip
    assert [path.name for path in trial.out.iterdir()] == [folder.name]


def test_what_is_no_result_is_not_overwritten(trial: Trial) -> None:
    """A NIfTI's results are named by its stem, and a folder of that name may hold the NIfTI itself."""
    flair = write_nifti_study(trial.study, trial.root / "flair")["flair"]
    trial.refused("OUTPUT_EXISTS", "--flair", flair, out=trial.root)
    trial.refused("OUTPUT_EXISTS", "--flair", flair, "--overwrite", out=trial.root)
    (trial.out / "flair").mkdir(parents=True)
    trial.refused("OUTPUT_EXISTS", "--flair", flair)
    files = {"segmentation.nii.gz", "report.html", "result.json"}
    trial.done("--flair", flair, "--overwrite", files=files)
    (trial.out / "flair" / "result.json").unlink()
    trial.refused("OUTPUT_EXISTS", "--flair", flair, "--overwrite")
    shutil.rmtree(trial.out / "flair")
    (trial.out / "flair").write_text("a file")
    trial.refused("OUTPUT_EXISTS", "--flair", flair, "--overwrite")
    (trial.out / "flair").unlink()
    (trial.out / "flair").symlink_to(trial.root / "flair")
    trial.refused("OUTPUT_EXISTS", "--flair", flair, "--overwrite")


@pytest.mark.parametrize("inside", [".", "results"])
def test_results_within_the_input_do_not_change_the_next_run(trial: Trial, inside: str) -> None:
    """The first run's DICOM-SEG lies among the study's files when they are read again."""
    folder = trial.done(trial.study, out=trial.study / inside)
    first = tree(folder)
    assert trial.done(trial.study, "--overwrite", out=trial.study / inside) == folder
    second = tree(folder)
    changed = {name for name in first if first[name] != second[name]}
    assert changed <= {"result.json", "report.html"}, "which hold the seconds"


# --- output that cannot be written ----------------------------------------------------------------------------------


def test_output_where_no_folder_can_be_is_refused(trial: Trial) -> None:
    (trial.root / "file").write_text("a file")
    (trial.root / "circle").symlink_to("circle")
    for place in ("file", "file/below", "circle", f"new/{'x' * 300}/out"):
        trial.refused("OUTPUT_UNWRITABLE", trial.study, exit_code=5, out=trial.root / place)
    trial.refused("OUTPUT_UNWRITABLE", trial.study, exit_code=5, out=Path("/proc/scanweave"))
    trial.done(trial.study)


def test_modes_are_obeyed(trial: Trial) -> None:
    """Root ignores them: it is stripped of that privilege."""
    locked = trial.root / "locked"
    locked.mkdir(mode=0o555)
    command = console_script("segment", trial.study, "-o", locked / "out", "--bundle", trial.bundle)
    before = tree(trial.root)
    ran = subprocess.run(without_privilege(*command), capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (5, "")
    assert ran.stderr.startswith("error[OUTPUT_UNWRITABLE]: ") and ran.stderr.count("\n") == 1
    assert tree(trial.root) == before


# --- a disk that is full --------------------------------------------------------------------------------------------


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes: works for everybody, and looks to a program like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("outputs", "size"), [("nifti", 200), ("nifti", 2000), ("probability", 2000), ("dicom-seg", 8000), ("report", 8000)]
)
def test_file_that_cannot_grow_leaves_nothing(trial: Trial, outputs: str, size: int) -> None:
    with largest_file(size):
        trial.refused("DISK_FULL", trial.study, "--outputs", outputs, exit_code=5)
    with largest_file(8_000_000):  # the report carries its viewer
        assert trial.segment(trial.study, "--outputs", outputs).exit_code == 0


def test_zip_that_does_not_fit_leaves_nothing(trial: Trial) -> None:
    archive = Path(shutil.make_archive(str(trial.root / "packed"), "zip", trial.study))
    with largest_file(1000):
        trial.refused("DISK_FULL", archive, exit_code=5)
    trial.inspected(archive)


REAL_DISK = """
import json, shutil, subprocess, sys
from pathlib import Path
from studies import run, tree

study, bundle, old, disk = map(Path, sys.argv[1:])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "none", disk], check=True)
shutil.copytree(old, disk / "old")
report = {}

def attempt(name, out, *more):
    before = tree(disk)
    ran = run("segment", study, "-o", out, "--bundle", bundle, "--json", *more)
    report[name] = [ran.exit_code, ran.out, ran.codes, tree(disk) == before]

attempt("old result", disk / "old", "--overwrite", "--outputs", "nifti,probability,dicom-seg")
(disk / "filler").write_bytes(bytes(4096))
attempt("new result", disk / "new" / "out")
subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
attempt("read-only", disk / "new" / "out")
print(json.dumps(report))
"""


def path_with_these_tests() -> str:
    """PYTHONPATH with the folder of these tests."""
    return os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)


def test_real_disk_that_is_full_or_read_only(trial: Trial) -> None:
    """A file system of 32 kB, in a mount namespace of its own that is gone with the process."""
    trial.done(trial.study, "--outputs", "nifti,dicom-seg", files=WHOLE - {"measurements.dcm", "report.html"})
    disk = trial.root / "disk"
    disk.mkdir()
    namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    places = [str(place) for place in (trial.study, trial.bundle, trial.out, disk)]
    ran = subprocess.run(
        [*namespace, sys.executable, "-c", REAL_DISK, *places],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path_with_these_tests()},
    )  # fmt: skip
    if "unshare" in ran.stderr or "mount" in ran.stderr:
        reason = f"NO FILE SYSTEM CAN BE MOUNTED HERE, so that none was full: {ran.stderr.splitlines()[-1]}"
        pytest.fail(reason) if os.environ.get("CI", "").lower() == "true" else pytest.skip(reason)
    assert json.loads(ran.stdout) == {
        "old result": [5, "", ["DISK_FULL"], True],
        "new result": [5, "", ["DISK_FULL"], True],
        "read-only": [5, "", ["OUTPUT_UNWRITABLE"], True],
    }, ran.stderr


def test_full_stdout_is_said(trial: Trial) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with Path("/dev/full").open("w") as full:
        command = console_script("inspect", trial.study, "--json")
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (5, "error[DISK_FULL]: the disk is full\n")


# --- an old result and what happens to a new one --------------------------------------------------------------------


def test_old_result_survives_every_failure(trial: Trial, weights: Path) -> None:
    trial.done(trial.study)
    overwrite = (trial.study, "--overwrite")
    with largest_file(200):
        trial.refused("DISK_FULL", *overwrite, exit_code=5)
    with largest_file(2000):
        trial.refused("DISK_FULL", *overwrite, exit_code=5)
    weights.write_bytes(b"no weights")
    trial.refused("WEIGHTS_INVALID", *overwrite, "--weights", weights, exit_code=5)
    trial.refused("USAGE", *overwrite, "--device", "abacus", exit_code=2)
    path = trial.slices("flair")[4]
    aside = path.rename(trial.root / "aside")
    trial.refused("MISSING_SLICE", *overwrite)
    aside.rename(path)
    trial.done(*overwrite)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError("as it happens"), RuntimeError("a defect")])
def test_nothing_is_left_when_writing_ends_early(tmp_path: Path, failure: BaseException) -> None:
    with pytest.raises(BaseException), staged(tmp_path / "new" / "result", overwrite=False) as stage:  # noqa: B017
        (stage / "half").write_text("half")
        raise failure
    assert tree(tmp_path) == {}
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "result.json").write_text("{}")
    before = tree(tmp_path)
    with pytest.raises(BaseException), staged(tmp_path / "result", overwrite=True) as stage:  # noqa: B017
        (stage / "half").write_text("half")
        raise failure
    assert tree(tmp_path) == before


def test_the_faster_of_two_runs_wins(tmp_path: Path) -> None:
    from scanweave.errors import Code, InputRefused

    with pytest.raises(InputRefused) as refusal, staged(tmp_path / "result", overwrite=False) as slow:
        (slow / "result.json").write_text("slow")
        with staged(tmp_path / "result", overwrite=False) as fast:
            (fast / "result.json").write_text("fast")
    assert refusal.value.code is Code.OUTPUT_EXISTS
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
    assert (tmp_path / "result" / "result.json").read_text() == "fast"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_nothing(trial: Trial, number: signal.Signals) -> None:
    """The zip is being unpacked when the signal comes: the run has a temporary folder then."""
    archive = Path(shutil.make_archive(str(trial.root / "packed"), "zip", trial.study))
    before = tree(trial.root)
    command = console_script("segment", archive, "-o", trial.out)
    # A job in the background of a script ignores SIGINT, and its children inherit that.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed
    ) as process:
        deadline = time.monotonic() + DEADLINE_S
        while not list((trial.root / "tmp").glob("scanweave-zip-*/*")):
            assert process.poll() is None and time.monotonic() < deadline, "the zip was never unpacked"
            time.sleep(0.001)
        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out, err) == (INTERRUPTED, "", "")
    assert tree(trial.root) == before


# --- weights and device ---------------------------------------------------------------------------------------------


@pytest.fixture
def weights(trial: Trial) -> Path:
    """A copy of the quick network's state dict."""
    return Path(shutil.copy(trial.bundle / "models" / "model.pt", trial.root / "own.pt"))


@pytest.fixture
def own_bundle(trial: Trial) -> Trial:
    """The trial with a copy of the bundle, to be broken."""
    return Trial(trial.root, Path(shutil.copytree(trial.bundle, trial.root / "bundle")))


def test_missing_weights_are_refused(own_bundle: Trial) -> None:
    file = own_bundle.bundle / "models" / "model.pt"
    aside = file.rename(own_bundle.root / "aside")
    own_bundle.refused("WEIGHTS_MISSING", own_bundle.study, exit_code=5)
    for name in ("absent.pt", "study"):
        argument = ("--weights", own_bundle.root / name)
        own_bundle.refused("WEIGHTS_MISSING", own_bundle.study, *argument, exit_code=5)
    aside.rename(file)
    own_bundle.done(own_bundle.study)


def test_weights_with_one_other_byte_are_refused(own_bundle: Trial) -> None:
    file = own_bundle.bundle / "models" / "model.pt"
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    own_bundle.refused("WEIGHTS_ALTERED", own_bundle.study, exit_code=5)
    file.write_bytes(whole[:-1])
    own_bundle.refused("WEIGHTS_ALTERED", own_bundle.study, exit_code=5)
    file.write_bytes(whole)
    own_bundle.done(own_bundle.study)


class Malicious:
    """Makes a folder when it is unpickled by a reader that runs what a pickle says."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.place),)


def test_pickle_that_runs_code_is_refused_and_not_run(own_bundle: Trial, weights: Path) -> None:
    state = torch.load(weights, weights_only=True)
    for content in (Malicious(own_bundle.root / "pwned"), {**state, "conv.bias": Malicious(own_bundle.root / "pwned")}):
        torch.save(content, weights)
        own_bundle.refused("WEIGHTS_INVALID", own_bundle.study, "--weights", weights, exit_code=5)
    shutil.copy(weights, own_bundle.bundle / "models" / "model.pt")  # by somebody who can write the record as well
    metadata = json.loads((own_bundle.bundle / METADATA_FILE).read_text())
    metadata["weights"]["sha256"] = subprocess.run(
        ["sha256sum", weights], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    (own_bundle.bundle / METADATA_FILE).write_text(json.dumps(metadata))
    own_bundle.refused("WEIGHTS_INVALID", own_bundle.study, exit_code=5)
    assert not (own_bundle.root / "pwned").exists()
    torch.load(weights, weights_only=False)
    assert (own_bundle.root / "pwned").is_dir(), "the pickle does what it is feared for"


def test_state_dict_of_another_network_is_refused(trial: Trial, weights: Path) -> None:
    state = torch.load(weights, weights_only=True)
    bias = state["conv.bias"]
    lacking = {key: value for key, value in state.items() if key != "conv.bias"}
    for bad in (
        lacking,
        {**lacking, "conv.bios": bias},
        {**state, "conv.extra": bias},
        {**state, "conv.bias": bias.repeat(2)},
        {"state_dict": state},
        [bias],
        {},
    ):
        torch.save(bad, weights)
        trial.refused("WEIGHTS_INVALID", trial.study, "--weights", weights, exit_code=5)
    torch.save({**state, "conv.bias": bias - 0.5}, weights)
    result = json.loads((trial.done(trial.study, "--weights", weights) / "result.json").read_text())
    assert result["weights"]["name"] == "own.pt"
    assert any("not the bundle's own" in warning for warning in result["warnings"])


def test_weights_that_are_no_archive_are_refused(trial: Trial, weights: Path) -> None:
    whole = weights.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-1], b"\x80\x02}q\x00."):
        weights.write_bytes(content)
        trial.refused("WEIGHTS_INVALID", trial.study, "--weights", weights, exit_code=5)


def test_device_that_is_not_there_is_refused(trial: Trial) -> None:
    trial.refused("DEVICE_UNAVAILABLE", trial.study, "--device", "cuda:99", exit_code=5)
    trial.refused("USAGE", trial.study, "--device", "abacus", exit_code=2)


def test_bundle_that_is_none_is_refused(trial: Trial) -> None:
    for name in ("absent", trial.study):
        before = tree(trial.root)
        ran = run("segment", trial.study, "-o", trial.out, "--bundle", name)
        assert (ran.exit_code, ran.codes, ran.out) == (5, ["BUNDLE_INVALID"], "")
        assert tree(trial.root) == before


# --- calls without a meaning ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sgment"],
        ["segment"],
        ["segment", "STUDY"],
        ["segment", "-o", "OUT"],
        ["segment", "", "-o", "OUT"],
        ["segment", "STUDY", "-o", ""],
        ["segment", "STUDY", "-o", "OUT", "--no-such-option"],
        ["segment", "STUDY", "-o", "OUT", "--over"],
        ["segment", "STUDY", "-o", "OUT", "second"],
        ["segment", "STUDY", "-o", "OUT", "--flair", ""],
        ["segment", "STUDY", "-o", "OUT", "--input", "flair"],
        ["segment", "STUDY", "-o", "OUT", "--input", "=STUDY"],
        ["segment", "STUDY", "-o", "OUT", "--input", "t2=STUDY"],
        ["segment", "STUDY", "-o", "OUT", "--flair", "STUDY", "--input", "flair=STUDY"],
        ["segment", "STUDY", "-o", "OUT", "--outputs", "nifti,pdf"],
        ["segment", "STUDY", "-o", "OUT", "--outputs", ","],
        ["segment", "STUDY", "-o", "OUT", "--precision", "fp64"],
        ["segment", "STUDY", "-o", "OUT", "--components", "some"],
        ["inspect"],
        ["inspect", "STUDY", "-o", "OUT"],
        ["inspect", "STUDY", "--input", "t2=STUDY"],
        ["demo", "--seed", "seven"],
    ],
    ids=lambda arguments: " ".join(arguments) or "nothing",
)
def test_call_without_a_meaning_is_refused(trial: Trial, arguments: list[str]) -> None:
    places = {"STUDY": str(trial.study), "OUT": str(trial.out), "t2=STUDY": f"t2={trial.study}"}
    before = tree(trial.root)
    ran = run(*(places.get(word, word) for word in arguments))
    assert (ran.exit_code, ran.codes, ran.out) == (2, ["USAGE"], "")
    assert tree(trial.root) == before


def test_dicom_result_of_nifti_input_is_refused(trial: Trial) -> None:
    flair = write_nifti_study(trial.study, trial.root / "nifti")["flair"]
    trial.refused("USAGE", "--flair", flair, "--outputs", "dicom-seg", exit_code=2)
    trial.done(trial.study, "--outputs", "dicom-seg", files={"segmentation.dcm", "result.json"})
