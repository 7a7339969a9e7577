"""What the command line says of an evaluation: a table, worst first, and the summary."""

from __future__ import annotations

from collections.abc import Sequence

from scanweave import RESEARCH_NOTICE
from scanweave.errors import printable
from scanweave.pipeline.evaluation.evaluation import OF_CELLS, OF_EACH, SUMMARIZED, CaseFigures, Evaluation
from scanweave.pipeline.evaluation.summary import Summary

NONE = "-"
LISTED = 3
"""Cases that a warning names."""
ON_OWN_GRID = "dice_original"
_HEADINGS = ("case", "Dice", "own grid", "IoU", "HD95", "volume", "missed", "false", "parts")


def evaluation_text(done: Evaluation) -> str:
    """Plain lines."""
    rows = [_HEADINGS, *(_row(case) for case in done.cases)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_HEADINGS))]
    lines = [_aligned(row, widths) for row in rows]
    lines += warnings_of(done.cases)
    dice, all_parts, largest = (done.summaries[name] for name in ("dice", "dice_all", "dice_largest"))
    rule = done.record["settings"]["components"]
    lines += [
        "",
        f"Dice of {dice.count} patient(s): mean {_with_interval(dice.mean, dice, 'mean_interval')}",
        f"median {_with_interval(dice.median, dice, 'median_interval')}",
        f"components: {rule}; mean {_number(all_parts.mean)} with all, {_number(largest.mean)} with the largest",
        f"on the inputs' own grid: mean {_number(done.summaries['dice_original'].mean)}",
    ]
    each = [name.removeprefix(OF_EACH) for name in done.summaries if name.startswith(OF_EACH) and _is_segment(name)]
    lines += [f"{name}: mean Dice {_number(done.summaries[OF_EACH + name].mean)}" for name in each]
    cells = {name: done.summaries[name].mean for name in OF_CELLS if name in done.summaries}
    lines += [f"{name.replace('_', ' ')}: mean {_number(mean)}" for name, mean in cells.items()]
    lines += [f"warning: {told}" for told in done.record["warnings"]]
    if done.folder:
        lines.append(f"results: {done.folder} (evaluation.json, evaluation.csv, dsc.png, overlays/)")
    lines.append(f"{RESEARCH_NOTICE}.")
    return "\n".join(lines)


def warnings_of(cases: Sequence[CaseFigures]) -> list[str]:
    """A line for each case and warning; what several cases have word for word in common is said once."""
    told: dict[str, list[str]] = {}
    for case in cases:
        for warning in case.figures["warnings"]:
            told.setdefault(warning, []).append(printable(case.name))
    listed = {text: ", ".join(names[:LISTED]) + (", .." if len(names) > LISTED else "") for text, names in told.items()}
    where = {
        text: names[0] if len(names) == 1 else f"{len(names)} cases ({listed[text]})" for text, names in told.items()
    }
    return [f"warning: {where[text]}: {text}" for text in told]


def _is_segment(name: str) -> bool:
    return name not in SUMMARIZED and not name.startswith(ON_OWN_GRID)


def _row(case: CaseFigures) -> tuple[str, ...]:
    figures = case.figures
    distance, error = figures["hd95"], figures["volume_error_percent"]
    return (
        printable(case.name),
        f"{case.dice:.3f}",
        f"{figures['dice_original']:.3f}",
        f"{figures['iou']:.3f}",
        NONE if distance is None else f"{distance:.1f} {figures['hd95_unit']}",
        NONE if error is None else f"{round(error, 1) + 0.0:+.1f} %",
        str(figures["slices_missed"]),
        str(figures["slices_false"]),
        str(figures["components"]),
    )


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    name, *cells = row
    return "  ".join([name.ljust(widths[0]), *(cell.rjust(n) for cell, n in zip(cells, widths[1:], strict=True))])


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _with_interval(value: float | None, summary: Summary, name: str) -> str:
    interval = getattr(summary, name)
    return _number(value) + (f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
