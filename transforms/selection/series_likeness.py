"""How two series compare: plane, sequence and times; and which of two forms of one acquisition is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scanweave.transforms.io.series import HeaderFacts, Series
from scanweave.transforms.selection import series_vocabulary as vocabulary
from scanweave.transforms.selection.series_words import find, telling_words

AXIAL_WITHIN_DEG = 35.0
"""A slice normal nearer than this to superior is axial: the network's own planes."""
VOLUME_SPACING_MM = 2.0
"""Slices nearer than this, with no acquisition type stated, are those of a 3-D acquisition."""
SAME_TIMES_WITHIN = 0.2
"""Relative difference of TR and TE between repetitions of one sequence before and after contrast."""
SAME_MOMENT_S = 0.5
"""Reconstructions of one acquisition share its time; writers round it."""


@dataclass(frozen=True)
class Geometry:
    """How a series was acquired; "" is unknown."""

    plane: str
    dimension: str
    echo: str
    fat_suppressed: bool


def geometry_of(facts: HeaderFacts) -> Geometry:
    """Plane, 2-D or 3-D, spin or gradient echo and fat suppression, from attributes, else from text."""
    _, words = telling_words(facts)
    fat = "FS" in facts.scan_options or bool(find(words, vocabulary.FAT_SUPPRESSED))
    return Geometry(plane_of(facts), _dimension(facts, words), _echo(facts, words), fat)


def plane_of(facts: HeaderFacts) -> str:
    """ "axial", "sagittal", "coronal", or "" where neither the slice normal nor the text tells."""
    if facts.normal_ras is not None:
        across, along, up = (abs(component) for component in facts.normal_ras)
        if up >= math.cos(math.radians(AXIAL_WITHIN_DEG)):
            return "axial"
        return "sagittal" if across >= along else "coronal"
    _, words = telling_words(facts)
    named = [plane for plane, table in vocabulary.PLANES.items() if find(words, table)]
    return named[0] if len(named) == 1 else ""


def agreement(one: HeaderFacts, other: HeaderFacts) -> tuple[int, int]:
    """(how many properties are known to be equal, how many are known to differ)."""
    a, b = geometry_of(one), geometry_of(other)
    compared = [
        _same(a.plane, b.plane),
        _same(a.dimension, b.dimension),
        _same(a.echo, b.echo),
        _near(one.tr_ms, other.tr_ms),
        _near(one.te_ms, other.te_ms),
        a.fat_suppressed == b.fat_suppressed,
    ]
    return compared.count(True), compared.count(False)


def alike(one: HeaderFacts, other: HeaderFacts) -> bool:
    """Nothing known of the two differs."""
    return agreement(one, other)[1] == 0


def best_reconstructions(candidates: Sequence[Series]) -> tuple[list[Series], dict[str, str]]:
    """One series for each acquisition, and a note by label where it was preferred to another reconstruction.

    Scanners store one acquisition with and without intensity normalisation (NORM) and distortion correction
    (DIS2D, DIS3D; ND is without): the corrected one is taken.
    """
    kept: list[Series] = []
    notes: dict[str, str] = {}
    for item in candidates:
        twin = next(
            (k for k in kept if _one_acquisition(k.facts, item.facts) and _corrected(k) != _corrected(item)),
            None,
        )
        if twin is None:
            kept.append(item)
            continue
        better, worse = sorted((twin, item), key=_corrected, reverse=True)
        kept[kept.index(twin)] = better
        notes[better.label] = f"normalised or distortion-corrected form of the acquisition that {worse.label} shows too"
    return kept, notes


def _dimension(facts: HeaderFacts, words: Sequence[str]) -> str:
    if facts.acquisition_type in ("2D", "3D"):
        return facts.acquisition_type
    if find(words, ("2d",)):
        return "2D"
    thin = facts.spacing is not None and max(facts.spacing) < VOLUME_SPACING_MM
    return "3D" if thin or find(words, vocabulary.VOLUMETRIC) else ""


def _echo(facts: HeaderFacts, words: Sequence[str]) -> str:
    for name in ("GR", "SE"):
        if name in facts.scanning_sequence:
            return name
    if find(words, vocabulary.GRADIENT_ECHO):
        return "GR"
    return "SE" if find(words, vocabulary.SPIN_ECHO) else ""


def _same(one: str, other: str) -> bool | None:
    return one == other if one and other else None


def _near(one: float | None, other: float | None) -> bool | None:
    return abs(one - other) <= SAME_TIMES_WITHIN * max(one, other) if one and other else None


def _corrected(series: Series) -> tuple[bool, bool]:
    values = series.facts.image_type
    return "NORM" in values, bool({"DIS2D", "DIS3D"} & set(values))


def _one_acquisition(one: HeaderFacts, other: HeaderFacts) -> bool:
    if one.acquired_s is None or other.acquired_s is None:
        return False
    times = ("tr_ms", "te_ms", "ti_ms", "flip_angle", "slice_count")
    same = all(getattr(one, name) == getattr(other, name) for name in times)
    return same and abs(one.acquired_s - other.acquired_s) < SAME_MOMENT_S and plane_of(one) == plane_of(other)
