"""Which studies a heap of pictures holds, from names and headers: no pixel is read here."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from scanweave.errors import Code, Problem
from scanweave.transforms.io.series import HeaderFacts, Series
from scanweave.transforms.io.slice_files import Pixels, SliceForm, is_slice, slice_form
from scanweave.transforms.io.slice_names import UNNAMED, SliceStack, stack_slices

SOURCE = "slices"
"""`Series.source` of pictures."""
MAX_VALUES = 2**29
"""Of a study, all channels together: 2 GiB as float32, 2,730 slices of 256 x 256 RGB. More is no MR study."""
LISTED = 5
"""Numbers that a warning names."""
SINGLE_SLICE = "a single slice: the network was trained on whole volumes, whose brightness one slice lacks"
_WITH_COLOUR = {Pixels.COLOUR, Pixels.GRAY, Pixels.BILEVEL}
"""What may stand in one folder of RGB slices: programs store a colourless picture as gray, a black one as 1-bit."""
_WITH_GRAY = {Pixels.GRAY, Pixels.BILEVEL}


def index_slices(files: Sequence[Path], path: Path) -> tuple[Series, ...]:
    """The studies among the pictures of `files`, which were found under the input `path`.

    A stack of RGB slices is one series for each channel, one of gray slices is one series; `study_uid` is the
    stack's name, by which --study chooses. Spacing is not known.
    """
    pictures = [file for file in files if is_slice(file)]
    if not pictures:
        return ()
    # The files of a zip lie in a folder whose name says nothing, and a single file's own folder does not count.
    root = path if path.is_dir() else Path(os.path.commonpath([file.parent for file in pictures]))
    named = path if path.name not in ("", "..") else path.resolve()
    own_name = (named.name if path.is_dir() else named.stem).strip(".") or UNNAMED
    return tuple(series for stack in stack_slices(files, root, own_name) for series in _series(stack))


def _series(stack: SliceStack) -> list[Series]:
    forms = [slice_form(file) for file in stack.slices]
    broken = [form for form in forms if isinstance(form, Problem)]
    whole = [form for form in forms if not isinstance(form, Problem)]
    problems = [*broken, *stack.problems]
    shape, kind = None, None
    if whole:
        usual, _ = Counter((form.rows, form.columns) for form in whole).most_common(1)[0]
        shape = (*usual, len(stack.slices))
        kind = _kind({form.pixels for form in whole})
        problems += _form_problems(stack, forms, usual, kind)
    channels = 3 if kind is Pixels.COLOUR else 1
    return [
        Series(
            source=SOURCE,
            name=stack.name,
            files=stack.slices,
            masks=stack.masks,
            facts=HeaderFacts(description=f"{kind or 'unknown'} slices"),
            part=f"channel {channel + 1} of {channels}" if channels > 1 else "",
            volume=channel,
            study_uid=stack.name,
            shape=shape,
            problems=tuple(dict.fromkeys(problems)),
            remarks=_remarks(stack),
        )
        for channel in range(channels)
    ]


def _kind(kinds: set[Pixels]) -> Pixels | None:
    """What the slices of a stack are together; None where they do not fit together."""
    if Pixels.COLOUR in kinds:
        return Pixels.COLOUR if kinds <= _WITH_COLOUR else None
    if Pixels.GRAY in kinds:
        return Pixels.GRAY if kinds <= _WITH_GRAY else None
    return kinds.copy().pop() if len(kinds) == 1 else None


def _form_problems(
    stack: SliceStack, forms: Sequence[SliceForm | Problem], usual: tuple[int, int], kind: Pixels | None
) -> list[Problem]:
    problems = []
    pairs = zip(stack.slices, forms, strict=True)
    odd = [(file, form) for file, form in pairs if isinstance(form, SliceForm) and (form.rows, form.columns) != usual]
    problems += [_other_size(form, usual, file, "slices") for file, form in odd[:1]]
    where = f"series {stack.name}"
    if kind is None:
        found = Counter(form.pixels for form in forms if isinstance(form, SliceForm))
        listed = ", ".join(f"{count} of {pixels}" for pixels, count in found.most_common())
        problems.append(Problem(Code.UNSUPPORTED_FORM, f"expected slices of one kind, found {listed}", where))
    elif kind is Pixels.BILEVEL:
        problems.append(Problem(Code.UNSUPPORTED_FORM, "expected RGB or gray slices, found 1-bit masks", where))
    values = usual[0] * usual[1] * len(forms) * (3 if kind is Pixels.COLOUR else 1)
    if values > MAX_VALUES:
        message = f"expected at most {MAX_VALUES} values, found {len(forms)} slices of {usual[0]} x {usual[1]}"
        problems.append(Problem(Code.TOO_LARGE, message, where))
    for mask in stack.masks:
        form = slice_form(mask) if mask else None
        if isinstance(form, Problem):
            problems.append(form)
        elif form and mask and (form.rows, form.columns) != usual:
            problems.append(_other_size(form, usual, mask, "a mask of its slice's size"))
    return problems


def _other_size(form: SliceForm, usual: tuple[int, int], file: Path, what: str) -> Problem:
    message = f"expected {what}, {usual[0]} x {usual[1]}, found {form.rows} x {form.columns}"
    return Problem(Code.WRONG_SHAPE, message, file.name)


def _remarks(stack: SliceStack) -> tuple[str, ...]:
    """What the reader of a result must know of the slices."""
    remarks = []
    if len(stack.slices) == 1:
        remarks.append(SINGLE_SLICE)
    missing = missing_numbers(stack.numbers)
    if missing:
        listed = ", ".join(map(str, missing[:LISTED])) + (", .." if len(missing) > LISTED else "")
        remarks.append(f"{len(missing)} slice(s) missing by the numbers in the names: {listed}")
    masked = sum(mask is not None for mask in stack.masks)
    if 0 < masked < len(stack.slices):
        remarks.append(f"{masked} of {len(stack.slices)} slices have a mask: Dice is over those")
    return tuple(remarks)


def missing_numbers(numbers: Sequence[int]) -> list[int]:
    """What lacks in a rising sequence, by its smallest step."""
    steps = [after - before for before, after in pairwise(numbers)]
    if not steps or min(steps) <= 0:
        return []
    present = set(numbers)
    # Serial numbers far apart are no numbering of slices: more gaps than slices say nothing.
    expected = range(numbers[0], numbers[-1], min(steps))
    if len(expected) > 2 * len(numbers):
        return []
    return [number for number in expected if number not in present]
