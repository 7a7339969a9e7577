"""What the command line says of a study: a few lines, a table, or a JSON record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scanweave import RESEARCH_NOTICE
from scanweave.pipeline.study import Inspection, SegmentedStudy
from scanweave.transforms.io.series import Series
from scanweave.transforms.selection.series_rules import nature_of

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160
"""Columns of a table that goes to a file or another program."""


def segmented_text(done: SegmentedStudy) -> str:
    """A summary in plain lines, warnings first."""
    result = done.result
    lines = [f"warning: {warning}" for warning in result["warnings"]]
    for role, record in result["roles"].items():
        source = "substituted by" if record["substituted"] else "from"
        moved = result["registration"].get(role)
        motion = f", moved by {moved['displacement_mm']:.1f} mm" if moved else ""
        lines.append(f"{role}: {source} series {record['series']}{motion}")
    parts = result["components"]
    lines.append(f"volume: {result['volume_ml']:.2f} ml in {parts['kept']} of {parts['count']} part(s)")
    lines.append(f"results: {done.folder}")
    lines.append(f"{RESEARCH_NOTICE}.")
    return "\n".join(lines)


def inspection_record(found: Inspection) -> dict[str, Any]:
    """The JSON document of `scanweave inspect --json`."""
    return {
        "series": [_series_record(item, found) for item in found.series],
        "roles": _roles_record(found),
        "warnings": list(found.selection.warnings) if found.selection else [],
        "error": str(found.refusal.code) if found.refusal else None,
    }


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
        record = _series_record(item, found)
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
    for warning in found.selection.warnings if found.selection else ():
        print_line(console, f"warning: {warning}")
    print_line(console, f"{RESEARCH_NOTICE}.")


def print_line(console: Console, line: str) -> None:
    """One line as it is, however long: UIDs are there to be copied."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _series_record(item: Series, found: Inspection) -> dict[str, Any]:
    role = next((role for role, series in found.roles.items() if series == item), None)
    if role is not None and found.selection is not None:
        evidence = found.selection.assigned[role].evidence
    else:
        evidence = nature_of(item).evidence
    return {
        "uid" if item.source == "dicom" else "name": item.name,
        "part": item.part,
        "modality": item.facts.modality,
        "description": item.facts.description,
        "shape": list(item.shape or ()),
        "spacing": list(item.spacing or ()),
        "role": role,
        "evidence": list(evidence),
        "problems": [{"code": str(p.code), "message": p.message} for p in item.problems],
    }


def _roles_record(found: Inspection) -> dict[str, Any]:
    """As in result.json, but with the UIDs by which a series can be named on the command line."""
    record = {}
    for role, choice in found.selection.assigned.items() if found.selection else ():
        series = found.roles.get(role) or found.roles.get(choice.substituted_by or "")
        record[role] = {
            "series": series.label if series else None,
            "evidence": list(choice.evidence),
            "substituted": choice.series is None,
        }
    return record
