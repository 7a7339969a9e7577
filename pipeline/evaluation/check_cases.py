"""Before any work: can every case be evaluated, as far as headers tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from scanweave.errors import Code, InputRefused, Problem
from scanweave.pipeline.progress import Progress, Stage
from scanweave.transforms.io.files import is_nifti
from scanweave.transforms.io.find_study import find_study, one_study
from scanweave.transforms.io.labelled_cases import Case
from scanweave.transforms.io.nifti import read_nifti_header
from scanweave.transforms.io.remarks import quiet
from scanweave.transforms.io.series import Series
from scanweave.transforms.io.slice_files import slice_form
from scanweave.transforms.load_truth import AFFINE_TOLERANCE
from scanweave.transforms.selection.roles import Role
from scanweave.transforms.selection.select import assign_roles
from scanweave.transforms.selection.site_rules import site_rules

CHECK_STEP = "CheckCases"


def check_cases(cases: Sequence[Case], roles: Sequence[Role], reference: str, progress: Progress) -> None:
    """Refuse all together what would be refused one by one: a figure over the rest would not be that of the data.

    Raises
    ------
    InputRefused
        The problems of every case, each with the case's name: those of `scanweave inspect`, MISSING_LABEL,
        LABEL_MISMATCH.
    """
    problems: list[Problem] = []
    for number, case in enumerate(cases):
        progress(Stage(CHECK_STEP, part=number / len(cases)))
        try:
            _check(case, roles, reference)
        except InputRefused as refusal:
            problems += [of_case(problem, case) for problem in refusal.problems]
    if problems:
        raise InputRefused(problems)


def of_case(problem: Problem, case: Case) -> Problem:
    """The problem with the name of its case: files are often called alike in all of them."""
    told = (f"case {case.name}", problem.where)
    return replace(problem, where=", ".join(filter(None, told)))


def _check(case: Case, roles: Sequence[Role], reference: str) -> None:
    with quiet(), find_study(case.request, [role.name for role in roles]) as found:
        study = one_study(found, case.request.study_uid)
        series = assign_roles(study.series, roles, study.chosen, site_rules()).assigned[reference].series
    if series is None:  # no bundle lets its reference be replaced; the chain would refuse it
        return
    problem = _slices_problem(series) if case.label is None else _file_problem(case.label, series)
    if problem is not None:
        raise InputRefused(problem)


def _slices_problem(series: Series) -> Problem | None:
    with_mask = sum(mask is not None for mask in series.masks)
    if with_mask == len(series.files):
        return None
    message = f"expected a mask for each slice, found {with_mask} of {len(series.files)}"
    return Problem(Code.MISSING_LABEL, message)


def _file_problem(label: Path, series: Series) -> Problem | None:
    """Whether the mask lies on the grid of the reference; of a picture there is only the size."""
    moved = ""
    if is_nifti(label):
        shape, affine = read_nifti_header(label)
        if is_nifti(series.files[0]):
            _, expected_affine = read_nifti_header(series.files[0])
            moved = "" if np.abs(affine - expected_affine).max() <= AFFINE_TOLERANCE else ", with another affine"
    else:
        form = slice_form(label)
        if isinstance(form, Problem):
            return form
        shape = (form.rows, form.columns, 1)
    if tuple(shape[:3]) == series.shape and not moved:
        return None
    expected, found = (" x ".join(map(str, size or ())) for size in (series.shape, shape[:3]))
    message = f"expected a mask on the grid of the reference series ({expected}), found {found}{moved}"
    return Problem(Code.LABEL_MISMATCH, message, label.name)
