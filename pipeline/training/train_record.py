"""What is written of a training: by what numbers, on whom, how good, and which weights came out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanweave import RESEARCH_NOTICE, __version__
from scanweave.pipeline.bundle import DEFAULT_BUNDLE
from scanweave.pipeline.training.training_file import training_file

if TYPE_CHECKING:
    from scanweave.networks.weights import Weights
    from scanweave.pipeline.evaluation.evaluation import Evaluation
    from scanweave.pipeline.training.trainer import Trained, Trainer

TRAINING_FILE, CROSS_VALIDATION_FILE = "training.json", "cross_validation.json"
EVALUATION_FOLDER = "evaluation"
"""Beside the weights: their figures on those who were held out."""


def training_record(
    trainer: Trainer, trained: Trained, weights: Weights, bundle: Mapping[str, str], init: str | None
) -> dict[str, Any]:
    """The content of training.json.

    `bundle` is its name and version, `init` the SHA-256 of the weights that it began with, None for random ones.
    """
    state = trained.state
    return {
        "weights": {"file": weights.path.name, "sha256": weights.sha256},
        "validation_dice": state.best_dice if trainer.dataset.split.validation else None,
        "best_epoch": state.best_epoch + 1,
        "epochs": len(state.history),
        "steps": state.steps,
        "seconds": round(state.seconds, 1),
        "init": init,
        "recipe": {**asdict(trainer.recipe), **trainer.learner.settings},
        "augmentation": asdict(trainer.augment.settings),
        "split": asdict(trainer.dataset.split),
        "bundle": dict(bundle),
        "versions": {"scanweave": __version__, **_versions()},
        "notice": RESEARCH_NOTICE,
    }


def cross_validation_record(trainings: Sequence[Mapping[str, Any]], measured: Sequence[Evaluation]) -> dict[str, Any]:
    """The content of cross_validation.json: the held-out patients of all folds, as `evaluate` measures them."""
    from scanweave.pipeline.evaluation.evaluation import evaluation_record, summaries_of, worst_first

    cases = worst_first([case for evaluation in measured for case in evaluation.cases])
    seconds = sum(float(evaluation.record["seconds"]) for evaluation in measured)
    return evaluation_record(cases, summaries_of(cases), {"folds": list(trainings)}, seconds)


def write_record(record: Mapping[str, Any], path: Path) -> None:
    """As JSON, whole or not at all."""
    with training_file(path) as stream:
        stream.write(f"{json.dumps(record, indent=2)}\n".encode())


def trained_text(record: Mapping[str, Any], folder: Path) -> str:
    """What `scanweave train` prints: where the weights are, how good, and what to do next."""
    if "folds" in record:
        low, high = record["mean_interval"] or (record["mean"], record["mean"])
        lines = [
            f"{len(record['patients'])} held-out patients: mean Dice {record['mean']:.3f} ({low:.3f}..{high:.3f}), "
            f"median {record['median']:.3f}",
            f"each fold's weights and evaluation: {folder}/fold_<n>/",
        ]
        return "\n".join([*lines, f"{RESEARCH_NOTICE}."])
    weights = folder / record["weights"]["file"]
    epochs = record["epochs"]
    dice = record["validation_dice"]
    measured = "" if dice is None else f", Dice {dice:.3f} on the patients that chose the epoch"
    name = record["bundle"]["name"]
    of_bundle = "" if name == DEFAULT_BUNDLE else f"--bundle {name} "
    evaluate = f"scanweave evaluate --images DIR {of_bundle}--weights {weights}"
    lines = [
        f"{weights}: {epochs} epoch{'' if epochs == 1 else 's'}{measured}",
        f"SHA-256 {record['weights']['sha256']}",
        f"use them: scanweave segment INPUT -o OUT {of_bundle}--weights {weights}",
        _held_out(folder, record) or f"measure them on patients they have not seen: {evaluate}",
    ]
    return "\n".join([*lines, f"{RESEARCH_NOTICE}."])


def _held_out(folder: Path, record: Mapping[str, Any]) -> str:
    """How good the weights are on the patients that were held out; "" where nobody was, or they were not measured."""
    from scanweave.pipeline.evaluation.evaluation import EVALUATION_FILE

    try:
        found = json.loads((folder / EVALUATION_FOLDER / EVALUATION_FILE).read_text())
    except OSError:
        return ""
    if found["weights"]["sha256"] != record["weights"]["sha256"]:  # an earlier training's
        return ""
    return f"{len(found['patients'])} held-out cases: mean Dice {found['mean']:.3f}; {folder / EVALUATION_FOLDER}/"


def _versions() -> dict[str, str]:
    import monai
    import numpy as np
    import torch

    return {"torch": torch.__version__, "monai": monai.__version__, "numpy": np.__version__}
