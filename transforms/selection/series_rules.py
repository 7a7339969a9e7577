"""One series: from the facts of its header to what it shows, with the evidence in words.

Evidence quotes no header but the single word that was recognised: descriptions can hold names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scanweave.transforms.io.series import HeaderFacts, Series
from scanweave.transforms.selection import series_vocabulary as vocabulary
from scanweave.transforms.selection.series_contrast import Contrast, contrast_of
from scanweave.transforms.selection.series_exclusion import MIN_HEAD_SLICES, exclusion_of, is_derived
from scanweave.transforms.selection.series_timing import (
    FLAIR_FROM_TI_MS,
    LONG_TIRM_FROM_TR_MS,
    STIR_UNDER_TI_MS,
    T1_FLAIR_UNDER_TE_MS,
    T2_FROM_TE_MS,
    Weighting,
    times_said,
    weighting_by_times,
)
from scanweave.transforms.selection.series_words import find, telling_words

MIN_FIELD_MM = 120.0
"""A volume whose second longest side is shorter shows no whole head."""
MIN_COVERAGE_MM = 40.0
"""Slices that span less show a part of the head: the inner ear, the pituitary gland."""
NOTHING_SAID = "nothing says what it is"

_BY_IMAGE_TYPE_WEIGHTING = {
    "FLUID_ATTENUATED": Weighting.FLAIR,
    "T1": Weighting.T1,
    "T2": Weighting.T2,
    "STIR": Weighting.OTHER,
    "PROTON_DENSITY": Weighting.OTHER,
}
"""Acquisition contrast of enhanced images (PS3.3 C.8.13.3.1.2)."""


@dataclass(frozen=True)
class SeriesNature:
    """What a series shows. `evidence` is ordered: weighting first, then contrast."""

    weighting: Weighting
    contrast: Contrast
    derived: bool
    evidence: tuple[str, ...]
    excluded_reason: str = ""
    contrast_in_text: bool = False

    @property
    def summary(self) -> str:
        """A cell of a table: "T1, with contrast", "excluded: localiser"."""
        if self.weighting is Weighting.EXCLUDED:
            return f"excluded: {self.excluded_reason}"
        contrast = "" if self.contrast is Contrast.UNKNOWN else f", {self.contrast}"
        return f"{self.weighting}{contrast}{', derived' if self.derived else ''}"


def describe_series(facts: HeaderFacts) -> SeriesNature:
    """What the header facts of one series say it shows."""
    derived = is_derived(facts)
    reason, evidence = exclusion_of(facts)
    if reason:
        return SeriesNature(Weighting.EXCLUDED, Contrast.UNKNOWN, derived, (evidence,), reason)
    weighting, shows = _weighting(facts)
    contrast, contrast_evidence = contrast_of(facts)
    in_text = any(" says '" in item for item in contrast_evidence)
    said_once = tuple(dict.fromkeys((*shows, *contrast_evidence)))  # a name like t1c speaks for both
    return SeriesNature(weighting, contrast, derived, said_once, contrast_in_text=in_text)


def describe_but_for_slices(facts: HeaderFacts) -> SeriesNature:
    """As `describe_series`, had the series slices enough."""
    return describe_series(replace(facts, slice_count=0))


def facts_of(series: Series) -> HeaderFacts:
    """The facts of a series; a NIfTI file, which has no description, is described by its name."""
    if series.source == "nifti" and not series.facts.description:
        return replace(series.facts, description=series.name.split(".nii")[0])
    return series.facts


def nature_of(series: Series) -> SeriesNature:
    """What a series shows, by its facts and its size."""
    nature = describe_series(facts_of(series))
    if series.source == "nifti":
        nature = _as_file(nature)
    if nature.weighting is Weighting.EXCLUDED or series.problems:  # of a series with gaps no size is known
        return nature
    field, coverage = _field_mm(series), _coverage_mm(series.facts)
    if field is not None and field < MIN_FIELD_MM:
        evidence = (f"expected a field of view of at least {MIN_FIELD_MM:g} mm, found {field:g}",)
    elif coverage is not None and coverage < MIN_COVERAGE_MM:
        evidence = (f"expected slices that span at least {MIN_COVERAGE_MM:g} mm, found {coverage:g}",)
    else:
        return nature
    reason = "not the whole head"
    return replace(nature, weighting=Weighting.EXCLUDED, excluded_reason=reason, evidence=evidence)


def _as_file(nature: SeriesNature) -> SeriesNature:
    """Files are also named "pre" and "post", which only T1 series are."""
    evidence = tuple(item.replace("description says", "file name says") for item in nature.evidence)
    if NOTHING_SAID in evidence and nature.contrast is not Contrast.UNKNOWN:
        return replace(nature, weighting=Weighting.T1, evidence=evidence[1:])
    return replace(nature, evidence=evidence)


def _field_mm(series: Series) -> float | None:
    """The second longest side in mm: the shorter side of a slice, or of a slab's longest face."""
    if series.shape is None or series.spacing is None:
        return None
    return sorted(n * step for n, step in zip(series.shape, series.spacing, strict=True))[1]


