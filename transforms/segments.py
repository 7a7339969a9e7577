"""What a network segments: the labels of its masks, with the names and codes under which results know them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLORS = ((255, 96, 64), (64, 160, 255), (112, 208, 96), (240, 192, 64), (192, 112, 224), (64, 208, 208))
"""RGB of the first segment, the second, and so on; the seventh has the first's again."""
MOST_SEGMENTS = 255
"""Masks are bytes, and 0 is the background."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Concept:
    """A code, the scheme that defines it and its meaning (PS3.3 section 8)."""

    value: str
    scheme: str
    meaning: str


MORPHOLOGICALLY_ALTERED = Concept("49755003", "SCT", "Morphologically Altered Structure")
ANATOMICAL_STRUCTURE = Concept("91723000", "SCT", "Anatomical Structure")
LESION_OF_BRAIN = Concept("301766008", "SCT", "Lesion of brain")
BRAIN = Concept("12738006", "SCT", "Brain")


@dataclass(frozen=True)
class Segment:
    """One label of a mask: `name` for keys (`dice_<name>`), `label` for people, codes as PS3.3 C.8.20.4 has them.

    `modifier` says which part of the `type`.
    """

    name: str
    label: str
    category: Concept = MORPHOLOGICALLY_ALTERED
    type: Concept = LESION_OF_BRAIN
    region: Concept = BRAIN
    modifier: Concept | None = None
    color_rgb: tuple[int, int, int] = COLORS[0]

    @property
    def is_structure(self) -> bool:
        """Of the anatomy: its parts are no lesions."""
        return self.category == ANATOMICAL_STRUCTURE


def parse_segments(declared: Sequence[Mapping[str, Any]]) -> tuple[Segment, ...]:
    """The segments that a bundle's metadata declares; the n-th, from 1, is label n of every mask.

    Raises
    ------
    ValueError, KeyError, TypeError
        For anything but a list of 1 to 255 segments of different names.
    """
    found = tuple(
        Segment(
            name=str(said["name"]),
            label=str(said["label"]),
            category=_concept(said["category"]),
            type=_concept(said["type"]),
            region=_concept(said["region"]),
            modifier=_concept(said["modifier"]) if "modifier" in said else None,
            color_rgb=COLORS[number % len(COLORS)],
        )
        for number, said in enumerate(declared)
    )
    names = [segment.name for segment in found]
    if not 0 < len(found) <= MOST_SEGMENTS or len(set(names)) < len(names):
        raise ValueError(
            f"expected 1 to {MOST_SEGMENTS} segments of different names, found {', '.join(names) or 'none'}"
        )
    if odd := [name for name in names if not _NAME.fullmatch(name)]:
        raise ValueError(f"expected names of small letters, digits and _, found {', '.join(odd)}")
    return found


def _concept(code: Mapping[str, str]) -> Concept:
    return Concept(code["value"], code["scheme"], code["meaning"])
