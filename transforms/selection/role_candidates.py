"""Which series of a study could fill a role, and by what the better of them is told from the worse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scanweave.transforms.io.series import HeaderFacts, Series
from scanweave.transforms.selection.roles import Role
from scanweave.transforms.selection.series_contrast import Contrast
from scanweave.transforms.selection.series_likeness import agreement, alike, geometry_of
from scanweave.transforms.selection.series_rules import SeriesNature, facts_of
from scanweave.transforms.selection.series_timing import Weighting

WEIGHTING_OF = {"flair": Weighting.FLAIR, "t1": Weighting.T1, "t2": Weighting.T2}
NO_CONTRAST_RECORDED = "no contrast attribute, which DICOM PS3.3 C.7.6.4 requires where contrast was used"


@dataclass(frozen=True)
class Candidate:
    """A series that could fill a role, and why. `doubt` says that its contrast was inferred: a warning."""

    series: Series
    nature: SeriesNature
    evidence: tuple[str, ...] = ()
    doubt: str = ""

    @property
    def facts(self) -> HeaderFacts:
        """The header facts of the series."""
        return facts_of(self.series)


@dataclass(frozen=True)
class Context:
    """What is settled when a role is decided: all series of no other role, and the series of other roles.

    `moments` has, by label, when each series was acquired, on a clock that only orders them: in seconds where
    headers have times, else the numbers of the series. `injected` is the earliest moment at which contrast agent
    is known to have been in the patient. `ruled` has the series that a rule of the site gives a role (or
    none), by label, with the rule's number.
    """

    free: tuple[Candidate, ...]
    flair: Series | None
    post: Series | None
    moments: Mapping[str, float]
    injected: float | None
    given_anywhere: bool
    ruled: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def when(self, series: Series | None) -> float | None:
        """The moment of a series, None where it is not known."""
        return self.moments.get(series.label) if series else None

    def showing(self, weighting: str) -> list[Candidate]:
        """The free series of a weighting that no rule of the site speaks of."""
        unruled = [item for item in self.free if item.series.label not in self.ruled]
        return [item for item in unruled if item.nature.weighting is WEIGHTING_OF.get(weighting)]

    def ruled_for(self, role: str) -> list[Candidate]:
        """The free series that a rule of the site gives `role`."""
        given = [(item, self.ruled.get(item.series.label)) for item in self.free]
        return [
            replace(item, evidence=(f"the site's rule {rule[1]} says so", *item.evidence))
            for item, rule in given
            if rule and rule[0] == role
        ]


def find_candidates(role: Role, context: Context) -> tuple[list[Candidate], list[Candidate]]:
    """(the series that fit the role's rule, series among which nothing tells which one fits)."""
    ruled = context.ruled_for(role.name)
    if any(not item.series.problems for item in ruled):
        return ruled, []
    shown = [*ruled, *context.showing(role.rule.weighting)]
    if role.rule.contrast == "given":
        return [item for item in shown if item.nature.contrast is Contrast.GIVEN], []
    if role.rule.contrast == "none" and role.rule.weighting == "t1":
        return _before_contrast(shown, context)
    if role.rule.contrast == "none":
        return [item for item in shown if item.nature.contrast is not Contrast.GIVEN], []
    return shown, []


def _before_contrast(shown: Sequence[Candidate], context: Context) -> tuple[list[Candidate], list[Candidate]]:
    """T1 series that precede contrast agent, as is said of them or follows from the times of the study."""
    stated = [item for item in shown if item.nature.contrast is Contrast.NONE]
    unknown = [item for item in shown if item.nature.contrast is Contrast.UNKNOWN]
    if context.given_anywhere:
        before = [_ordered(item, context) for item in unknown]
        return stated + [item for item in before if item is not None], []
    if stated or not unknown:
        return stated, []
    first = _safely_first(unknown, context)
    if first is None:
        return [], unknown
    others = ", ".join(item.series.label for item in unknown if item is not first)
    doubt = f"series {first.series.label} is taken as T1 without contrast: none is recorded in the study"
    doubt += f"; whether {others} has contrast is not known" if others else ""
    return [replace(first, evidence=(NO_CONTRAST_RECORDED,), doubt=doubt)], []


def _ordered(item: Candidate, context: Context) -> Candidate | None:
    """`item` where it precedes the contrast agent, None where it follows. Unknown times exclude nothing."""
    when, injected = context.when(item.series), context.injected
    if when is None or injected is None:
        return replace(item, evidence=("contrast is recorded for another T1 and not for this one",))
    if when >= injected:
        return None
    like = context.post is not None and alike(item.facts, facts_of(context.post))
    matching = f", and is like {context.post.label} with it" if like and context.post else ""
    return replace(item, evidence=(f"acquired before contrast agent was given{matching}",))


def _safely_first(unknown: Sequence[Candidate], context: Context) -> Candidate | None:
    """The one T1 that cannot have contrast if any other lacks it; None where that is a guess.

    Several T1 series without a word on contrast: the one in the FLAIR's plane, where it is the only one there
    and no other T1 precedes it, or the FLAIR follows it (contrast agent comes last in nearly all protocols).
    """
    if len(unknown) == 1:
        return unknown[0]
    plane = (geometry_of(facts_of(context.flair)).plane if context.flair else "") or "axial"
    there = [item for item in unknown if geometry_of(item.facts).plane == plane]
    if len(there) != 1:
        return None
    when, flair = context.when(there[0].series), context.when(context.flair)
    others = [context.when(item.series) for item in unknown if item is not there[0]]
    if when is None:
        return None
    earliest = all(other is not None and when < other for other in others)
    return there[0] if earliest or (flair is not None and when < flair) else None


Criteria = tuple[tuple[str, int], ...]
"""What a candidate is preferred for, weightiest first: a word for it and how well it is met."""


def criteria_of(item: Candidate, role: Role, context: Context, rivals: Iterable[Candidate]) -> Criteria:
    """By what `item` is compared with the other candidates of its role; none of it tells what a series is."""
    own = geometry_of(item.facts)
    reference = geometry_of(facts_of(context.flair)) if context.flair else None
    plane = (reference.plane if reference else "") or "axial"
    original = ("being original", int(not item.nature.derived))
    in_plane = ("its plane", int(own.plane == plane))
    if role.rule.weighting != "t1" or role.rule.contrast == "any":
        wanted = "2D" if own.plane == "axial" else "3D"  # any plane can be cut from a 3-D volume
        plain = ("being without contrast", int(not _has_contrast(item, context)))
        axial = ("its plane", int(own.plane == "axial"))
        return original, plain, axial, ("its slices", int(own.dimension == wanted))
    dimension = ("its slices", int(reference is not None and own.dimension == reference.dimension))
    plain_fat = ("fat not suppressed", int(not own.fat_suppressed))
    if role.rule.contrast == "given":
        return original, ("contrast said in words", _confirmed(item, rivals, context)), in_plane, dimension, plain_fat
    equal, differing = agreement(item.facts, facts_of(context.post)) if context.post else (0, 0)
    stated = ("contrast excluded in words", int(item.nature.contrast is Contrast.NONE))
    like = ("likeness to the series with contrast", equal - differing)
    return original, in_plane, like, dimension, plain_fat, stated


def _has_contrast(item: Candidate, context: Context) -> bool:
    """Said of the series, or it follows a T1 of which it is said: FLAIR is often repeated after contrast."""
    if item.nature.contrast is not Contrast.UNKNOWN:
        return item.nature.contrast is Contrast.GIVEN
    when, injected = context.when(item.series), context.injected
    return when is not None and injected is not None and when >= injected


def _confirmed(item: Candidate, rivals: Iterable[Candidate], context: Context) -> int:
    """Whether words say that contrast was given by then: some scanners fill the attributes too early."""
    said = [context.when(rival.series) for rival in rivals if rival.nature.contrast_in_text]
    if item.nature.contrast_in_text:
        return 1
    when = context.when(item.series)
    return int(when is not None and any(other is not None and other < when for other in said))


def most_like_before(tied: Sequence[Candidate], context: Context) -> list[Candidate]:
    """Of series with contrast that are equally good, those that repeat a T1 without contrast best."""
    before, _ = _before_contrast(context.showing("t1"), context)

    def likeness(item: Candidate) -> int:
        pairs = (agreement(item.facts, other.facts) for other in before)
        return max((equal - differing for equal, differing in pairs), default=0)

    best = max(likeness(item) for item in tied)
    return [item for item in tied if likeness(item) == best]
