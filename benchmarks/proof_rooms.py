"""Where a batch is put to the proof: small studies with their quick bundle, and a disk that is too small."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from batch_rooms import add_patient
from study_fixtures import make_small_bundle, make_small_study

from scanweave.pipeline.phantom_dicom import write_phantom_study

SCANWEAVE = [sys.executable, "-m", "scanweave"]


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
    path.mkdir(exist_ok=True)
    size = f"size={int(megabytes * 1024)}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(path)], check=True)
    try:
        yield SmallDisk(path, megabytes)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
