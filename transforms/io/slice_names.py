"""From the names of picture files to stacks: which slices belong together, in which order, and each one's mask."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scanweave.errors import Code, Problem
from scanweave.transforms.io.slice_files import is_slice

IMAGE_FOLDERS = frozenset({"image", "images", "img"})
MASK_FOLDERS = frozenset({"mask", "masks", "label", "labels"})
"""Pictures below folders so named belong to the folder above them; in the latter they are masks."""
MASK_ENDING = "_mask"
UNNAMED = "slices"
RESULT_MARK, RESULT_FOLDERS = "result.json", frozenset({"masks", "overlay"})
"""What an earlier run wrote: its pictures are no slices."""
_NO_NAMES = ("", ".", "..")
"""Of a folder; the stem of `...png` is one of them."""
_NUMBERS = re.compile(r"(\d+)")
_SEPARATORS = re.compile(r"[_\-. ]+")


@dataclass(frozen=True)
class SliceStack:
    """The slices of one study in order, the mask of each (None where there is none), and what is wrong with them.

    `numbers` are those by which the slices are ordered, () where the names hold no single running number.
    """

    name: str
    slices: tuple[Path, ...]
    masks: tuple[Path | None, ...]
    numbers: tuple[int, ...] = ()
    problems: tuple[Problem, ...] = ()


def stack_slices(files: Iterable[Path], root: Path, own_name: str) -> tuple[SliceStack, ...]:
    """Sort the pictures among `files`, which lie below `root`, into stacks with names of their own.

    `<patient>_<n>` with `<patient>_<n>_mask`, pairs of one name in `images/` and `masks/`, or any names that hold a
    running number. What lies in different folders, or differs in its name by more than the running number, is a
    different study. `own_name` is the study's that lies in `root` itself.
    """
    files = tuple(files)
    results = {file.parent for file in files if file.name == RESULT_MARK}
    slices: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    masks: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for path in files:
        if not is_slice(path) or (path.parent.parent in results and path.parent.name in RESULT_FOLDERS):
            continue
        folders = path.relative_to(root).parts[:-1]
        home = tuple(part for part in folders if part.lower() not in IMAGE_FOLDERS | MASK_FOLDERS)
        masked = path.stem.lower().endswith(MASK_ENDING) or any(part.lower() in MASK_FOLDERS for part in folders)
        (masks if masked else slices)[home].append(path)
    homes = {home: _stacks_of(slices[home], masks[home], home[-1] if home else own_name) for home in sorted(slices)}
    return _named_apart(homes)


def _stacks_of(slices: Sequence[Path], masks: Sequence[Path], name: str) -> list[SliceStack]:
    """The stacks of one folder: a mask that fits no slice is every stack's problem."""
    problems: list[Problem] = []
    by_stem: dict[str, Path] = {}
    for mask in masks:
        stem = mask.stem[: -len(MASK_ENDING)] if mask.stem.lower().endswith(MASK_ENDING) else mask.stem
        if stem in by_stem:
            message = f"two masks for one slice, the other is {by_stem[stem].name}"
            problems.append(Problem(Code.DUPLICATE_POSITION, message, mask.name))
        by_stem[stem] = mask
    stems = {path.stem for path in slices}
    strays = [mask.name for stem, mask in by_stem.items() if stem not in stems]
    if strays:
        message = f"{len(strays)} mask(s) without the slice of that name"
        problems.append(Problem(Code.MISSING_SLICE, message, strays[0]))
    groups = _groups(slices)
    return [
        SliceStack(
            name=_name_of(group, numbers) if len(groups) > 1 else name,
            slices=tuple(group),
            masks=tuple(by_stem.get(path.stem) for path in group),
            numbers=numbers,
            problems=(*_repetitions(group, numbers), *problems),
        )
        for group, numbers in groups
    ]


def _groups(slices: Sequence[Path]) -> list[tuple[list[Path], tuple[int, ...]]]:
    """Names that differ by one running number alone are one group; names that all differ otherwise are one too."""
    alike: dict[tuple[tuple[str, ...], int | None, tuple[int, ...]], list[Path]] = defaultdict(list)
    by_text: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for path in slices:
        by_text[tuple(_pieces(path)[::2])].append(path)
    for text, paths in by_text.items():
        columns = list(zip(*(_numbers(path) for path in paths), strict=True))
        varying = [place for place, column in enumerate(columns) if len(set(column)) > 1]
        running = varying[-1] if varying else None
        for path in paths:
            others = tuple(n for place, n in enumerate(_numbers(path)) if place != running)
            alike[(text, running, others)].append(path)
    if all(len(group) == 1 for group in alike.values()):
        return [(sorted(slices, key=_natural), ())]
    found = []
    for (_, running, _), paths in alike.items():
        group = sorted(paths, key=_natural)
        found.append((group, () if running is None else tuple(_numbers(path)[running] for path in group)))
    return found


def _pieces(path: Path) -> list[str]:
    """Text and digits by turns, text first and last."""
    return _NUMBERS.split(path.stem)


def _numbers(path: Path) -> list[int]:
    return [int(digits) for digits in _pieces(path)[1::2]]


def _natural(path: Path) -> tuple[list[str | int], str]:
    pieces = _pieces(path)
    return [int(piece) if place % 2 else piece for place, piece in enumerate(pieces)], path.name


def _repetitions(group: Sequence[Path], numbers: Sequence[int]) -> list[Problem]:
    """Two files for one slice: x_1.png beside x_1.tif, or beside x_01.png."""
    marks: Sequence[object] = numbers or [path.stem for path in group]
    first: dict[object, Path] = {}
    problems = []
    for mark, path in zip(marks, group, strict=True):
        if mark in first:
            message = f"two files for one slice, the other is {first[mark].name}"
            problems.append(Problem(Code.DUPLICATE_POSITION, message, path.name))
        first.setdefault(mark, path)
    return problems


def _name_of(group: Sequence[Path], numbers: Sequence[int]) -> str:
    """What the names of a group share: all but the running number."""
    pieces = _pieces(group[0])
    if numbers:
        columns = list(zip(*(_numbers(path) for path in group), strict=True))
        running = next(place for place, column in enumerate(columns) if list(column) == list(numbers))
        pieces[2 * running + 1] = "_"
    name = _SEPARATORS.sub("_", "".join(pieces)).strip("_") or group[0].stem
    return name if name not in _NO_NAMES else UNNAMED


def _named_apart(homes: dict[tuple[str, ...], list[SliceStack]]) -> tuple[SliceStack, ...]:
    """Stacks of one name get their folders before it, and a number where that does not help."""
    counts = Counter(stack.name for stacks in homes.values() for stack in stacks)
    found: list[SliceStack] = []
    for home, stacks in homes.items():
        for stack in stacks:
            above = home[:-1] if home and home[-1] == stack.name else home
            name = "_".join((*above, stack.name)) if counts[stack.name] > 1 else stack.name
            taken = {other.name for other in found}
            number = 2
            while name in taken:
                name, number = f"{stack.name}_{number}", number + 1
            found.append(replace(stack, name=name))
    return tuple(found)
