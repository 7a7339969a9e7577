"""The files of an evaluation, but for the pictures of each case: evaluation.json, evaluation.csv, dsc.png."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from scanweave.pipeline.evaluation.dice_chart import CHART_FILE, draw_chart
from scanweave.pipeline.evaluation.evaluation import EVALUATION_FILE, Evaluation

TABLE_FILE = "evaluation.csv"
_IN_WORDS = "warnings"
"""The one figure that is a list."""


def write_evaluation(folder: Path, done: Evaluation) -> None:
    """Write the files into `folder`.

    Raises
    ------
    OSError
        The disk is full or the folder cannot be written.
    """
    text = json.dumps(done.record, indent=2, allow_nan=False, ensure_ascii=False)
    (folder / EVALUATION_FILE).write_text(text + "\n", encoding="utf-8")
    _write_table(folder / TABLE_FILE, done)
    draw_chart(done, folder / CHART_FILE)


def _write_table(path: Path, done: Evaluation) -> None:
    """One row a case, worst first; what a case does not have is empty."""
    rows = [{"case": name, **figures} for name, figures in done.record["patients"].items()]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, _IN_WORDS: "; ".join(row[_IN_WORDS])})
