"""Which series are candidates for no role, whatever else they show: localisers, maps, projections."""

from __future__ import annotations

from collections.abc import Mapping

from scanweave.transforms.io.series import HeaderFacts
from scanweave.transforms.selection import series_vocabulary as vocabulary
from scanweave.transforms.selection.series_words import find, telling_words

MIN_HEAD_SLICES = 8
"""Fewer slices are a localiser or an excerpt: a head of 130 mm at the widest usual step, 10 mm, takes 13."""
FEW_SLICES = "too few slices"

_BY_IMAGE_TYPE: Mapping[str, str] = {
    "LOCALIZER": "localiser",
    **dict.fromkeys(("MPR", "REFORMATTED", "MIP", "MNIP", "MINIP", "PROJECTION IMAGE"), "projection or reformat"),
    **dict.fromkeys(("SUB", "SUBTRACTION", "SUBTRACT"), "subtraction"),
    **dict.fromkeys(("ADC", "TRACEW", "TRACE", "FA", "DIFFUSION", "TENSOR"), "diffusion"),
    **dict.fromkeys(("PERFUSION", "ASL", "CBF", "CBV", "RELCBF", "RELCBV", "TTP", "MTT"), "perfusion"),
    **dict.fromkeys(("SWI", "T2_STAR"), "susceptibility"),
    **dict.fromkeys(("TOF", "FLOW_ENCODED", "VELOCITY", "VELOCITY MAP"), "angiography"),
    **dict.fromkeys(("P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"), "phase, real or imaginary part"),
    **dict.fromkeys(("T1 MAP", "T2 MAP", "MAP", "B0 MAP", "B1 MAP", "FIELD_MAP"), "quantitative map"),
    **dict.fromkeys(("FMRI", "MOSAIC"), "functional"),
    **dict.fromkeys(("SPECTROSCOPY", "CSA REPORT", "SCREEN SAVE", "COLLAGE"), "no image of a head"),
}
_BY_SEQUENCE_NAME: Mapping[str, str] = {
    "tof": "angiography",
    "swi": "susceptibility",
    "ep_": "diffusion",
    "epfid": "echo-planar",
    "epse": "echo-planar",
    "fm2d": "calibration",
    "csi": "spectroscopy",
    "svs": "spectroscopy",
}


def is_derived(facts: HeaderFacts) -> bool:
    """Whether the pixels were computed from other images (PS3.3 C.7.6.1.1.2), or the text says so."""
    return facts.image_type[:1] == ("DERIVED",) or "mpr" in telling_words(facts)[1]


def exclusion_of(facts: HeaderFacts) -> tuple[str, str]:
    """Why the series is no candidate, and the evidence; "" where it may be one. No modality counts as MR."""
    if facts.modality not in ("MR", ""):
        return f"not MR but {facts.modality}", f"modality is {facts.modality}"
    for value in facts.image_type[2:]:
        if value in _BY_IMAGE_TYPE:
            return _BY_IMAGE_TYPE[value], f"image type holds {value}"
    if (facts.b_value or 0) > 0:
        return "diffusion", f"b value is {facts.b_value:g}"
    name, words = telling_words(facts)
    for reason, table in vocabulary.EXCLUDED.items():
        said = find(words, table)
        if said and not (reason == "echo-planar" and find(words, vocabulary.FLAIR)):  # there is an echo-planar FLAIR
            return reason, f"{name} says '{said}'"
    stored_as_derived = facts.image_type[:1] == ("DERIVED",)
    if "mpr" in words and (stored_as_derived or not find(words, (*vocabulary.T1, *vocabulary.FLAIR, *vocabulary.T2))):
        return "projection or reformat", f"{name} says 'mpr'"
    if "EP" in facts.scanning_sequence:
        return "echo-planar", "scanning sequence is EP"
    sequence = facts.sequence_name.lower().lstrip("*")
    for beginning, reason in _BY_SEQUENCE_NAME.items():
        if sequence.startswith(beginning):
            return reason, f"sequence name begins with '{beginning}'"
    if 0 < facts.slice_count < MIN_HEAD_SLICES:
        return FEW_SLICES, f"expected at least {MIN_HEAD_SLICES} slices, found {facts.slice_count}"
    return "", ""
