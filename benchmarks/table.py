"""Runs to rows (medians, ratios), and rows to the tables of docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from contenders import CONTENDERS, Task, baseline
from runs import Run

NAMES = {contender.name: contender for contender in CONTENDERS}
FIGURES = {
    Task.STUDY: {"volume_ml": "mask, ml", "dice": "Dice with scanweave's"},
    Task.REGISTRATION: {
        "pairs_cpu_s": "the two pairs alone, CPU s",
        "from_scanweave_mm": "from scanweave's, mm",
        "error_mm": "from the truth, mm",
    },
}
"""Columns of a task besides those that all have."""


@dataclass(frozen=True)
class Row:
    """One contender on one study: medians over its rounds, and how many times scanweave's median each is.

    All None where it failed, for the reason in `failure`; the ratios too where scanweave itself was not measured.
    """

    contender: str
    rounds: int
    cpu_s: float | None
    wall_s: float | None
    peak_mb: float | None
    cpu_ratio: float | None
    wall_ratio: float | None
    peak_ratio: float | None
    figures: Mapping[str, float]
    failure: str


def rows(runs: Iterable[Run]) -> list[Row]:
    """The rows of one study, in the order of the contenders."""
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        by_name.setdefault(run.contender, []).append(run)
    medians = {name: _medians(of_one) for name, of_one in by_name.items()}
    found = []
    for name in (contender for contender in NAMES if contender in by_name):
        of_one = by_name[name]
        failure = next((run.failure for run in of_one if run.failure), "")
        own = None if failure else medians[name]
        base = medians.get(baseline(NAMES[name].task).name)
        ratios = [a / b for a, b in zip(own, base, strict=True)] if own and base else [None] * 3
        found.append(Row(name, len(of_one), *(own or [None] * 3), *ratios, _figures(of_one), failure))
    return found


def _medians(runs: Sequence[Run]) -> list[float] | None:
    """CPU, wall, peak; None where one failed."""
    done = [run.measured for run in runs if run.measured is not None and not run.failure]
    if len(done) < len(runs):
        return None
    return [median(getattr(one, name) for one in done) for name in ("cpu_s", "wall_s", "peak_mb")]


def _figures(runs: Sequence[Run]) -> dict[str, float]:
    """Medians of what was found in the results."""
    names = dict.fromkeys(name for run in runs for name in run.figures)
    return {name: median(run.figures[name] for run in runs if name in run.figures) for name in names}


def section(name: str, measured: Mapping[str, Any]) -> str:
    """One study as markdown; `measured` is its entry in performance.json."""
    at = measured["conditions"]
    threads = "".join(f", {key}={value}" for key, value in at["threads"].items())
    rounds = f"{measured['rounds']} round" + "s" * (measured["rounds"] != 1)
    machine = f"{at['cores']} cores of {at['processor']}, {at['memory_gb']:.0f} GB{threads}, load {at['load']} before"
    told = f"{measured['what']}. Medians of {rounds}, {at['date']}, commit {at['commit']}, {machine}."
    lines = [f"### {name}", "", told]
    for task in Task:
        of_task = [Row(**row) for row in measured["rows"] if NAMES[row["contender"]].task is task]
        if of_task:
            lines += ["", *_table(task, of_task)]
    return "\n".join(lines) + "\n"


def _table(task: Task, of_task: Sequence[Row]) -> list[str]:
    extra = {key: title for key, title in FIGURES[task].items() if any(key in row.figures for row in of_task)}
    heads = [task.value, "CPU s", "wall s", "peak MB", "CPU, ratio", "wall, ratio", "peak, ratio", *extra.values()]
    lines = [line(heads), line(["---"] + ["---:"] * (len(heads) - 1))]
    for row in of_task:
        if row.failure:
            lines.append(line([row.contender, "failed: " + row.failure.replace("|", "/")] + [""] * (len(heads) - 2)))
            continue
        numbers = [(row.cpu_s, 2), (row.wall_s, 2), (row.peak_mb, 0)]
        numbers += [(ratio, 2) for ratio in (row.cpu_ratio, row.wall_ratio, row.peak_ratio)]
        numbers += [(row.figures.get(key), 2) for key in extra]
        lines.append(line([row.contender, *(_number(value, digits) for value, digits in numbers)]))
    return lines


def growth(studies: Mapping[str, Mapping[str, Any]]) -> str:
    """How the cost of whole studies grows over the phantoms; empty with less than two."""
    phantoms = {name: entry for name, entry in studies.items() if name.startswith("phantom")}
    if len(phantoms) < 2:
        return ""
    tried = {row["contender"] for entry in phantoms.values() for row in entry["rows"]}
    names = [contender.name for contender in CONTENDERS if contender.task is Task.STUDY and contender.name in tried]
    lines = ["### How cost grows", "", "CPU s / wall s / peak MB of whole studies.", ""]
    lines += [line(["phantom", *names]), line(["---"] + ["---:"] * len(names))]
    for phantom, entry in phantoms.items():
        cells = {row["contender"]: _cell(Row(**row)) for row in entry["rows"]}
        lines.append(line([phantom, *(cells.get(name, "") for name in names)]))
    return "\n".join(lines) + "\n"


def _cell(row: Row) -> str:
    return "failed" if row.failure else f"{row.cpu_s:.1f} / {row.wall_s:.1f} / {row.peak_mb:.0f}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def line(cells: Sequence[str]) -> str:
    """A row of a markdown table."""
    return "| " + " | ".join(cells) + " |"
