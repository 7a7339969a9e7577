"""Which series of a study plays which role: an assignment with evidence or a reasoned refusal, no guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scanweave.errors import Code, InputRefused, Problem, UsageError
from scanweave.transforms.io.series import Series
from scanweave.transforms.io.slice_index import SINGLE_SLICE
from scanweave.transforms.selection.role_candidates import (
    Candidate,
    Context,
    criteria_of,
    find_candidates,
    most_like_before,
)
from scanweave.transforms.selection.role_refusals import ambiguous, missing
from scanweave.transforms.selection.roles import Role, Rule, parse_roles
from scanweave.transforms.selection.series_contrast import Contrast
from scanweave.transforms.selection.series_likeness import best_reconstructions
from scanweave.transforms.selection.series_rules import SeriesNature, nature_of
from scanweave.transforms.selection.series_timing import Weighting
from scanweave.transforms.selection.site_rules import SiteRule, ruled_roles
from scanweave.transforms.selection.slice_roles import channel_evidence, channels_by_role

__all__ = ["Role", "RoleChoice", "Rule", "Selection", "assign_roles", "nature_of", "parse_roles"]

BY_HAND = "given by hand"
PERFUSION = "perfusion"


@dataclass(frozen=True)
class RoleChoice:
    """A role's series with the evidence for it, most telling first; or the role that stands in for it."""

    series: Series | None
    evidence: tuple[str, ...] = ()
    substituted_by: str | None = None


@dataclass(frozen=True)
class Selection:
    """Each role's choice, in the bundle's order; by label, what the series show; labels in order of time."""

    assigned: Mapping[str, RoleChoice]
    warnings: tuple[str, ...] = ()
    natures: Mapping[str, SeriesNature] = field(default_factory=dict)
    order: tuple[str, ...] = ()


def assign_roles(
    series: Sequence[Series],
    roles: Sequence[Role],
    chosen: Mapping[str, Series] | None = None,
    rules: Sequence[SiteRule] = (),
) -> Selection:
    """The series of one study that play `roles`; those in `chosen` are given by hand and judged by no rule.

    The site's own `rules` come next: what they give a role is preferred to all others, and plays no other one.

    Raises
    ------
    InputRefused
        All reasons: NO_FLAIR or MISSING_ROLE for a required role without a candidate, AMBIGUOUS_ROLE where
        nothing tells candidates apart, the candidates' own problems where all have some.
    UsageError
        USAGE: `chosen` names a role that the bundle does not have.
    """
    chosen = dict(chosen or {})
    _check_chosen(chosen, roles)
    ruled = ruled_roles(series, rules)
    natures = {item.label: nature_of(item) for item in (*series, *chosen.values())}
    decided = {name: RoleChoice(item, (BY_HAND,)) for name, item in chosen.items()}
    for name, item in channels_by_role(series, roles, chosen).items():
        decided.setdefault(name, RoleChoice(item, (channel_evidence(item),)))
    problems: list[Problem] = []
    warnings: list[str] = []
    for role in sorted(roles, key=_turn):
        if role.name in decided:
            continue
        try:
            choice = _decide(role, _context(series, natures, roles, decided, ruled), warnings)
            if choice.series is None and role.required:
                raise InputRefused(missing(role, series, natures))
            decided[role.name] = choice
        except InputRefused as refusal:
            problems += [problem for problem in refusal.problems if problem not in problems]
    if problems:
        raise InputRefused(problems)
    assigned = {role.name: decided[role.name] for role in roles}
    warnings += dict.fromkeys(remark for role in roles for remark in _remarks(role, assigned[role.name].series))
    return Selection(assigned, tuple(warnings), natures, tuple(item.label for item in sorted(series, key=_when)))


def _remarks(role: Role, series: Series | None) -> list[str]:
    """What its reader said of a series; a picture is whole by itself."""
    said = series.remarks if series else ()
    return [remark for remark in said if not (role.rule.weighting == "none" and remark == SINGLE_SLICE)]


def _check_chosen(chosen: Mapping[str, Series], roles: Sequence[Role]) -> None:
    names = [role.name for role in roles]
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise UsageError(Problem(Code.USAGE, f"expected roles of {', '.join(names)}, found {', '.join(unknown)}"))
    problems = [problem for item in chosen.values() for problem in item.problems]
    if problems:
        raise InputRefused(problems)


