"""A small study to break, a bundle whose network is quick, and one try of the program with all that must hold of it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from external_tools import require_tool

from scanweave.cli import main
from scanweave.pipeline.phantom_dicom import phantom_uid
from scanweave.transforms.io.dicom_index import index_dicom
from scanweave.transforms.io.dicom_volume import read_dicom_volume

SLICES, STRIDE = 9, 4
"""Nine slices are one more than a head needs, every fourth pixel is enough to register: a run takes a second."""
COLUMNS = 52
"""Of the FLAIR; the T1 have some more."""
ROLES = {"pre": "Ax T1", "flair": "Ax FLAIR", "post": "Ax T1 +C"}
PATIENT = {"PatientName": "Hidden^Person", "PatientID": "ID-4711", "PatientBirthDate": "19700131"}
SECRETS = ("Hidden", "ID-4711", "19700131")
"""Of the patient; they appear in no line, no file name and no result but the DICOM objects."""
Change = Callable[[pydicom.Dataset, int], object]
LINE = re.compile(r"error\[([A-Z_]+)\]: \S.*")
UID = re.compile(r"\d+(\.\d+){6,}|2\.25\.\d+")
WHOLE = {"segmentation.nii.gz", "segmentation.dcm", "measurements.dcm", "report.html", "result.json"}


@dataclass(frozen=True)
class Ran:
    """What one run of the command left behind on its streams."""

    exit_code: int
    out: str
    lines: tuple[str, ...]

    @property
    def codes(self) -> list[str]:
        """The code of each line on stderr; a line that is no refusal fails."""
        matches = [LINE.fullmatch(line) for line in self.lines]
        assert all(matches), f"lines that are no refusal: {self.lines}"
        return [match[1] for match in matches]


def run(*arguments: object) -> Ran:
    """`scanweave ARGUMENTS` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        exit_code = main([str(argument) for argument in arguments])
    return Ran(exit_code, out.getvalue(), tuple(err.getvalue().splitlines()))


def console_script(*arguments: object) -> list[str]:
    """The words of `scanweave ARGUMENTS` for a process of its own: the script that stands beside this Python."""
    return [str(Path(sys.executable).with_name("scanweave")), *(str(argument) for argument in arguments)]


def without_privilege(*command: str) -> list[str]:
    """`command` as somebody whom file modes bind: root is stripped of the privilege to ignore them."""
    if os.geteuid() != 0:
        return list(command)
    drop = "-dac_override,-dac_read_search"
    return [require_tool("setpriv"), "--bounding-set", drop, "--inh-caps", drop, *command]


