"""What the command line says of a study: a few lines, or a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scanweave import RESEARCH_NOTICE
from scanweave.pipeline.inspection import Inspection, series_record
from scanweave.pipeline.segmented import SegmentedStudy

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160
"""Columns of a table that goes to a file or another program."""


def segmented_text(done: SegmentedStudy) -> str:
    """A summary in plain lines, warnings first."""
    lines = [f"warning: {warning}" for warning in done.warnings]
    for role, record in done.record["roles"].items():
        source = "substituted by" if record["substituted"] else "from"
        moved = done.registration.get(role)
        motion = f", moved by {moved.displacement_mm:.1f} mm" if moved else ""
        lines.append(f"{role}: {source} series {record['series']}{motion}")
    parts = done.components
    unscaled = f"{parts.kept_voxels} voxels of unknown size"
    volume = unscaled if done.volume_ml is None else f"{done.volume_ml:.2f} ml"
    lines.append(f"volume: {volume}, in {parts.kept} of {parts.count} part(s)")
    if len(done.record["segments"]) > 1:
        lines += [f"{one['label']}: {_amount(one)}" for one in done.record["segments"].values()]
    if done.record.get("dice") is not None:
        compared = done.record["dice_slices"]
        lines.append(f"Dice with the given masks: {done.record['dice']:.3f}, over {compared} slice(s)")
    if done.folder:
        lines.append(f"results: {done.folder}")
    lines.append(f"{RESEARCH_NOTICE}.")
    return "\n".join(lines)


def _amount(segment: Mapping[str, Any]) -> str:
    if segment["volume_ml"] is None:
        return f"{segment['volume_voxels']} voxels of unknown size"
    return f"{segment['volume_ml']:.2f} ml"


def print_inspection(found: Inspection) -> None:
    """A table of all series on stdout, then the names by which each can be given to a role."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("#", "description", "voxels", "mm", "role", "evidence and problems"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "role")
    for number, item in enumerate(found.series, start=1):
        record = series_record(item, found)
        remarks = [*record["evidence"], *(f"{p['code']}: {p['message']}" for p in record["problems"])]
        row = (
            str(number),
            item.facts.description,
            " x ".join(map(str, item.shape or ())),
            " x ".join(f"{value:.2f}" for value in item.spacing or ()),
            record["role"] or "",
            "; ".join(remarks),
        )
        table.add_row(*(Text(cell) for cell in row), style="bold" if record["role"] else "")
    console.print(table)
    for number, item in enumerate(found.series, start=1):
        print_line(console, f"#{number} {item.label}")
    for warning in found.warnings:
        print_line(console, f"warning: {warning}")
    print_line(console, f"{RESEARCH_NOTICE}.")


def print_line(console: Console, line: str) -> None:
    """One line as it is, however long: UIDs are there to be copied."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
