"""The doctor names what is missing and the remedy, on machines that are well, sick, or hardly there at all."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import REPOSITORY
from packaging.requirements import Requirement
from studies import Trial, run, tree

from scanweave.pipeline.bundle import METADATA_FILE
from scanweave.pipeline.doctor.bundles import check_bundles
from scanweave.pipeline.doctor.check import Check, State
from scanweave.pipeline.doctor.decoder_samples import SAMPLES
from scanweave.pipeline.doctor.decoders import NOT_PROMISED, check_sample
from scanweave.pipeline.doctor.examine import examine, failure
from scanweave.pipeline.doctor.places import at_home, check_folder, check_places, check_site_key
from scanweave.pipeline.doctor.processors import check_memory, gpu_without_cuda
from scanweave.pipeline.doctor.software import check_requirement, check_viewer
from scanweave.pipeline.report.viewer import niivue

pytest_plugins = ["study_fixtures"]

PROMISED = {"deflated", "RLE lossless", *SAMPLES} - NOT_PROMISED
ALL_GROUPS = {"software", "processors", "DICOM decoders", "bundles", "places"}


# --- a machine that is well -----------------------------------------------------------------------------------------


def test_this_machine_is_ready(trial: Trial) -> None:
    before = tree(trial.root)
    ran = run("doctor", "--json")
    assert (ran.exit_code, ran.lines) == (0, ())
    found = json.loads(ran.out)
    assert found["ready"] is True
    checks = {check["name"]: check for check in found["checks"]}
    assert {check["group"] for check in found["checks"]} == ALL_GROUPS
    assert {name for name in PROMISED if checks[name]["state"] == "ok"} == PROMISED
    assert checks["torch"]["found"].startswith("2.") and checks["python-gdcm"]["state"] == "ok"
    assert "load" in checks["flair_abnormality"]["found"]
    assert all(bool(check["remedy"]) == (check["state"] != "ok") for check in found["checks"])
    assert "tests" not in checks["site key"]["found"], "the key itself is nobody's business"
    assert tree(trial.root) == before, "the doctor leaves nothing behind"


def test_table_for_people_goes_to_a_pipe_without_colours(trial: Trial) -> None:
    ran = run("doctor")
    assert (ran.exit_code, ran.lines) == (0, ())
    assert "\x1b" not in ran.out
    lines = [line.strip() for line in ran.out.splitlines()]
    assert set(lines) >= ALL_GROUPS
    assert re.search(r"^ok +torch +2\.", "\n".join(lines), re.MULTILINE)
    assert lines[-1].startswith("ready to segment, ")


@pytest.mark.gpu
def test_gpu_is_named_and_computes() -> None:
    import torch

    checks = {check.name: check for check in examine()["processors"]}
    assert torch.cuda.get_device_name(0) in checks["cuda:0"].found
    assert "GiB free" in checks["cuda:0"].found and "driver" in checks["cuda:0"].found


# --- a machine that is sick -----------------------------------------------------------------------------------------

HIDING = """
import sys
from importlib import metadata
hidden, broken = sys.argv[1].split(","), sys.argv[2].split(",")
class Sickness:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ImportError(f"no {name} here")
        if name.split(".")[0] in broken:
            raise OSError(f"{name}.so: undefined symbol")
sys.meta_path.insert(0, Sickness())
entry_points = metadata.entry_points
metadata.entry_points = lambda **wanted: metadata.EntryPoints(
    point for point in entry_points(**wanted) if point.value.split(".")[0].split(":")[0] not in hidden
)
from scanweave.cli import main
sys.exit(main(sys.argv[3:]))
"""


def doctor_without(
    hidden: str, *arguments: str, broken: str = "", cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`scanweave doctor` in a Python that lacks some modules, plug-ins too, and fails otherwise on importing others."""
    command = [sys.executable, "-c", HIDING, hidden, broken, "doctor", *arguments]
    variables = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=variables, cwd=cwd, check=False)