def tree(folder: Path) -> dict[str, str]:
    """Every path below `folder`, hidden ones too, and what is there: a digest of a file's bytes, or its kind."""
    return {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*"))}


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return "folder" if path.is_dir() else "special"


@dataclass(frozen=True)
class Trial:
    """A study to break, an output folder that is not there yet, and a temporary folder that is to stay empty."""

    root: Path
    bundle: Path

    @property
    def study(self) -> Path:
        """A copy of the small study."""
        return self.root / "study"

    @property
    def out(self) -> Path:
        """Where results go: neither it nor its parent exists."""
        return self.root / "results" / "out"

    def slices(self, role: str) -> list[Path]:
        """The files of a role, in order of position."""
        return sorted(self.study.glob(f"{role}_*.dcm"))

    def segment(self, *arguments: object, out: Path | None = None) -> Ran:
        """`scanweave segment ARGUMENTS -o OUT` with the quick network."""
        return run("segment", *arguments, "-o", out or self.out, "--bundle", self.bundle)

    def refused(self, code: str, *arguments: object, exit_code: int = 3, out: Path | None = None) -> Ran:
        """Assert that `segment` refuses with `code` first, on lines of their own, and leaves all as it was."""
        before = tree(self.root)
        ran = self.segment(*arguments, "--json", out=out)
        assert (ran.exit_code, ran.out) == (exit_code, ""), ran
        assert ran.codes[0] == code, ran.lines
        assert not any(secret in line for line in ran.lines for secret in SECRETS)
        assert tree(self.root) == before, "something was left behind or the input was changed"
        return ran

    def refused_by_header(self, code: str, *arguments: object) -> Ran:
        """As `refused`; `inspect` comes to the same judgement without a pixel."""
        ran = self.refused(code, *arguments)
        seen = run("inspect", *arguments, "--json", "--bundle", self.bundle)
        assert (seen.exit_code, seen.lines) == (ran.exit_code, ran.lines)
        assert json.loads(seen.out)["error"] == code
        assert not any(secret in seen.out for secret in SECRETS)
        return ran

    def inspected(self, *arguments: object) -> dict[str, Any]:
        """Assert that `inspect` finds nothing wrong; its document."""
        before = tree(self.root)
        seen = run("inspect", *arguments, "--json", "--bundle", self.bundle)
        assert (seen.exit_code, seen.lines) == (0, ())
        assert tree(self.root) == before, "inspect writes nothing"
        found = json.loads(seen.out)
        assert found["error"] is None and set(found["roles"]) == set(ROLES)
        return found

    def done(self, *arguments: object, out: Path | None = None, files: set[str] = WHOLE) -> Path:
        """Assert that `segment` succeeds and its results are whole; their folder."""
        out = out or self.out
        ran = self.segment(*arguments, "--json", out=out)
        assert (ran.exit_code, ran.lines) == (0, ()), ran.lines
        result = json.loads(ran.out, parse_constant=pytest.fail)
        folders = [path.parent for path in out.glob("*/result.json") if json.loads(path.read_text()) == result]
        assert len(folders) == 1
        assert {path.name for path in folders[0].iterdir()} == files
        assert not any((self.root / "tmp").iterdir())
        shown = [ran.out, *tree(out)]
        assert not any(secret in text for text in shown for secret in SECRETS)
        assert not UID.search(ran.out), "UIDs are shown with --phi only"
        for name in files & {"segmentation.nii.gz", "probability.nii.gz"}:
            assert np.asarray(nib.load(folders[0] / name).dataobj).ndim == 3
        return folders[0]


def edit(
    files: list[Path] | Path, change: Callable[[pydicom.Dataset, int], object] | None = None, **values: Any
) -> None:
    """Rewrite DICOM files with `values`; None removes an attribute. `change` gets each dataset and its number."""
    for n, path in enumerate([files] if isinstance(files, Path) else files):
        dataset = pydicom.dcmread(path)
        for keyword, value in values.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        if change is not None:
            change(dataset, n)
        dataset.save_as(path)


def another(files: list[Path], name: str, *, same: str = "StudyInstanceUID", **values: Any) -> list[Path]:
    """Copies of `files` beside them as <name>_<n>.dcm under UIDs of their own, but for those named in `same`."""
    kept = same.split()
    copies = [Path(shutil.copy(path, path.with_name(f"{name}_{n:02d}.dcm"))) for n, path in enumerate(files)]

    def rename(dataset: pydicom.Dataset, n: int) -> None:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
            if keyword not in kept:
                setattr(dataset, keyword, phantom_uid(0, name, keyword, dataset[keyword].value))
        if "SOPInstanceUID" not in kept:
            dataset.SOPInstanceUID = phantom_uid(0, name, dataset.SeriesInstanceUID, n)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID

    edit(copies, rename, **values)
    return copies


def uid_of(path: Path, keyword: str = "SeriesInstanceUID") -> str:
    """A UID of a DICOM file."""
    return str(pydicom.dcmread(path, stop_before_pixels=True)[keyword].value)


def write_nifti_study(study: Path, folder: Path) -> dict[str, Path]:
    """The DICOM study as <role>.nii.gz, all on the shape of the FLAIR; their paths by role."""
    folder.mkdir()
    files = {}
    for role, series in zip(ROLES, index_dicom(sorted(study.glob("*.dcm"))).series, strict=True):
        volume, _ = read_dicom_volume(series)
        files[role] = folder / f"{role}.nii.gz"
        write_nifti(files[role], volume.array[:COLUMNS], volume.affine)
    return files


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray, **header: Any) -> Path:
    """A NIfTI file with sform and qform set, and then the fields of its header in `header`."""
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    for field, value in header.items():
        image.header[field] = value
    nib.save(image, path)
    return path
