"""The page's words and figures, taken from the record that is result.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scanweave.errors import printable
from scanweave.transforms.rigid.quality import MIN_HEAD_IN_VIEW, MIN_MARGIN, MIN_SHARPNESS

FIGURES = {
    "head_in_view": ("head inside the field of view", MIN_HEAD_IN_VIEW),
    "head_dice": ("overlap of the heads (Dice)", None),
    "nmi": ("mutual information (1 is none)", None),
    "sharpness": ("sharpness of the optimum", MIN_SHARPNESS),
    "margin": ("smallest loss when disturbed", MIN_MARGIN),
}
"""What the quality figures of result.json mean, and under which value a registration is flagged."""


@dataclass(frozen=True)
class Answer:
    """How much was segmented, large and in words."""

    volume: str
    components: str
    diameters: str
    dice: str
    empty: bool


@dataclass(frozen=True)
class Amount:
    """How much of one segment there is; `color` is that of its outlines, as in CSS."""

    label: str
    amount: str
    color: str


@dataclass(frozen=True)
class Figure:
    """A quality figure before and after registration, "" where there is none, and the least that is not flagged."""

    name: str
    before: str
    after: str
    least: str
    low: bool


@dataclass(frozen=True)
class Motion:
    """How one series was moved; `flag` is the reason to look again, or ""."""

    role: str
    displacement_mm: float
    turned_deg: float
    figures: tuple[Figure, ...]
    flag: str


def answer(result: Mapping[str, Any]) -> Answer:
    """The volume, in ml or where no spacing is known in pixels, and what the component rule did."""
    volume, parts = result["volume_ml"], result["components"]
    if volume is not None:
        size, removed = f"{volume:.2f} ml", _amount(parts.get("discarded_ml"), "{:.2f} ml")
    else:
        size = _amount(result.get("volume_voxels"), "{:,} pixels") or "volume unknown"
        removed = _amount(parts.get("discarded_voxels"), "{:,} pixels")
    if not parts["count"]:
        return Answer(size, "Nothing was segmented: the mask is empty.", "", _agreement(result), empty=True)
    rule = printable(str(result["settings"]["components"]))
    parted = f"{parts['kept']} of {_counted(parts['count'], 'connected part')} kept (rule: {rule})"
    gone = parts["count"] - parts["kept"]
    parted += f"; {removed} removed" if gone and removed else ""
    return Answer(size, f"{parted}.", _diameters(result), _agreement(result), empty=False)


def amounts(result: Mapping[str, Any], colors: Sequence[str]) -> tuple[Amount, ...]:
    """One for each segment, in the order of their labels."""
    return tuple(
        Amount(printable(one["label"]), _size(one), color)
        for one, color in zip(result["segments"].values(), colors, strict=True)
    )


def _size(record: Mapping[str, Any]) -> str:
    volume = record["volume_ml"]
    return f"{volume:.2f} ml" if volume is not None else _amount(record.get("volume_voxels"), "{:,} pixels")


def _diameters(result: Mapping[str, Any]) -> str:
    """How long the mask is in a slice; "" where no spacing is known."""
    if "measurements" not in result:
        return ""
    found = result["measurements"]
    long_mm, short_mm = found["long_axis_mm"], found["short_axis_mm"]
    return f"Longest diameter in a slice {long_mm:.1f} mm, perpendicular {short_mm:.1f} mm ({found['plane']} slices)."


def _agreement(result: Mapping[str, Any]) -> str:
    """What the given masks say, "" where there were none; `dice` is null where neither mask has a pixel."""
    if "dice" not in result:
        return ""
    slices = _counted(result["dice_slices"], "slice")
    if result["dice"] is None:
        return f"The given masks of {slices} are empty, and so is this one there."
    return f"Dice {result['dice']:.3f} with the given masks of {slices}."


def motions(result: Mapping[str, Any], reasons: Mapping[str, str]) -> tuple[Motion, ...]:
    """One record a registered role; `reasons` says by role why it is flagged."""
    return tuple(
        Motion(
            printable(role),
            record["displacement_mm"],
            _turned_deg(np.array(record["matrix_ras"])),
            tuple(_figures(record["quality"])),
            printable(reasons.get(role, "")) if record["flagged"] else "",
        )
        for role, record in result["registration"].items()
    )


def _figures(quality: Mapping[str, Mapping[str, float]]) -> list[Figure]:
    before, after = quality["before"], quality["after"]
    figures = []
    for key in dict.fromkeys((*before, *after)):
        name, least = FIGURES.get(key, (printable(key), None))
        low = least is not None and key in after and after[key] < least
        least_text = "" if least is None else f"{least:.2f}"
        figures.append(Figure(name, _number(before.get(key)), _number(after.get(key)), least_text, low))
    return figures


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _amount(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _turned_deg(matrix: np.ndarray) -> float:
    """The angle of a rotation matrix about its axis, degrees."""
    return float(np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1.0) / 2.0, -1.0, 1.0))))