@pytest.fixture
def altered_installation(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with an installation whose weights have one byte too many."""
    package = tmp_path / "site" / "scanweave"
    shutil.copytree(REPOSITORY / "src" / "scanweave", package)
    for folder in ("pipeline", "transforms", "networks"):
        (package / folder).symlink_to(REPOSITORY / folder)
    shutil.copytree(REPOSITORY / "bundles", package / "bundles")
    with (package / "bundles" / "flair_abnormality" / "models" / "model.pt").open("ab") as weights:
        weights.write(b"\0")
    return package.parent


def test_sick_machine_is_told_every_remedy(altered_installation: Path) -> None:
    """No decoder of JPEG lossless, a broken rich (which draws the table), altered weights, folders without room."""
    ran = doctor_without(
        "gdcm,libjpeg", broken="rich", cwd=Path("/proc"), PYTHONPATH=str(altered_installation), TMPDIR="/proc",
    )  # fmt: skip
    assert ran.returncode == 5, ran.stderr
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error[ENVIRONMENT_INCOMPLETE]: ")
    for name in ("python-gdcm", "rich", "JPEG lossless", "JPEG lossless (first order)", "flair_abnormality"):
        assert name in line, line
    told = {match[2]: (match[1], match[3], match[4]) for match in _rows(ran.stdout)}
    assert told["python-gdcm"][0] == "missing" and "--force-reinstall" in told["python-gdcm"][2]
    assert "undefined symbol" in told["rich"][1] and "--force-reinstall" in told["rich"][2]
    assert told["JPEG lossless"][0] == "missing" and "python-gdcm, or decompress" in told["JPEG lossless"][2]
    assert told["JPEG extended (12 bits)"][0] == "warning", "which is not promised"
    assert told["JPEG 2000"][0] == "ok"
    assert "SHA-256" in told["flair_abnormality"][1] and "--weights" in told["flair_abnormality"][2]
    assert told["working folder"][0] == "warning" and "-o OUT" in told["working folder"][2]
    assert told["temporary folder"][0] == "warning" and "TMPDIR" in told["temporary folder"][2]


def _rows(text: str) -> list[re.Match[str]]:
    """The rows of the table as it is without rich: state, name, found, remedy."""
    pattern = r" (ok|warning|missing) +([^:]*(?:cuda:\d+)?): (.*?)(?:; remedy: (.*))?"
    return [match for line in text.splitlines() if (match := re.fullmatch(pattern, line))]


def test_doctor_comes_to_a_machine_that_has_next_to_nothing() -> None:
    ran = doctor_without("numpy,torch,monai,pydicom,highdicom,SimpleITK,nibabel,scipy,packaging", "--json")
    assert ran.returncode == 5
    assert len(ran.stderr.splitlines()) == 1
    found = json.loads(ran.stdout)
    assert found["ready"] is False and {check["group"] for check in found["checks"]} == ALL_GROUPS
    missing = {check["name"]: check["remedy"] for check in found["checks"] if check["state"] == "missing"}
    assert {"packaging", "decoders", "flair_abnormality"} <= set(missing) and all(missing.values())


@pytest.mark.parametrize(
    ("text", "found", "remedy"),
    [
        ("numpy>=99", "but >=99 is needed", 'pip install --upgrade "numpy>=99"'),
        ("no-such-library-4711>=1", "not installed", 'pip install --upgrade "no-such-library-4711>=1"'),
    ],
)
def test_library_that_is_too_old_or_absent(text: str, found: str, remedy: str) -> None:
    check = check_requirement(Requirement(text))
    assert check.state is State.MISSING and found in check.found and check.remedy == remedy


def test_reports_without_a_viewer_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_viewer().found.startswith("NiiVue 0.")
    monkeypatch.setattr(niivue, "find_niivue", lambda: None)
    assert (check_viewer().state, check_viewer().remedy) == (State.WARNING, 'pip install "scanweave[viewer]"')


def test_library_goes_by_another_name_when_imported() -> None:
    for name in ("python-gdcm", "pylibjpeg-openjpeg", "pillow", "SimpleITK"):
        assert check_requirement(Requirement(name)).state is State.OK


def test_failing_check_keeps_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from scanweave.pipeline.doctor import examine as module

    def fail() -> list[Check]:
        raise RuntimeError("as it happens")

    well = [Check("disk", State.OK, "fine")]
    monkeypatch.setattr(module, "_GROUPS", {"software": fail, "places": lambda: well})
    groups = examine()
    assert groups["places"] == tuple(well)
    assert "as it happens" in groups["software"][0].found
    refusal = failure(groups)
    assert refusal is not None and "software" in str(refusal) and refusal.exit_code == 5


def test_remedy_is_for_what_is_not_ok() -> None:
    for state, remedy in ((State.OK, "none needed"), (State.MISSING, "")):
        with pytest.raises(ValueError, match="remedy"):
            Check("disk", state, "found", remedy)


# --- decoders -------------------------------------------------------------------------------------------------------


def test_decoder_that_answers_wrongly_is_found_out() -> None:
    sample = SAMPLES["JPEG-LS near-lossless"]
    assert check_sample("JPEG-LS near-lossless", sample).state is State.OK
    check = check_sample("JPEG-LS near-lossless", replace(sample, tolerance=0))
    assert check.state is State.MISSING and "wrongly" in check.found
    check = check_sample("JPEG-LS near-lossless", replace(sample, text="AAAA"))
    assert check.state is State.MISSING and "not decoded" in check.found


# --- bundles --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bundles(small_bundle: Path, tmp_path: Path) -> Path:
    """A folder of bundles: the default one, and another."""
    for name in ("flair_abnormality", "another"):
        shutil.copytree(small_bundle, tmp_path / "bundles" / name)
    return tmp_path / "bundles"


def test_bundles_that_are_whole(bundles: Path) -> None:
    assert [(check.name, check.state) for check in check_bundles(bundles)] == [
        ("flair_abnormality", State.OK),
        ("another", State.OK),
    ]


@pytest.mark.parametrize(("name", "state"), [("flair_abnormality", State.MISSING), ("another", State.WARNING)])
@pytest.mark.parametrize(
    ("damage", "found"),
    [("no weights", "expected a weights file"), ("altered", "SHA-256"), ("metadata", "metadata.json")],
)
def test_bundle_that_is_damaged(bundles: Path, name: str, state: State, damage: str, found: str) -> None:
    weights = bundles / name / "models" / "model.pt"
    if damage == "no weights":
        weights.unlink()
    elif damage == "altered":
        weights.write_bytes(weights.read_bytes()[:-1])
    else:
        (bundles / name / METADATA_FILE).write_text("{}")
    checks = {check.name: check for check in check_bundles(bundles)}
    assert checks[name].state is state and found in checks[name].found
    assert "--force-reinstall" in checks[name].remedy
    assert [check.state for check in checks.values()].count(State.OK) == 1


def test_default_bundle_that_is_gone(bundles: Path) -> None:
    shutil.rmtree(bundles / "flair_abnormality")
    assert [check.state for check in check_bundles(bundles)] == [State.MISSING, State.OK]


# --- processors -----------------------------------------------------------------------------------------------------


def test_gpu_that_torch_was_not_built_for() -> None:
    check = gpu_without_cuda("550.54.15")
    assert check.state is State.WARNING and "550.54.15" in check.found and "torch" in check.remedy
    assert gpu_without_cuda("").state is State.OK


def test_too_little_memory() -> None:
    assert check_memory(needed_gib=0).state is State.OK
    if Path("/proc/meminfo").exists():
        assert check_memory(needed_gib=1e6).state is State.WARNING


# --- places ---------------------------------------------------------------------------------------------------------


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    assert check_folder("place", tmp_path, State.MISSING, "elsewhere").state is State.OK
    for folder in (tmp_path / "absent", Path("/proc")):
        check = check_folder("place", folder, State.MISSING, "elsewhere")
        assert (check.state, check.remedy) == (State.MISSING, "elsewhere") and str(folder) in check.found
    assert not list(tmp_path.iterdir())


def test_working_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    checks = {check.name: check for check in check_places()}
    assert checks["working folder"].state is State.WARNING and "gone" in checks["working folder"].found


FULL_DISK = """
import subprocess, sys
from pathlib import Path
from scanweave.pipeline.doctor.check import State
from scanweave.pipeline.doctor.places import check_folder
for size in ("32k", "20m"):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", sys.argv[1]], check=True)
    check = check_folder("place", Path(sys.argv[1]), State.MISSING, "elsewhere")
    print(check.state, check.found.split(": ")[-1].split(", ")[-1], "|", check.remedy)
"""


def test_disk_that_is_full_or_nearly(tmp_path: Path) -> None:
    """In a mount namespace of its own that is gone with the process."""
    namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    command = [*namespace, sys.executable, "-c", FULL_DISK, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare" in ran.stderr or "mount" in ran.stderr:
        reason = f"NO FILE SYSTEM CAN BE MOUNTED HERE, so that none was full: {ran.stderr.splitlines()[-1]}"
        pytest.fail(reason) if os.environ.get("CI", "").lower() == "true" else pytest.skip(reason)
    assert ran.stdout.splitlines() == [
        "missing No space left on device | elsewhere",
        "warning 20 MiB free | free some space (a study may take 500 MiB), or elsewhere",
    ], ran.stderr


def test_site_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at, neither made nor shown."""
    monkeypatch.setenv("SCANWEAVE_SITE_KEY", "verysecret")
    assert check_site_key() == Check("site key", State.OK, "in SCANWEAVE_SITE_KEY")
    monkeypatch.delenv("SCANWEAVE_SITE_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert check_site_key().state is State.OK and "first use" in check_site_key().found
    assert not list(tmp_path.iterdir())
    key = tmp_path / "scanweave" / "site.key"
    key.parent.mkdir()
    key.write_text("verysecret")
    key.chmod(0o644)
    assert check_site_key().state is State.WARNING and check_site_key().remedy == f"chmod 600 {key}"
    key.chmod(0o600)
    assert check_site_key() == Check("site key", State.OK, str(key))
    key.write_text("")
    assert check_site_key().state is State.MISSING and "SCANWEAVE_SITE_KEY" in check_site_key().remedy
    monkeypatch.setenv("XDG_CONFIG_HOME", "/proc/none")
    assert check_site_key().state is (State.OK if os.access("/proc", os.W_OK) else State.MISSING)


def test_home_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane.doe")
    assert at_home(Path("/home/jane.doe/.config/key")) == "~/.config/key"
    assert at_home(Path("/scratch/jane")) == "/scratch/jane"
