"""Where scanweave writes: the working folder, the temporary one, and the site's key. Nothing is left there."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from scanweave.errors import ScanweaveError
from scanweave.pipeline import identity
from scanweave.pipeline.doctor.check import Check, State

ROOM_MIB = 500
"""The probabilities of an isotropic volume take 64 MiB before compression, an unpacked zip of a study some 300."""
_MIB = 1 << 20


def check_places() -> list[Check]:
    """Working folder, temporary folder, site key, encoding of file names."""
    return [
        check_folder("working folder", None, State.WARNING, "go to another folder, or write elsewhere: -o OUT"),
        _temporary(),
        check_site_key(),
        _encoding(),
    ]


def check_folder(name: str, folder: Path | None, state: State, elsewhere: str) -> Check:
    """Whether files can be made there, and how much room is left; `state` if not, `elsewhere` then.

    None is the working folder, whose path is not looked up unless it is there.
    """
    try:
        folder = folder or Path.cwd()
        shown = at_home(folder)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".scanweave-") as probe:
            probe.write(bytes(_MIB))
            probe.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        shown = at_home(folder) if folder else "gone"
        return Check(name, state, f"{shown}: {error.strerror or type(error).__name__}", elsewhere)
    found = f"{shown}, {_size(free)} free"
    if free < ROOM_MIB * _MIB:
        return Check(name, State.WARNING, found, f"free some space (a study may take {ROOM_MIB} MiB), or {elsewhere}")
    return Check(name, State.OK, found)


def check_site_key() -> Check:
    """Where the key of names is; never what it is. One that is not there is made at first use, not here."""
    name, variable = "site key", identity.KEY_VARIABLE
    if os.environ.get(variable):
        return Check(name, State.OK, f"in {variable}")
    try:
        path = identity._key_file()
        if path.exists():
            identity.site_key()  # reads it
            mode = path.stat().st_mode
        elif _can_be_made(path):
            return Check(name, State.OK, f"none yet; made at first use: {at_home(path)}")
        else:
            return Check(name, State.MISSING, f"cannot be stored: {at_home(path)}", f"set {variable}")
    except ScanweaveError as refusal:
        return Check(name, State.MISSING, refusal.problems[0].message, f"mend or remove the file, or set {variable}")
    except OSError as error:
        return Check(name, State.MISSING, error.strerror or type(error).__name__, f"set {variable}")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Check(name, State.WARNING, f"{at_home(path)} is open to others", f"chmod 600 {at_home(path)}")
    return Check(name, State.OK, at_home(path))


def at_home(path: Path) -> str:
    """A path with ~ for the home folder, which often names its user."""
    try:
        return str(Path("~", path.relative_to(Path.home())))
    except (ValueError, RuntimeError):
        return str(path)


def _temporary() -> Check:
    elsewhere = "set TMPDIR to a folder that can be written"
    try:
        folder = Path(tempfile.gettempdir())
    except OSError:
        return Check("temporary folder", State.MISSING, "none can be written: a .zip cannot be unpacked", elsewhere)
    asked = os.environ.get("TMPDIR")
    check = check_folder("temporary folder", folder, State.MISSING, elsewhere)
    if check.state is State.OK and asked and Path(asked).absolute() != folder:
        found = f"TMPDIR cannot be written; instead {check.found}"
        return Check("temporary folder", State.WARNING, found, elsewhere)
    return check


def _encoding() -> Check:
    encoding = sys.getfilesystemencoding()
    if encoding.lower().replace("-", "") == "utf8":
        return Check("file names", State.OK, encoding)
    return Check("file names", State.WARNING, f"{encoding}: others than ASCII may fail", "set PYTHONUTF8=1")


def _can_be_made(path: Path) -> bool:
    nearest = next(folder for folder in path.parents if folder.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _size(count: int) -> str:
    mib = count / _MIB
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"
