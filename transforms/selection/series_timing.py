"""Which weighting the sequence times of a header lie in the range of, vendor by vendor.

DICOM PS3.3 C.8.3.1: RepetitionTime, EchoTime and InversionTime in milliseconds. Ranges are those in which
clinical head protocols agree; times outside all of them say nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from scanweave.transforms.io.series import HeaderFacts


class Weighting(StrEnum):
    """What a series shows; EXCLUDED is no plain image of the head."""

    FLAIR = "FLAIR"
    T1 = "T1"
    T2 = "T2"
    OTHER = "other"
    EXCLUDED = "excluded"


class _Over(NamedTuple):
    """A FLAIR has all three times over these (ms)."""

    ti: float
    tr: float
    te: float


FLAIR_OVER = {"ge": _Over(1500, 4000, 80), "siemens": _Over(1999, 7999, 75), "philips": _Over(1999, 5999, 59)}
FLAIR_OVER_ANY_VENDOR = _Over(1999, 7999, 80)
FLAIR_OVER_3D = _Over(1499, 3999, 199)
"""3-D FLAIR with variable flip angles, of any vendor: shorter TI and TR, a nominal TE of several hundred."""
STIR_UNDER_TI_MS = 300.0
FLAIR_FROM_TI_MS = 1500.0
T1_FLAIR_UNDER_TE_MS = 40.0
T2_FROM_TR_MS, T2_FROM_TE_MS = 2000.0, 60.0
T1_SPIN_ECHO_UNDER_TR_MS, T1_SPIN_ECHO_UNDER_TE_MS = 1000.0, 30.0
T1_INVERSION_TI_MS = (STIR_UNDER_TI_MS, 1400.0)
T1_GRADIENT_ECHO_UNDER_TE_MS = 15.0
T1_SPOILED_2D_UNDER_TE_MS, T1_SPOILED_2D_FROM_TR_MS, T1_SPOILED_2D_FROM_FLIP = 10.0, 100.0, 40.0
LONG_TIRM_FROM_TR_MS = 6000.0
"""Turbo inversion recovery without a stated TI: above this TR it is no STIR."""


def vendor_of(manufacturer: str) -> str:
    """ "ge", "siemens", "philips" or "" for any other."""
    name = manufacturer.lower()
    return next((vendor for vendor in FLAIR_OVER if name.split(" ")[0].startswith(vendor)), "")


def times_said(facts: HeaderFacts) -> str:
    """The known times, for evidence: "TR 10000 TE 90 TI 2600 ms"."""
    times = (("TR", facts.tr_ms), ("TE", facts.te_ms), ("TI", facts.ti_ms))
    return " ".join(f"{name} {value:g}" for name, value in times if value is not None) + " ms"


def weighting_by_times(facts: HeaderFacts) -> tuple[Weighting | None, str]:
    """The weighting in whose range the times lie, and the evidence; None where they say nothing."""
    if facts.tr_ms is None or facts.te_ms is None:
        return None, ""
    if "GR" in facts.scanning_sequence:
        return _gradient_echo(facts)
    return _spin_echo(facts)


def _spin_echo(facts: HeaderFacts) -> tuple[Weighting | None, str]:
    tr, te, ti = facts.tr_ms or 0.0, facts.te_ms or 0.0, facts.ti_ms or 0.0
    if ti and ti < STIR_UNDER_TI_MS:
        return Weighting.OTHER, f"{times_said(facts)}: TI under {STIR_UNDER_TI_MS:g} is STIR"
    flair = _flair_range(facts, tr, te, ti)
    if flair:
        return Weighting.FLAIR, f"{times_said(facts)} lies in the range of FLAIR for {flair}"
    if T1_INVERSION_TI_MS[0] <= ti <= T1_INVERSION_TI_MS[1] and te < T1_FLAIR_UNDER_TE_MS:
        return Weighting.T1, f"{times_said(facts)} lies in the range of inversion-recovery T1"
    if not ti and tr < T1_SPIN_ECHO_UNDER_TR_MS and te < T1_SPIN_ECHO_UNDER_TE_MS and _is_spin_echo(facts):
        return Weighting.T1, f"{times_said(facts)} lies in the range of spin-echo T1"
    if not ti and tr >= T2_FROM_TR_MS and te >= T2_FROM_TE_MS:
        return Weighting.T2, f"{times_said(facts)} lies in the range of T2"
    return None, ""


def _is_spin_echo(facts: HeaderFacts) -> bool:
    return "SE" in facts.scanning_sequence


def _flair_range(facts: HeaderFacts, tr: float, te: float, ti: float) -> str:
    """Whose range of FLAIR the times lie in, "" if nobody's."""
    vendor = vendor_of(facts.manufacturer)
    over = FLAIR_OVER.get(vendor, FLAIR_OVER_ANY_VENDOR)
    if ti > over.ti and tr > over.tr and te > over.te:
        return vendor.upper() or "any vendor"
    volume = facts.acquisition_type == "3D"
    if volume and ti > FLAIR_OVER_3D.ti and tr > FLAIR_OVER_3D.tr and te > FLAIR_OVER_3D.te:
        return "3-D acquisitions"
    return ""


def _gradient_echo(facts: HeaderFacts) -> tuple[Weighting | None, str]:
    """Only prepared or 2-D spoiled sequences: others share their times with angiography and localisers."""
    tr, te, ti = facts.tr_ms or 0.0, facts.te_ms or 0.0, facts.ti_ms or 0.0
    if T1_INVERSION_TI_MS[0] <= ti <= T1_INVERSION_TI_MS[1] and te < T1_GRADIENT_ECHO_UNDER_TE_MS:
        return Weighting.T1, f"{times_said(facts)} lies in the range of MPRAGE"
    spoiled = "SP" in facts.sequence_variant and "MTC" not in facts.sequence_variant
    flip = (facts.flip_angle or 0.0) >= T1_SPOILED_2D_FROM_FLIP
    planar = facts.acquisition_type == "2D" and tr >= T1_SPOILED_2D_FROM_TR_MS
    if spoiled and flip and planar and te < T1_SPOILED_2D_UNDER_TE_MS:
        return Weighting.T1, f"{times_said(facts)} lies in the range of spoiled gradient-echo T1"
    return None, ""
