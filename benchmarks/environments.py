"""A virtual environment for each contender: made once, made anew when what it should hold has changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent
CHECKOUT = BENCHMARKS.parent
REQUIREMENTS = BENCHMARKS / "requirements"
PACKAGE = (
    "setup.cfg",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "src",
    "pipeline",
    "transforms",
    "networks",
    "bundles",
)
"""What a wheel of scanweave is built from."""
PINS = ("setup.cfg", "constraints.txt")
"""What its dependencies depend on."""
NOT_SOURCES = ("__pycache__", "*.egg-info")
WHEEL = "{wheel}"
"""Stands in a requirements file for the wheel of this checkout."""


class EnvironmentFailure(Exception):
    """An environment could not be made: nothing to measure, and a reason to print."""


@dataclass(frozen=True)
class Environment:
    """Where its programs are, and the versions of its packages."""

    bin: Path
    packages: dict[str, str]


def environment(requirements: str, folder: Path) -> Environment:
    """The environment of one file of benchmarks/requirements/ in `folder`.

    Raises EnvironmentFailure with the last line that pip or the build printed.
    """
    text = (REQUIREMENTS / requirements).read_text()
    place = folder / Path(requirements).stem
    own = WHEEL in text
    wanted = digest([text, sys.version, *((CHECKOUT / name).read_text() for name in PINS if own)])
    stamp = place / "stamp"
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        _run(sys.executable, "-m", "venv", place)
        if not own:
            _pip(place, "--requirement", REQUIREMENTS / requirements)
    if own:
        _own_wheel(text, place)
    stamp.write_text(wanted)
    listed = _run(place / "bin" / "python", "-m", "pip", "list", "--format", "json")
    return Environment(place / "bin", {package["name"]: package["version"] for package in json.loads(listed)})


def digest(texts: Iterable[str | bytes]) -> str:
    """SHA-256 over the texts in order."""
    total = hashlib.sha256()
    for text in texts:
        total.update(hashlib.sha256(text.encode() if isinstance(text, str) else text).digest())
    return total.hexdigest()


def _own_wheel(text: str, place: Path) -> None:
    """Install this checkout's wheel; only the wheel anew where nothing but scanweave's code has changed."""
    stamp = place / "wheel-stamp"
    with tempfile.TemporaryDirectory() as temporary:
        source = _copied(Path(temporary) / "source")
        files = sorted(path for path in source.rglob("*") if path.is_file())
        wanted = digest(part for path in files for part in (str(path.relative_to(source)), path.read_bytes()))
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", temporary, source)
        (wheel,) = Path(temporary).glob("scanweave-*.whl")
        if stamp.is_file():
            _pip(place, "--force-reinstall", "--no-deps", wheel)
        else:
            filled = Path(temporary) / "requirements.txt"
            filled.write_text(text.format(wheel=wheel, checkout=CHECKOUT))
            _pip(place, "--requirement", filled)
    stamp.write_text(wanted)


def _copied(target: Path) -> Path:
    """The package's sources by themselves: a build would leave its files in the checkout, and ship older ones."""
    target.mkdir()
    for name in PACKAGE:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, target / name, ignore=shutil.ignore_patterns(*NOT_SOURCES))
        else:
            shutil.copy2(CHECKOUT / name, target / name)
    return target


def _pip(place: Path, *arguments: object) -> None:
    _run(place / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)


def _run(*command: object) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, env=without_python_settings())
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise EnvironmentFailure(f"{Path(words[0]).name} {' '.join(words[1:4])}: {lines[-1]}")
    return done.stdout


def without_python_settings() -> dict[str, str]:
    """This process's environment without what would make another Python look into it (PYTHONPATH, VIRTUAL_ENV)."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