def _turn(role: Role) -> int:
    """FLAIR first: it says which plane counts. Then T1 with contrast: it says when contrast was given."""
    if role.rule.weighting == "flair":
        return 0
    return 1 if role.rule.contrast == "given" else 2


def _context(
    series: Sequence[Series],
    natures: Mapping[str, SeriesNature],
    roles: Sequence[Role],
    decided: Mapping[str, RoleChoice],
    ruled: Mapping[str, tuple[str, int]],
) -> Context:
    taken = [choice.series for choice in decided.values() if choice.series is not None]
    everything = [Candidate(item, natures[item.label]) for item in series]
    playing = {(r.rule.weighting, r.rule.contrast): decided[r.name].series for r in roles if r.name in decided}
    flair = next((item for (weighting, _), item in playing.items() if weighting == "flair" and item), None)
    post = playing.get(("t1", "given"))
    given = [c.series for c in everything if c.nature.weighting is Weighting.T1 and c.nature.contrast is Contrast.GIVEN]
    given += [post] if post else []
    given += [c.series for c in everything if c.nature.excluded_reason == PERFUSION]
    moments = _moments([*series, *taken])
    injected = min((moments[item.label] for item in given if item.label in moments), default=None)
    free = tuple(c for c in everything if c.series not in taken)
    return Context(free, flair, post, moments, injected, bool(given), ruled)


def _moments(series: Sequence[Series]) -> dict[str, float]:
    """When each was acquired, by label; scanners number series in their order, which serves where no time is left."""
    times = {item.label: item.facts.acquired_s for item in series if item.facts.acquired_s is not None}
    if times:
        return times
    return {item.label: float(item.facts.series_number) for item in series if item.facts.series_number is not None}


def _decide(role: Role, context: Context, warnings: list[str]) -> RoleChoice:
    """The best of the usable candidates, the substitute where there is no candidate, or a refusal."""
    fitting, undecidable = find_candidates(role, context)
    usable = [item for item in fitting if not item.series.problems]
    broken = [item for item in fitting if item.series.problems]
    if undecidable:
        why = "nothing says which of them was acquired before contrast agent"
        raise InputRefused(ambiguous(role, [item.series for item in undecidable], why))
    if not usable and broken:
        raise InputRefused(problem for item in broken for problem in item.series.problems)
    if not usable:
        return _without(role, warnings)
    for item in broken:
        codes = ", ".join(dict.fromkeys(problem.code for problem in item.series.problems))
        warnings.append(f"series {item.series.label} could be {role.name} too but is not used: {codes}")
    best, evidence = _best(role, usable, context)
    if best.doubt:
        warnings.append(best.doubt)
    return RoleChoice(best.series, (*best.nature.evidence, *best.evidence, *evidence))


def _best(role: Role, usable: Sequence[Candidate], context: Context) -> tuple[Candidate, list[str]]:
    """The candidate preferred to all others, and by what; a tie is refused."""
    reconstructions, notes = best_reconstructions([item.series for item in usable])
    rivals = [item for item in usable if item.series in reconstructions]
    ranked = {item.series.label: criteria_of(item, role, context, rivals) for item in rivals}
    scores = {label: [met for _, met in criteria] for label, criteria in ranked.items()}
    first = [item for item in rivals if scores[item.series.label] == max(scores.values())]
    if role.rule.contrast == "given" and len(first) > 1:
        first = most_like_before(first, context)
    if len(first) > 1:
        why = "nothing tells them apart"
        raise InputRefused(ambiguous(role, [item.series for item in first], why))
    best = first[0]
    evidence = [notes[best.series.label]] if best.series.label in notes else []
    for item in rivals:
        own, other = ranked[best.series.label], ranked[item.series.label]
        reason = next(
            (name for (name, a), (_, b) in zip(own, other, strict=True) if a != b),
            "likeness to the series before",
        )
        if item is not best:
            evidence.append(f"preferred to {item.series.label} for {reason}")
    return best, evidence


def _without(role: Role, warnings: list[str]) -> RoleChoice:
    """No candidate at all, broken ones included."""
    if not role.required:
        warnings.append(f"no series found for {role.name}: {role.substitute} stands in for it")
    return RoleChoice(None, ("no series found",), role.substitute)


def _when(series: Series) -> tuple[bool, float, int, str]:
    """Order of acquisition, as far as it is known."""
    facts = series.facts
    return facts.acquired_s is None, facts.acquired_s or 0.0, facts.series_number or 0, series.label
