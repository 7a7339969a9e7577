"""The fuzzer: a short run of it, and that it sees what it is there to see. tests/fuzz/fuzz.py does the long runs."""

import json
import os
import random
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dicom_forms import mr_slices, save
from studies import Trial, edit

sys.path.append(str(Path(__file__).resolve().parent / "fuzz"))

import trials
from seeds import Seed, make_seeds

from scanweave.errors import Code
from scanweave.transforms.io.dicom_file import read_dataset
from scanweave.transforms.io.dicom_index import index_dicom

pytest_plugins = ["study_fixtures"]

SCRIPT = Path(__file__).resolve().parent / "fuzz" / "fuzz.py"
READ_INPUTS, RUN_INPUTS = 45, 2
"""Three for each seed without real scans; whole runs of the plain and of the compressed study."""
CLAIMED_LENGTH = b"\xf0\xff\xff\x7f"
ENOUGH_BYTES = 1 << 24


def fuzzed(*options: object) -> dict:
    """The figures of a run without a defect."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, options)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    assert ran.stdout, ran.stderr
    figures = json.loads(ran.stdout)
    assert (ran.returncode, figures["defects"], figures["left_behind"]) == (0, [], [])
    assert figures["inputs"] == sum(figures["outcomes"].values())
    return figures


def test_spoiled_inputs_are_read_or_refused_with_a_code() -> None:
    figures = fuzzed("readers", "--without-data", "--inputs", READ_INPUTS)
    assert figures["inputs"] == READ_INPUTS and set(figures["outcomes"]) <= {"read", *Code}
    assert {"read", Code.TRUNCATED} <= set(figures["outcomes"])


def test_spoiled_studies_are_segmented_whole_or_leave_nothing(small_study: Path, small_bundle: Path) -> None:
    figures = fuzzed("runs", "--study", small_study, "--bundle", small_bundle, "--inputs", RUN_INPUTS)
    assert figures["inputs"] == RUN_INPUTS and set(figures["outcomes"]) <= {"segmented", *Code}


def test_an_input_is_known_by_its_number(tmp_path: Path) -> None:
    """Made anew, on another day and in another folder, it has the same bytes: a defect can be looked at."""
    seeds, again = (make_seeds(tmp_path / name, None) for name in ("one", "two"))
    assert seeds == again
    for number, seed in enumerate(seeds):
        spoiled, same, other = (seed.spoiled(random.Random(n)) for n in (number, number, number + 1))
        assert spoiled == same != other
        assert spoiled.keys() == seed.files.keys()


def busy() -> None:
    while True:
        pass


def raising() -> None:
    raise ValueError("a defect")


def swollen() -> None:
    bytearray(2 * trials.MEMORY_BYTES)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def silent() -> None:
    signal.pause()


@pytest.mark.parametrize(
    ("defect", "told"),
    [
        (raising, "ValueError: a defect"),
        (swollen, "MemoryError"),
        (killed, f"signal {signal.SIGKILL:d}"),
        (busy, f"signal {signal.SIGXCPU:d}"),
        (silent, f"signal {signal.SIGALRM:d}"),
    ],
)
def test_every_kind_of_defect_is_seen(
    defect: Callable[[], None], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the inputs after it are tried."""
    monkeypatch.setattr(trials, "SECONDS", 0)
    monkeypatch.setattr(trials, "SILENT_SECONDS", 1 if defect is silent else 60)

    @contextmanager
    def opened() -> Iterator[trials.Judge]:
        def judge(seed: Seed, folder: Path) -> str:
            assert (folder / "a").read_bytes() == b"abc"
            if seed.name == "bad":
                defect()
            return "read"

        yield judge

    seeds = [Seed(name, {"a": b"abc"}, spoil=lambda content, chance: content) for name in ("good", "bad", "last")]
    found = list(trials.Trials(seeds, opened, tmp_path, tmp_path / "keep").spoiled(range(6)))
    assert [trial.outcome for trial in found] == ["read", trials.DEFECT, "read"] * 2
    assert told in found[1].detail and (tmp_path / "keep" / "4" / "a").read_bytes() == b"abc"


# --- what it found --------------------------------------------------------------------------------------------------


def test_a_length_that_no_file_has_takes_no_memory(tmp_path: Path) -> None:
    """Of an element behind the pixels: the file is damaged, and not the machine too small for it."""
    (path,) = save(mr_slices()[:1], tmp_path).iterdir()
    with path.open("ab") as stream:
        stream.write(b"\xfc\xff\xfc\xffOB\0\0" + CLAIMED_LENGTH + b"\0\0")
    assert not index_dicom([path]).stray_problems
    tracemalloc.start()
    try:
        read_dataset(path)
    except Exception:  # pydicom may refuse it
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < ENOUGH_BYTES


def test_an_image_that_does_not_say_its_class_is_segmented_or_refused(trial: Trial) -> None:
    edit(trial.slices("post")[4], SOPClassUID=None)
    ran = trial.segment(trial.study)
    assert ran.exit_code == 0 or "INTERNAL" not in ran.codes


def test_an_image_whose_class_is_damaged_is_segmented_or_refused(trial: Trial) -> None:
    path = trial.slices("post")[4]
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"\x08\0\x16\0UI", b"\x08\0\x16\0QI"))
    assert path.read_bytes() != whole
    ran = trial.segment(trial.study)
    assert ran.exit_code == 0 or "INTERNAL" not in ran.codes
