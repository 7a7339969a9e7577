"""Cases with a mask by an expert, for training and evaluation: which studies a folder holds, and each one's mask."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.io.files import is_nifti, reachable
from scanweave.transforms.io.find_study import StudyRequest
from scanweave.transforms.io.slice_files import is_slice, slice_form
from scanweave.transforms.io.slice_names import MASK_ENDING

LABEL = "label"
"""Stem of the mask's file beside the files of the roles."""
_NUMBERED = re.compile(r"(.+?)[_-](?:slice|z)?[0-9]+")
_PAIRED_FOLDERS = (("images", "labels"), ("image", "label"), ("img", "label"))


@dataclass(frozen=True)
class Case:
    """One study with its mask: a NIfTI file or picture of its own (`label`), or the masks among the slices (None).

    `name` is the case's path below the folder, or what the names of its pictures share; `patient` the first part of it,
    or of a numbered picture's name: what a split must keep together.
    """

    name: str
    patient: str
    request: StudyRequest
    label: Path | None = None

    @property
    def item(self) -> dict[str, Any]:
        """What a labelled chain begins with (`LoadStudyd`, `LoadTruthd`)."""
        return {"study": self.request, "case": self, "label_file": self.label}

    @property
    def files(self) -> tuple[Path, ...]:
        """The files (or the folder) that the case is read from."""
        roles = tuple(Path(value) for value in self.request.inputs.values())
        path = self.request.path
        named = [path / name for name in self.request.files] if path else []
        own = tuple(named or ([path] if path else []))
        return (*own, *roles, *((self.label,) if self.label else ()))


def find_cases(root: Path, roles: Sequence[str]) -> tuple[Case, ...]:
    """The cases below `root`, sorted by name.

    Layouts: `<patient>/<patient>_<n>.tif` with `..._mask.tif`; folders that hold `<role>.nii.gz` and
    `label.nii.gz`; `images/` + `labels/` with NIfTI files or pictures of one name (or `image`/`img` + `label`).
    Of the latter those called `<patient>_<n>` are one case, unless their sizes differ or all would be one patient's.

    Raises
    ------
    InputRefused
        INPUT_NOT_FOUND, EMPTY_INPUT for a folder without a case, MISSING_LABEL for images without a mask,
        DUPLICATE_POSITION for two cases of one name.
    """
    if not reachable(root) or not root.is_dir():
        raise InputRefused(Problem(Code.INPUT_NOT_FOUND, "expected a folder of cases", root.name))
    cases = _pairs(root) or [*_nifti_folders(root, roles), *_slice_folders(root)]
    if not cases:
        layouts = "<patient>/<patient>_<n>.tif with masks, <case>/flair.nii.gz with label.nii.gz, images/ + labels/"
        raise InputRefused(Problem(Code.EMPTY_INPUT, f"expected cases with masks ({layouts}), found none", root.name))
    _check_names(cases)
    return tuple(sorted(cases, key=lambda case: case.name))


def _check_names(cases: Sequence[Case]) -> None:
    """x.png beside x.tif: figures, pictures and splits go by names."""
    counts = Counter(case.name for case in cases)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise InputRefused(
            [Problem(Code.DUPLICATE_POSITION, "two cases of one name", f"case {name}") for name in twice]
        )


def _pairs(root: Path) -> list[Case]:
    for images, labels in _PAIRED_FOLDERS:
        if (root / images).is_dir() and (root / labels).is_dir():
            return _paired(root / images, root / labels)
    return []


def _paired(images: Path, labels: Path) -> list[Case]:
    by_stem = {_stem(path): path for path in sorted(labels.iterdir()) if is_nifti(path) or is_slice(path)}
    files = [path for path in sorted(images.iterdir()) if is_nifti(path) or is_slice(path)]
    missing = [path for path in files if _stem(path) not in by_stem]
    if missing:
        message = f"expected a mask of its name in {labels.name}/ ({len(missing)} of {len(files)} images have none)"
        raise InputRefused(Problem(Code.MISSING_LABEL, message, missing[0].name))
    patients = _patients([_stem(path) for path in files]) if all(map(is_slice, files)) else {}
    by_patient: dict[str, list[Path]] = {}
    for path in files:
        by_patient.setdefault(patients.get(_stem(path), _stem(path)), []).append(path)
    cases = []
    for patient, own in by_patient.items():
        if patient not in by_stem and _of_one_size(own):
            cases.append(_volume(patient, [*own, *(by_stem[_stem(path)] for path in own)], images.parent))
        else:
            cases += [Case(_stem(path), patient, StudyRequest(path), by_stem[_stem(path)]) for path in own]
    return cases


