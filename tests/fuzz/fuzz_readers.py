"""Spoils inputs by thousands and reads them: each must be read or refused with a code, in time and within memory.

    python tests/fuzz/fuzz_readers.py --inputs 20000

Each input is known by its number: `--first N --inputs 1` makes it again. Real scans are found as by the tests. The
last line is a JSON document; the exit code is 1 where there was a defect.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from readers import outcome
from seeds import Seed, make_seeds

from scanweave.transforms.io.memory import address_space
from scanweave.transforms.io.pixel_decoder import PixelDecoder

SECONDS = 10
"""Processor time of one input: a busy machine makes no defect."""
SILENT_SECONDS = 300
"""By the clock, for what waits and computes nothing."""
MEMORY_BYTES = 2 << 30
"""More than the process has when it starts."""
BATCH = 100
"""Inputs that one forked process reads."""


@dataclass(frozen=True)
class Trial:
    """What came of one input."""

    number: int
    seed: str
    outcome: str  # "read", a code, or "DEFECT"
    seconds: float
    series_read: int = 0
    detail: str = ""


def main() -> int:
    """Fuzz; 0 where every input ended as it must."""
    options = _options()
    data = Path(os.environ.get("SCANWEAVE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="scanweave-fuzz-") as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = str(Path(folder, "tmp"))
        Path(folder, "tmp").mkdir()
        seeds = make_seeds(Path(folder, "seeds"), data if data.is_dir() else None)
        trials: list[Trial] = []
        last = options.first + options.inputs
        while (number := options.first + len(trials)) < last:
            if options.seconds and time.monotonic() - started > options.seconds:
                break
            trials += _batch(seeds, range(number, min(number + BATCH, last)), Path(folder), options.keep)
            if options.verbose:
                print(f"{len(trials)} of {options.inputs}, {time.monotonic() - started:.0f} s", file=sys.stderr)
        left = [path.name for path in Path(folder, "tmp").iterdir()]
    defects = [asdict(trial) for trial in trials if trial.outcome == "DEFECT"]
    print(json.dumps(_record(trials, defects, left, time.monotonic() - started)))
    return int(bool(defects or left))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=20000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--keep", type=Path, help="a folder for inputs that show a defect")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


def _record(
    trials: list[Trial], defects: list[dict[str, object]], left: list[str], seconds: float
) -> dict[str, object]:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "inputs": len(trials),
        "series_read": sum(trial.series_read for trial in trials),
        "outcomes": dict(Counter(trial.outcome for trial in trials).most_common()),
        "seeds": dict(Counter(trial.seed for trial in trials).most_common()),
        "slowest": asdict(max(trials, key=lambda trial: trial.seconds)) if trials else None,
        "peak_mb": usage.ru_maxrss // 1024,
        "seconds": round(seconds, 1),
        "left_behind": left,
        "defects": defects,
    }


def _batch(seeds: list[Seed], numbers: range, folder: Path, keep: Path | None) -> list[Trial]:
    """The trials of those numbers, up to the first that ends its process."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        _child(seeds, numbers, folder, sender)
    os.close(sender)
    trials: list[Trial] = []
    with os.fdopen(receiver) as lines:
        trials = [Trial(**json.loads(line)) for line in lines]
    _, status = os.waitpid(child, 0)
    if len(trials) < len(numbers):
        died = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
        number = numbers[len(trials)]
        trials.append(Trial(number, _seed_of(seeds, number).name, "DEFECT", SECONDS, 0, f"the process ended: {died}"))
    for trial in trials if keep else ():
        if trial.outcome == "DEFECT":
            _write(seeds, trial.number, Path(keep or "", str(trial.number)))
    shutil.rmtree(folder / "input", ignore_errors=True)
    return trials


def _child(seeds: list[Seed], numbers: range, folder: Path, sender: int) -> NoReturn:
    """Reads one input after another within limits; never returns."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (address_space() + MEMORY_BYTES,) * 2)
        with os.fdopen(sender, "w") as lines, PixelDecoder() as decoder:
            for number in numbers:
                usage = resource.getrusage(resource.RUSAGE_SELF)
                began = usage.ru_utime + usage.ru_stime
                resource.setrlimit(resource.RLIMIT_CPU, (int(began + SECONDS) + 1, resource.RLIM_INFINITY))
                signal.alarm(SILENT_SECONDS)
                trial = _trial(seeds, number, folder / "input", decoder)
                lines.write(json.dumps(trial) + "\n")
                lines.flush()
    finally:
        os._exit(0)


def _trial(seeds: list[Seed], number: int, folder: Path, decoder: PixelDecoder) -> dict[str, object]:
    seed = _seed_of(seeds, number)
    target = _write(seeds, number, folder)
    began = time.process_time()
    detail, read = "", 0
    try:
        ended, read = outcome(target, decoder)
    except Exception:
        ended, detail = "DEFECT", traceback.format_exc()
    shutil.rmtree(folder)
    return asdict(Trial(number, seed.name, ended, round(time.process_time() - began, 3), read, detail))


def _seed_of(seeds: list[Seed], number: int) -> Seed:
    return seeds[number % len(seeds)]


def _write(seeds: list[Seed], number: int, folder: Path) -> Path:
    """Make an input anew; what `scanweave segment` is given."""
    seed = _seed_of(seeds, number)
    for name, content in seed.spoiled(random.Random(number)).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / seed.target if seed.target else folder


if __name__ == "__main__":
    sys.exit(main())
