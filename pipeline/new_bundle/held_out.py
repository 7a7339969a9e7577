"""The figures of a training's held-out patients, by the names under which a bundle's metadata have them."""

from __future__ import annotations

import json
from pathlib import Path

from scanweave.pipeline.evaluation.evaluation import EVALUATION_FILE, OF_EACH, SUMMARIZED
from scanweave.pipeline.training.splits import SPLIT_FILE
from scanweave.pipeline.training.train import EVALUATION_FOLDER

DECIMALS = 3


def held_out_figures(training: Path, sha256: str) -> dict[str, float]:
    """Mean and median Dice, and the mean of each segment, of the evaluation in the folder `training`.

    None where there is no evaluation of the weights with that `sha256`, or one with patients who trained them.
    """
    try:
        record = json.loads((training / EVALUATION_FOLDER / EVALUATION_FILE).read_text(encoding="utf-8"))
        split = json.loads((training / SPLIT_FILE).read_text(encoding="utf-8"))
        patients = {case["patient"] for case in record["patients"].values()}
        own = record["weights"]["sha256"] == sha256
        if not own or not patients <= set(split["test"]):
            return {}
        named = {"mean_dice": record["mean"], "median_dice": record["median"]}
        for name, summary in record["summary"].items():
            if name.startswith(OF_EACH) and name not in SUMMARIZED and not name.startswith("dice_original_"):
                named[f"mean_{name}"] = summary["mean"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {f"held_out_{len(patients)}_{name}": round(float(value), DECIMALS) for name, value in named.items()}
