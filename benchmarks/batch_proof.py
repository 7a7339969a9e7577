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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))

from batch_rooms import add_patient, check_whole, marks, states  # noqa: E402
from study_fixtures import make_small_bundle, make_small_study  # noqa: E402

from scanweave.pipeline.phantom_dicom import write_phantom_study  # noqa: E402

SCANWEAVE = [sys.executable, "-m", "scanweave"]
LONGEST_LIFE_S = 8.0
"""After which a run is killed at the latest; to start takes about two."""
GONE_S = 30.0


@dataclass
class Room:
    """Studies to be done, the bundle that does them, and a temporary folder that is to be empty in the end."""

    folder: Path
    bundle: Path
    small: Path
    root: Path
    temporary: Path

    @classmethod
    def within(cls, folder: Path) -> Room:
        """A new one."""
        phantom = write_phantom_study(folder / "phantom", seed=7)
        small = make_small_study(phantom, folder / "small")
        bundle = make_small_bundle(folder / "quick")
        root, temporary = folder / "root", folder / "tmp"
        root.mkdir()
        temporary.mkdir()
        return cls(folder, bundle, small, root, temporary)

    def fill(self, good: int, bad: int = 2) -> None:
        """Good studies, and as many that lack a slice, and a broken archive."""
        for n in range(good + bad):
            files = add_patient(self.small, self.root / f"{n:05d}", n)
            if n >= good:
                files[12].unlink()
        (self.root / "broken.zip").write_bytes(b"PK\x03\x04")

    @property
    def environment(self) -> dict[str, str]:
        """Of the batch's processes."""
        return {**os.environ, "TMPDIR": str(self.temporary), "SCANWEAVE_SITE_KEY": "proof"}

    def start(self, out: Path, *options: object) -> subprocess.Popen[str]:
        """A batch in a session of its own."""
        command = [*SCANWEAVE, "batch", str(self.root), "-o", str(out), "--bundle", str(self.bundle), "--json"]
        command += [str(option) for option in options]
        return subprocess.Popen(command, env=self.environment, start_new_session=True, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip


@dataclass
class Kills:
    """What was seen so far."""

    kills: int = 0
    rounds: int = 0
    at: dict[str, int] = field(default_factory=dict)
    studies: int = 0


def kill_at_random(room: Room, kills: int, seed: int, *, tell: bool = True) -> Kills:
    """Kill a batch again and again, alone or with all its processes, until it was killed so often and is complete."""
    chance = random.Random(seed)
    seen = Kills()
    while seen.kills < kills:
        out = room.folder / f"out-{seen.rounds}"
        before: dict[str, tuple[int, int]] = {}
        while True:
            process = room.start(out)
            try:
                process.communicate(timeout=chance.uniform(0.2, LONGEST_LIFE_S))
                ended = True
            except subprocess.TimeoutExpired:
                whole_group = chance.random() < 0.5
                os.killpg(process.pid, signal.SIGKILL) if whole_group else process.kill()
                process.communicate()
                _wait_for_orphans(process.pid)
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


def _wait_for_orphans(session: int) -> None:
    """Processes of a batch that was killed end by themselves."""
    deadline = time.monotonic() + GONE_S
    while _alive(session):
        assert time.monotonic() < deadline, "processes of the batch live on"
        time.sleep(0.05)


def _alive(session: int) -> bool:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                return True
    return False


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


@dataclass
class SmallDisk:
    """A tmpfs."""

    path: Path
    megabytes: float

    def grow(self, megabytes: float) -> None:
        """Give it more space."""
        self.megabytes += megabytes
        size = f"size={int(self.megabytes * 1024)}k"
        subprocess.run(["mount", "-o", f"remount,{size}", str(self.path)], check=True)


@contextmanager
def small_disk(path: Path, megabytes: float) -> Iterator[SmallDisk]:
    """A disk of that size at `path`; needs root."""
    path.mkdir()
    size = f"size={int(megabytes * 1024)}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(path)], check=True)
    try:
        yield SmallDisk(path, megabytes)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


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


def write_tiny_studies(root: Path, small: Path, studies: int, files: int) -> None:
    """`studies` of `files` DICOM images of 8 x 8 pixels each, a folder a study."""
    import pydicom

    dataset = pydicom.dcmread(next(small.glob("flair*.dcm")))
    dataset.Rows = dataset.Columns = 8
    dataset.PixelData = bytes(128)
    for number in range(studies):
        folder = root / f"{number // 1000:03d}" / f"{number:06d}"
        folder.mkdir(parents=True)
        dataset.StudyInstanceUID = f"1.2.826.0.1.3680043.8.498.{number + 1}"
        for n in range(files):
            dataset.SeriesInstanceUID = f"{dataset.StudyInstanceUID}.{n % 2 + 1}"
            dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{n + 1}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.InstanceNumber = n
            dataset.save_as(folder / f"{n:04d}.dcm")


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
        "    how = {'leave_out': out, 'phi': False, 'processes': 2, 'progress': silent}\n"
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
            print(json.dumps(vars(kill_at_random(room, options.kills, options.seed))))
        else:
            print(json.dumps(fill_the_disk(room, options.megabytes)))


if __name__ == "__main__":
    main()