def _volume(patient: str, files: Sequence[Path], root: Path) -> Case:
    """The pictures of a patient and their masks as one volume, which is normalised and judged as a whole."""
    return Case(patient, patient, StudyRequest(root, files=tuple(str(file.relative_to(root)) for file in files)))


def _of_one_size(pictures: Sequence[Path]) -> bool:
    """Broken ones do not count: who reads the volume refuses them by name."""
    forms = [slice_form(path) for path in pictures]
    return len({(form.rows, form.columns) for form in forms if not isinstance(form, Problem)}) <= 1


def _patients(stems: Sequence[str]) -> dict[str, str]:
    """Of pictures called <patient>_<slice>: slices of one must not lie on both sides of a split.

    None where all would be one patient's: then the numbers are those of the pictures.
    """
    named = {stem: match[1] for stem in stems if (match := _NUMBERED.fullmatch(stem))}
    return named if len(set(named.values())) > 1 else {}


def _nifti_folders(root: Path, roles: Sequence[str]) -> list[Case]:
    """Each folder with a mask; names that are no role's (`t1.nii.gz`) are understood as in a study's folder."""
    labels = sorted(path for path in _below(root, f"{LABEL}.nii*") if is_nifti(path))
    unlabelled = {path.parent for role in roles for path in _below(root, f"{role}.nii*") if is_nifti(path)}
    _check_labelled(unlabelled - {label.parent for label in labels}, root, f"{LABEL}.nii.gz")
    cases = []
    for label in labels:  # two in a folder are two cases of one name
        folder = label.parent
        own = {_stem(path): path for path in sorted(folder.iterdir()) if is_nifti(path) and _stem(path) != LABEL}
        inputs = {role: str(own[role]) for role in roles if role in own}
        if not own:
            continue
        searched = folder if len(inputs) < min(len(own), len(roles)) else None
        known = (label, *(own[role] for role in inputs))
        cases.append(Case(*_names(folder, root), StudyRequest(searched, inputs, leave_out=known), label))
    return cases


def _slice_folders(root: Path) -> list[Case]:
    """Each folder with masks among its slices; its neighbours must have some too."""
    folders = {path.parent for path in _below(root, f"*{MASK_ENDING}.*") if is_slice(path)}
    kinds = {path.suffix for folder in folders for path in folder.iterdir() if is_slice(path)}
    pictures = {path.parent for kind in kinds for path in _below(root, f"*{kind}") if is_slice(path)}
    neighbours = {folder.parent for folder in folders}
    unlabelled = {folder for folder in pictures - folders if folder.parent in neighbours}
    _check_labelled(unlabelled - {root}, root, "masks")
    return [Case(*_names(folder, root), StudyRequest(folder)) for folder in sorted(folders)]


def _check_labelled(without: Collection[Path], root: Path, expected: str) -> None:
    """A figure over the others would not be that of the data."""
    if without:
        raise InputRefused(
            [
                Problem(Code.MISSING_LABEL, f"expected {expected} beside its images, found none", f"case {name}")
                for name in sorted(_names(folder, root)[0] for folder in without)
            ]
        )


def _below(root: Path, pattern: str) -> Iterator[Path]:
    """Files below `root`, also below links to patients' folders: a choice of patients is often a folder of links."""
    yield from root.glob(pattern)
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        yield from folder.rglob(pattern)


def _names(folder: Path, root: Path) -> tuple[str, str]:
    """The name of a case and of its patient; a case that lies in the root itself is called as the root."""
    parts = folder.relative_to(root).parts or (folder.resolve().name,)
    return "/".join(parts), parts[0]


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0]
