"""Proof that a batch loses nothing: killed at random moments, on a full disk, with thousands of studies.

    python benchmarks/batch_proof.py kills --kills 200 [--study DIR ..]     real studies among the phantoms
    python benchmarks/batch_proof.py disk [--megabytes 40]                  root: a small tmpfs
    python benchmarks/batch_proof.py many --studies 10000 [--files 10]      index and ledger, memory and time

Each ends with every study done, refused or failed once, none twice, and no half file; what does not hold is an
AssertionError. The tests run short versions (tests/test_batch_proof.py).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from batch_rooms import check_whole, marks, no_process_of, states, wait_until
from proof_rooms import Room, small_disk
from study_copies import write_tiny_studies

LONGEST_LIFE_S = 8.0
"""After which a run is killed at the latest, unless told otherwise; to start takes about two."""
LIVES = 10
"""After so many in one round they are twice as long: a machine that is slow today must get to its end too."""
GONE_S = 30.0
"""Until processes of a batch that was killed have ended by themselves."""


@dataclass
class Kills:
    """What was seen so far."""

    kills: int = 0
    rounds: int = 0
    at: dict[str, int] = field(default_factory=dict)
    studies: int = 0


def kill_at_random(
    room: Room, kills: int, seed: int, *, longest_life_s: float = LONGEST_LIFE_S, tell: bool = True
) -> Kills:
    """Kill a batch again and again, alone or with all its processes, until it was killed so often and is complete."""
    chance = random.Random(seed)
    seen = Kills()
    while seen.kills < kills:
        out = room.folder / f"out-{seen.rounds}"
        before: dict[str, tuple[int, int]] = {}
        lives = 0
        while True:
            process = room.start(out)
            lives += 1
            longest_s = longest_life_s * (1 + lives / LIVES)
            try:
                process.communicate(timeout=chance.uniform(0.2, longest_s) if seen.kills < kills else None)
                ended = True
            except subprocess.TimeoutExpired:
                whole_group = chance.random() < 0.5
                os.killpg(process.pid, signal.SIGKILL) if whole_group else process.kill()
                process.communicate()
                wait_until(partial(no_process_of, process.pid), GONE_S)
                ended = False
                seen.kills += 1
                if tell and seen.kills % 10 == 0:
                    print(json.dumps(vars(seen)), flush=True)
            moment = "indexing" if not (out / "ledger.sqlite").exists() else _moment(out)
            seen.at[moment] = seen.at.get(moment, 0) + (not ended)
            after = marks(out)
            again = sorted(name for name, mark in before.items() if after.get(name) != mark)
            assert not again, f"studies that were done were done again, or are gone: {again}"
            before = after
            if ended:
                assert process.returncode == 4, process.returncode
                break
        found = check_whole(out, ended=True)
        assert len(found) == len(list(room.root.iterdir())), "a study was lost, or came twice"
        assert not any(room.temporary.iterdir()), "something was left in the temporary folder"
        seen.studies += len(found)
        seen.rounds += 1
        shutil.rmtree(out)
        if tell:
            print(json.dumps(vars(seen)), flush=True)
    return seen


def _moment(out: Path) -> str:
    """What a batch was doing when it was killed, by its ledger; whatever is there must be whole."""
    try:
        found = set(states(out).values())
    except Exception:  # killed before the tables were made
        return "making the ledger"
    if not found:
        return "indexing"
    return "running" if "running" in found else "between"


def fill_the_disk(room: Room, megabytes: float) -> dict[str, int]:
    """A batch whose OUT is too small, then larger: it stops with DISK_FULL, and goes on."""
    full = 0
    with small_disk(room.folder / "disk", megabytes) as disk:
        out = disk.path / "out"
        while True:
            process = room.start(out)
            _, errors = process.communicate(timeout=600)
            if process.returncode == 4:
                break
            assert (process.returncode, "error[DISK_FULL]" in errors) == (5, True), (process.returncode, errors)
            full += 1
            assert full < 50, "it never ends"
            if (out / "ledger.sqlite").exists():
                check_whole(out, ended=False)
            disk.grow(megabytes)
        found = check_whole(out, ended=True)
        assert len(found) == len(list(room.root.iterdir()))
        assert full > 0, "the disk was never full"
        return {"studies": len(found), "times_full": full}


def many_entries(room: Room, studies: int, files: int) -> dict[str, float]:
    """Thousands of studies through index, ledger, executor, summary and page: all are refused, which takes no time.

    Each has `files` tiny DICOM images: two series of fewer slices than a volume has.
    """
    write_tiny_studies(room.root, room.small, studies, files)
    out = room.folder / "out"
    begin = time.perf_counter()
    first = measured_index(room, out)
    second = measured_index(room, out)
    process = room.start(out)
    peak = _watched(process)
    printed, errors = process.communicate()
    assert process.returncode == 4, errors
    record = json.loads(printed)
    assert record["refused"] == record["studies"] == studies, record
    assert check_whole(out, ended=True)
    return {
        "studies": studies,
        "files": studies * files,
        "index_s": first["seconds"],
        "index_again_s": second["seconds"],
        "index_peak_mb": first["peak_mb"],
        "batch_peak_mb": round(peak),
        "ledger_mb": round((out / "ledger.sqlite").stat().st_size / 1e6, 1),
        "page_mb": round((out / "index.html").stat().st_size / 1e6, 1),
        "seconds": round(time.perf_counter() - begin, 1),
    }


def measured_index(room: Room, out: Path) -> dict[str, float]:
    """The index alone, in a process of its own."""
    program = (
        "import json, re, sys, time\n"
        "from pathlib import Path\n"
        "from scanweave.pipeline.batch.index import index\n"
        "from scanweave.pipeline.batch.ledger import Ledger\n"
        "from scanweave.pipeline.progress import silent\n"
        "if __name__ == '__main__':\n"
        "    root, out = map(Path, sys.argv[1:])\n"
        "    out.mkdir(exist_ok=True)\n"
        "    begin = time.perf_counter()\n"
        "    ledger = Ledger(out, writing=True)\n"
        "    how = {'leave_out': out, 'temporary': out, 'phi': False, 'processes': 2, 'progress': silent}\n"
        "    count = index(root, ledger, ('pre', 'flair', 'post'), **how)\n"
        "    seconds = round(time.perf_counter() - begin, 1)\n"
        # Not getrusage's figure, which a process takes over from the one that started it.
        "    peak = int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) // 1024\n"
        "    print(json.dumps({'count': count, 'seconds': seconds, 'peak_mb': peak}))\n"
    )
    script = room.folder / "measured_index.py"
    script.write_text(program)
    command = [sys.executable, str(script), str(room.root), str(out)]
    ran = subprocess.run(command, env=room.environment, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def _watched(process: subprocess.Popen[str]) -> float:
    """The most memory that the batch's own process has held, in MB."""
    peak = 0.0
    page = resource.getpagesize()
    while process.poll() is None:
        try:
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            break
        peak = max(peak, pages * page / 2**20)
        time.sleep(0.2)
    return peak


def main(argv: Sequence[str] | None = None) -> None:
    """Run one proof and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("proof", choices=("kills", "disk", "many"))
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--studies", type=int)
    parser.add_argument("--longest-life", type=float, default=LONGEST_LIFE_S, help="s; long enough for a real study")
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--megabytes", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--study", type=Path, action="append", default=[], help="a real study among the phantoms")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="batch-proof-") as folder:
        room = Room.within(Path(folder))
        if options.proof == "many":
            print(json.dumps(many_entries(room, options.studies or 10000, options.files)))
            return
        room.fill(options.studies or 12)
        for number, study in enumerate(options.study):
            shutil.copytree(study, room.root / f"real-{number}")
        if options.proof == "kills":
            seen = kill_at_random(room, options.kills, options.seed, longest_life_s=options.longest_life)
            print(json.dumps(vars(seen)))
        else:
            print(json.dumps(fill_the_disk(room, options.megabytes)))


if __name__ == "__main__":
    main()
