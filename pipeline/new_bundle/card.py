"""The model card of a new bundle, with places to fill, and the one place that is filled by `weights install`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

from scanweave import RESEARCH_NOTICE
from scanweave.pipeline.new_bundle.design import Design

CARD_FILE, LICENSE_FILE = Path("docs", "README.md"), Path("LICENSE")
DATA_LICENSE_FILE = Path("docs", "data_license.txt")
BEGIN, END = "<!-- scanweave weights install: begin -->", "<!-- scanweave weights install: end -->"
NOT_MEASURED = "Not measured yet."
_TEMPLATE = Path(__file__).with_name("card.md")
_LICENSE = """\
[Choose a licence for this folder and the weights, and put its text here, before you give them to others.]

The files in configs/ were made from those of scanweave: Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0
"""
_DATA_LICENSE = "[The licence of the training data, and what it asks of those who use the weights.]\n"


def new_texts(design: Design) -> dict[Path, str]:
    """The texts beside configs/, by their paths in the bundle."""
    return {CARD_FILE: _card(design), LICENSE_FILE: _LICENSE, DATA_LICENSE_FILE: _DATA_LICENSE}


def _card(design: Design) -> str:
    segments = design.segments
    roles = [role.name if role.required else f"{role.name} (or {role.substitute} again)" for role in design.roles]
    codes = {f"{concept.meaning} ({concept.value})": None for s in segments for concept in (s.category, s.type)}
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=design.name,
        labels=" and ".join(segment.label.lower() for segment in segments),
        notice=RESEARCH_NOTICE,
        roles=", ".join(roles),
        numbered=", ".join(f"{number} ({segment.label.lower()})" for number, segment in enumerate(segments, start=1)),
        codes=", ".join(codes),
        region=f"{segments[0].region.meaning} ({segments[0].region.value})",
        begin=BEGIN,
        figures=NOT_MEASURED,
        end=END,
    )


def with_figures(card: str, weights: Mapping[str, str], figures: Mapping[str, float]) -> str:
    """`card` with what is known of its weights; the same card where its author has taken the place for it away."""
    before, begin, rest = card.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return card
    rows = [f"| {name.replace('_', ' ')} | {value:.3f} |" for name, value in figures.items()]
    table = "\n".join(["| figure | |", "|---|---:|", *rows]) if rows else NOT_MEASURED
    return f"{before}{BEGIN}\nWeights {weights['name']}, SHA-256 `{weights['sha256']}`.\n\n{table}\n{END}{after}"
