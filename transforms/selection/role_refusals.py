"""What is said when a role finds no series, or too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from scanweave.errors import Code, Problem
from scanweave.transforms.io.series import Series
from scanweave.transforms.selection.role_candidates import WEIGHTING_OF
from scanweave.transforms.selection.roles import Role
from scanweave.transforms.selection.series_exclusion import FEW_SLICES
from scanweave.transforms.selection.series_rules import SeriesNature, describe_but_for_slices, facts_of

_AFTER_GEOMETRY = (Code.NOT_MR, Code.TOO_FEW_SLICES)


def ambiguous(role: Role, series: Sequence[Series], why: str) -> Problem:
    """Several series could play the role: all are named, and the option that decides."""
    labels = ", ".join(item.label for item in series)
    message = f"{len(series)} series could be {role.name} and {why}: {labels}; choose with {_option(role, series)}"
    return Problem(Code.AMBIGUOUS_ROLE, message)


def _option(role: Role, series: Sequence[Series]) -> str:
    """How the role is given by hand: NIfTI files have no UID."""
    return role.option("FILE" if series and all(item.source == "nifti" for item in series) else "UID")


def missing(role: Role, series: Sequence[Series], natures: Mapping[str, SeriesNature]) -> list[Problem]:
    """No series plays a required role: because none can be used at all, or what was found instead."""
    if series and all(item.problems for item in series):
        problems = dict.fromkeys(problem for item in series for problem in item.problems)
        return sorted(problems, key=lambda problem: problem.code in _AFTER_GEOMETRY)
    foreign = [item for item in series if item.facts.modality not in ("MR", "")]
    if series and len(foreign) == len(series):
        return [Problem(Code.NOT_MR, f"expected MR, found {s.facts.modality}", f"series {s.label}") for s in foreign]
    short = [item for item in series if _short_of_slices(item, role, natures[item.label])]
    if short:
        return [Problem(Code.TOO_FEW_SLICES, natures[s.label].evidence[0], f"series {s.label}") for s in short]
    wanted = WEIGHTING_OF.get(role.rule.weighting, "picture")
    contrast = {"given": " with contrast", "none": " without contrast", "any": ""}[role.rule.contrast]
    looked = f"{len(series)} series looked at" if series else "no series"
    found = _found_instead(series, natures)
    message = f"{looked}, none is a {wanted}{contrast}{found}; name one with {_option(role, series)}"
    return [Problem(Code.NO_FLAIR if role.rule.weighting == "flair" else Code.MISSING_ROLE, message)]


def _short_of_slices(series: Series, role: Role, nature: SeriesNature) -> bool:
    would_be = describe_but_for_slices(facts_of(series)).weighting
    return nature.excluded_reason == FEW_SLICES and would_be is WEIGHTING_OF.get(role.rule.weighting)


def _found_instead(series: Sequence[Series], natures: Mapping[str, SeriesNature]) -> str:
    """A count of what the series are, and the codes of those that are broken."""
    counts = Counter(natures[item.label].summary for item in series)
    found = ", ".join(f"{count} {what}" for what, count in counts.most_common())
    broken = [f"{item.label} ({', '.join({p.code: 0 for p in item.problems})})" for item in series if item.problems]
    return (f": {found}" if found else "") + (f"; not usable: {', '.join(broken)}" if broken else "")
