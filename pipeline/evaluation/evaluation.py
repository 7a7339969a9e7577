"""What an evaluation is: figures of each case, worst first, their summary, and the record of both."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scanweave import RESEARCH_NOTICE, __version__
from scanweave.pipeline.evaluation.summary import CONFIDENCE, RESAMPLES, Summary, summarize

EVALUATION_FILE = "evaluation.json"
"""What says that a folder holds an evaluation."""
SUMMARIZED = ("dice", "iou", "hd95", "volume_error_percent", "dice_original", "hd95_original", "dice_all",
              "dice_largest")  # fmt: skip
OF_EACH = "dice_"
"""Figures of each segment, where there are several, begin so."""
OF_CELLS = ("pixel_error", "adapted_rand_error")
"""Of bundles that tell cells apart."""
DISTANCES = ("hd95", "hd95_original")
ABSOLUTE_ERROR = "absolute_volume_error_percent"
"""Errors of either sign cancel in a mean; their sizes do not."""
DECIMALS = 4
_PACKAGES = ("torch", "monai", "numpy", "scipy", "SimpleITK", "nibabel", "pillow")
"""What figures may depend on."""


@dataclass(frozen=True, eq=False)
class CaseFigures:
    """One case: its name and patient, and `figures` as docs/evaluate.md lists them."""

    name: str
    patient: str
    figures: Mapping[str, Any]

    @property
    def dice(self) -> float:
        """In model space, under the component rule."""
        return float(self.figures["dice"])


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All cases, worst Dice first, and what they come to.

    `summaries` has one `Summary` for each figure, by its name. `record` is the content of evaluation.json. `folder`
    is where the files lie, None where nothing was written.
    """

    cases: tuple[CaseFigures, ...]
    summaries: Mapping[str, Summary]
    record: Mapping[str, Any]
    folder: Path | None = None

    @property
    def dice(self) -> Summary:
        """That of the figure by which cases are ordered."""
        return self.summaries["dice"]


def worst_first(cases: Sequence[CaseFigures]) -> tuple[CaseFigures, ...]:
    """By Dice, then by name."""
    return tuple(sorted(cases, key=lambda case: (case.dice, case.name)))


def summaries_of(cases: Sequence[CaseFigures]) -> dict[str, Summary]:
    """The summary of each figure; distances in different units have none together."""
    patients = [case.patient for case in cases]
    one_unit = len({case.figures["hd95_unit"] for case in cases}) == 1
    found = {}
    of_each = [name for name in cases[0].figures if name.startswith(OF_EACH) and name not in SUMMARIZED]
    of_cells = [name for name in OF_CELLS if name in cases[0].figures]
    for name in (*SUMMARIZED, *of_each, *of_cells):
        comparable = one_unit or name not in DISTANCES
        found[name] = summarize([case.figures[name] if comparable else None for case in cases], patients)
    errors = [case.figures["volume_error_percent"] for case in cases]
    found[ABSOLUTE_ERROR] = summarize([None if error is None else abs(error) for error in errors], patients)
    return found


def evaluation_record(
    cases: Sequence[CaseFigures], summaries: Mapping[str, Summary], made_with: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    """The JSON document; `made_with` says by which bundle, weights and settings."""
    dice = rounded(asdict(summaries["dice"]))
    return {
        "patients": {case.name: {"patient": case.patient, **rounded(case.figures)} for case in cases},
        **{name: dice[name] for name in ("mean", "median", "std", "mean_interval", "median_interval")},
        "summary": {name: rounded(asdict(summary)) for name, summary in summaries.items()},
        "intervals": {"method": "percentile bootstrap over patients", "level": CONFIDENCE, "resamples": RESAMPLES},
        **made_with,
        "versions": {"scanweave": __version__, **{name: importlib.metadata.version(name) for name in _PACKAGES}},
        "seconds": round(seconds, 1),
        "notice": RESEARCH_NOTICE,
    }


def rounded(content: Any) -> Any:
    """Plain JSON with every number to `DECIMALS` places."""
    if isinstance(content, float):
        return round(content, DECIMALS)
    if isinstance(content, Mapping):
        return {name: rounded(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [rounded(value) for value in content]
    return content
