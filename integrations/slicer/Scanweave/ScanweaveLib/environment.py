"""scanweave's own Python environment, beside Slicer's: made, measured and removed as a whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LEAST_PYTHON = (3, 11)
SIZE = "About 0.4 GB are downloaded and 1.7 GB needed on the disk; with GPU libraries (Linux) several GB more."
"""Said before anything is loaded."""
PACKAGE = "scanweave[viewer]"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""On Linux, PyTorch without CUDA; elsewhere PyPI's has none."""
_NAMES = ("python3.13", "python3.12", "python3.11", "python3", "python")
_ASKED = "import sys; print(*sys.version_info[:2])"
_OF_SLICER = ("PYTHON", "LD_LIBRARY_PATH", "DYLD_", "QT_")
"""Beginnings of variables by which Slicer's libraries would reach another Python."""


@dataclass(frozen=True)
class Source:
    """Where packages come from: PyPI, or a folder of wheels; through `proxy` and with `certificates` (PEM)."""

    wheelhouse: str = ""
    proxy: str = ""
    certificates: str = ""
    cpu_only: bool = True


class OwnEnvironment:
    """A virtual environment in `folder`; nothing of it is ever in Slicer's own Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def python(self) -> Path:
        """Its interpreter, which need not be there."""
        return self.folder / "Scripts" / "python.exe" if os.name == "nt" else self.folder / "bin" / "python"

    @property
    def command(self) -> tuple[str, ...]:
        """What starts scanweave; isolated (-I), for Slicer sets variables that lead to its own libraries."""
        return (str(self.python), "-I", "-m", "scanweave")

    @property
    def is_there(self) -> bool:
        """Whether it was made to the end."""
        return (self.folder / "installed").is_file()

    def steps(self, python: str, source: Source) -> tuple[tuple[str, ...], ...]:
        """The commands that make it, one after the other."""
        pip = (str(self.python), "-I", "-m", "pip", "install", "--disable-pip-version-check")
        if source.wheelhouse:
            options = ("--no-index", "--find-links", source.wheelhouse)
        elif source.cpu_only and sys.platform == "linux":
            options = ("--extra-index-url", CPU_INDEX)
        else:
            options = ()
        if source.proxy:
            options += ("--proxy", source.proxy)
        if source.certificates:
            options += ("--cert", source.certificates)
        finish = (str(self.python), "-I", "-c", "import pathlib, sys; pathlib.Path(sys.prefix, 'installed').touch()")
        return ((python, "-I", "-m", "venv", "--clear", str(self.folder)), (*pip, *options, PACKAGE), finish)

    def remove(self) -> None:
        """All of it."""
        if self.folder.is_dir() and (self.folder / "pyvenv.cfg").is_file():
            shutil.rmtree(self.folder)


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what would lead another Python to Slicer's libraries; its output is UTF-8 on every system."""
    kept = {name: value for name, value in environment.items() if not name.upper().startswith(_OF_SLICER)}
    return {**kept, "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"}


def pythons(environment: Mapping[str, str], extra: Sequence[str] = ()) -> tuple[str, ...]:
    """Interpreters that are new enough: those of PATH, on Windows the launcher's, and `extra` ones."""
    path = environment.get("PATH", "")
    candidates = [*filter(None, (shutil.which(name, path=path) for name in _NAMES))]
    if os.name == "nt" and (launcher := shutil.which("py", path=path)):
        candidates += [launcher]
    return tuple(dict.fromkeys(one for one in (*candidates, *extra) if _is_new_enough(one, clean(environment))))


def _is_new_enough(python: str, environment: Mapping[str, str]) -> bool:
    try:
        said = subprocess.run(
            (python, "-c", _ASKED), capture_output=True, text=True, timeout=20, check=True, env=dict(environment)
        ).stdout
        return tuple(int(part) for part in said.split()) >= LEAST_PYTHON
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