def _coverage_mm(facts: HeaderFacts) -> float | None:
    """What the slices span, of a series that has enough of them."""
    if facts.spacing is None or facts.slice_count < MIN_HEAD_SLICES:
        return None
    return facts.slice_count * facts.spacing[2]


def _weighting(facts: HeaderFacts) -> tuple[Weighting, tuple[str, ...]]:
    """Words first; times decide where words are silent or disagree, and overrule words that cannot be."""
    by_times, timed = weighting_by_times(facts)
    by_words, said = _by_words(facts)
    if by_words is None:
        by_words, said = _by_image_type(facts)
    if by_words is None:
        return (by_times, (timed,)) if by_times else (Weighting.OTHER, (NOTHING_SAID,))
    if by_words is Weighting.T2 and by_times is Weighting.FLAIR:
        return by_times, (timed, said)
    if by_words is Weighting.T1 and by_times in (Weighting.T2, Weighting.FLAIR):
        return Weighting.OTHER, (said, f"but {timed}")
    agrees = by_times is by_words
    return by_words, (said, timed) if agrees else (said,)


def _by_image_type(facts: HeaderFacts) -> tuple[Weighting | None, str]:
    for value in facts.image_type[2:]:
        if value in _BY_IMAGE_TYPE_WEIGHTING:
            return _BY_IMAGE_TYPE_WEIGHTING[value], f"image type holds {value}"
    return None, ""


def _by_words(facts: HeaderFacts) -> tuple[Weighting | None, str]:
    name, words = telling_words(facts)
    other, flair, inversion = (find(words, t) for t in (vocabulary.OTHER, vocabulary.FLAIR, vocabulary.INVERSION))
    t1, t2, sequence = (find(words, t) for t in (vocabulary.T1, vocabulary.T2, vocabulary.T1_SEQUENCES))
    if other:
        return Weighting.OTHER, f"{name} says '{other}'"
    if flair:
        return _flair_or_t1(facts, f"{name} says '{flair}'", f"{name} says '{t1}'" if t1 and not t2 else "")
    if t1 and t2:
        by_times, timed = weighting_by_times(facts)
        return by_times or Weighting.OTHER, timed or f"{name} says both '{t1}' and '{t2}'"
    if t1:
        return Weighting.T1, f"{name} says '{t1}'"
    if inversion or facts.sequence_name.lower().lstrip("*").startswith(("spcir", "tir")):
        return _inversion(
            facts, f"{name} says '{inversion}'" if inversion else "sequence name is of inversion recovery"
        )
    if t2:
        return Weighting.T2, f"{name} says '{t2}'"
    return (Weighting.T1, f"{name} says '{sequence}'") if sequence else (None, "")


def _flair_or_t1(facts: HeaderFacts, said: str, says_t1: str) -> tuple[Weighting, str]:
    """A text with a word for FLAIR: GE and Philips call an inversion-recovery T1 "T1 FLAIR"."""
    if facts.ti_ms and facts.ti_ms < STIR_UNDER_TI_MS:
        return Weighting.OTHER, f"{said}, but TI {facts.ti_ms:g} ms is under {STIR_UNDER_TI_MS:g}: STIR"
    if facts.te_ms is not None and facts.te_ms < T1_FLAIR_UNDER_TE_MS:
        return Weighting.T1, f"{said}, TE {facts.te_ms:g} ms is under {T1_FLAIR_UNDER_TE_MS:g}: T1-FLAIR"
    if not says_t1:
        return Weighting.FLAIR, said
    if facts.te_ms is None:
        return Weighting.T1, f"{says_t1} and FLAIR: T1-FLAIR"
    by_times, timed = weighting_by_times(facts)
    return (Weighting.FLAIR, timed) if by_times is Weighting.FLAIR else (Weighting.OTHER, f"{says_t1} and FLAIR")


def _inversion(facts: HeaderFacts, said: str) -> tuple[Weighting, str]:
    """Turbo inversion recovery without further words: its times tell FLAIR from STIR and T1."""
    ti, te = facts.ti_ms, facts.te_ms
    long_te = te is None or te >= T2_FROM_TE_MS
    if ti is not None and ti > FLAIR_FROM_TI_MS and long_te:
        return Weighting.FLAIR, f"{said}, {times_said(facts)}"
    if ti is None and te is not None and long_te and (facts.tr_ms or 0.0) >= LONG_TIRM_FROM_TR_MS:
        return Weighting.FLAIR, f"{said}, {times_said(facts)}"
    by_times, timed = weighting_by_times(facts)
    return (by_times, timed) if by_times is Weighting.T1 else (Weighting.OTHER, said)
