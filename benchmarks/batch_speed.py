"""Studies a minute: `scanweave batch` beside `scanweave segment` in a loop, in turn, on one machine.

    python benchmarks/batch_speed.py STUDY --studies 12 --rounds 2 [--json FILE]

STUDY is a DICOM study, of which copies with other UIDs are made. The machine should do nothing else.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine import conditions
from study_copies import copy_study

SCANWEAVE = [sys.executable, "-m", "scanweave"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--studies", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--workers", type=int, action="append", help="of batch; several are measured in turn")
    parser.add_argument("--precision", default="auto", help="of both")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="batch-speed-") as folder:
        root = Path(folder, "root")
        for number in range(options.studies):
            copy_study(options.study, root / f"{number:04d}", number)
        for turn in range(options.rounds):
            with measured(options.studies) as loop:
                segment_all(root, Path(folder, f"loop-{turn}"), options.precision)
            runs.setdefault("segment in a loop", []).append(loop)
            for workers in options.workers or [None]:
                with measured(options.studies) as timed:
                    record = batch(root, Path(folder, f"batch-{turn}-{workers}"), workers, options.precision)
                timed["network_waits"] = round(1 - record["network_busy_s"] / record["network_span_s"], 3)
                name = "batch" if workers is None else f"batch --workers {workers}"
                runs.setdefault(name, []).append(timed)
            for name, timings in runs.items():
                print(name, json.dumps(timings[-1]), flush=True)
    base = statistics.median(run["studies_a_minute"] for run in runs["segment in a loop"])
    for name, timings in runs.items():
        pace = statistics.median(run["studies_a_minute"] for run in timings)
        print(f"{name:<24} {pace:6.2f} studies a minute, {pace / base:.2f} times the loop's")
    if options.json:
        options.json.write_text(
            json.dumps(
                {
                    "machine": conditions(Path(__file__).parent.parent),
                    "studies": options.studies,
                    "precision": options.precision,
                    "runs": runs,
                },
                indent=2,
            )
        )


@contextmanager
def measured(studies: int) -> Iterator[dict[str, float]]:
    """Wall and CPU seconds of the block and of the processes that it started and waited for, when it has ended."""
    figures: dict[str, float] = {}
    begin, cpu = time.perf_counter(), _cpu()
    yield figures
    wall = time.perf_counter() - begin
    figures["wall_s"] = round(wall, 1)
    figures["cpu_s_a_study"] = round((_cpu() - cpu) / studies, 2)
    figures["studies_a_minute"] = round(studies / wall * 60, 2)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def segment_all(root: Path, out: Path, precision: str) -> None:
    """What somebody without `batch` would do."""
    for study in sorted(root.iterdir()):
        subprocess.run(
            [*SCANWEAVE, "segment", str(study), "-o", str(out), "--precision", precision, "--json"],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def batch(root: Path, out: Path, workers: int | None, precision: str) -> dict[str, float]:
    """The batch's record."""
    command = [*SCANWEAVE, "batch", str(root), "-o", str(out), "--precision", precision, "--json"]
    command += [] if workers is None else ["--workers", str(workers)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    record: dict[str, float] = json.loads(done.stdout)
    return record


if __name__ == "__main__":
    main()
