#!/usr/bin/env python3
"""What a network loses when a series is missing or misregistered, or the head lies otherwise: Dice of each patient.

    benchmarks/robustness.py --images DIR [--weights FILE] [--only SPLIT.json] [--device cuda:0] [--json OUT.json]

DIR holds cases in the published layout of the LGG Segmentation Dataset. Each change is made to the slices as they were
published, before anything of the chain, so that cropping and z-score meet it as they would in a scan. Research use
only, not a medical device.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scanweave.pipeline.bundle import build_part, find_bundle
from scanweave.pipeline.device import choose_device
from scanweave.pipeline.evaluation.evaluate import EVALUATE_CONFIG
from scanweave.transforms.image import Image
from scanweave.transforms.io.labelled_cases import find_cases

SHIFT_PX, TURN_DEG, SHIFT_SLICES = 2.0, 2.0, 0.4
"""Of a T1 series against the FLAIR: in the plane, about its centre, and through it."""
SMALLER = 0.8
OTHERS = ("pre", "post")
ALL = ("pre", "flair", "post", "label")
Study = dict[Any, Any]
Change = Callable[[Study], Study]


def none_missing(study: Study) -> Study:
    """The study as it is."""
    return study


def missing(study: Study) -> Study:
    """No contrast series: the chain puts the FLAIR in their place."""
    return {key: value for key, value in study.items() if key not in OTHERS}


def misregistered(study: Study) -> Study:
    """Both T1 series moved, to different sides."""
    for role, sign in zip(OTHERS, (1, -1), strict=True):
        if role in study:
            study[role] = _moved(study[role], sign)
    return study


def mirrored(study: Study) -> Study:
    """Left and right exchanged."""
    return _each(study, lambda planes, _: planes[:, ::-1])


def upside_down(study: Study) -> Study:
    """Front and back exchanged."""
    return _each(study, lambda planes, _: planes[::-1])


def smaller(study: Study) -> Study:
    """The head at 80 % of its size in the same matrix."""
    return _each(study, _shrunk)


CHANGES: Mapping[str, Change] = {
    "as published": none_missing,
    "both contrast series missing": missing,
    "T1 series misregistered": misregistered,
    "mirrored": mirrored,
    "upside down": upside_down,
    "20 % smaller": smaller,
}


def _each(study: Study, change: Callable[[npt.NDArray[Any], bool], npt.NDArray[Any]]) -> Study:
    for key in ALL:
        if key in study:
            image = study[key]
            study[key] = _like(change(image.array[0], key == "label"), image)
    study["truth"] = study["label"]
    return study


def _shrunk(planes: npt.NDArray[Any], is_label: bool) -> npt.NDArray[Any]:
    rows, columns = planes.shape[:2]
    back = np.diag([1 / SMALLER, 1 / SMALLER, 1.0])
    centre = np.array([(rows - 1) / 2, (columns - 1) / 2, 0])
    found = ndimage.affine_transform(planes, back, centre - back @ centre, order=0 if is_label else 2, cval=0)
    return found if is_label else np.clip(found, 0, planes.max())


def _moved(image: Image, sign: int) -> Image:
    planes = image.array[0]
    angle = np.deg2rad(sign * TURN_DEG)
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    centre = (np.array(planes.shape) - 1) / 2 * [1, 1, 0]
    shift = np.array([sign * SHIFT_PX / 2**0.5, -sign * SHIFT_PX / 2**0.5, sign * SHIFT_SLICES])
    found = ndimage.affine_transform(planes, turn, centre - turn @ centre + shift, order=1, mode="nearest")
    return _like(found, image)


def _like(planes: npt.NDArray[Any], image: Image) -> Image:
    return image.with_array(np.ascontiguousarray(planes, dtype=np.float32)[None])


def measure(images: Path, weights: Path | None, names: set[str] | None, device: str) -> dict[str, Any]:
    """Dice of each patient (model space, the bundle's component rule) under each change."""
    bundle = find_bundle()
    cases = [case for case in find_cases(images, [role.name for role in bundle.roles])]
    chosen = [case for case in cases if names is None or case.patient in names]
    found: dict[str, Any] = {}
    for name, change in CHANGES.items():
        overrides = {"dataset::data": [], "weights_file": weights, "output_dir": None, "device": choose_device(device)}
        evaluator = build_part(bundle, "evaluator", overrides, EVALUATE_CONFIG)
        engine = evaluator.study_evaluator
        steps = list(engine.dataset.transform.transforms)
        at = [type(step).__name__ for step in steps].index("LoadTruthd") + 1
        engine.dataset.transform.transforms = (*steps[:at], change, *steps[at:])
        engine.dataset.data = [case.item for case in chosen]
        done = evaluator.run()
        found[name] = {case.name: case.figures["dice"] for case in done.cases}
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--only", type=Path, metavar="SPLIT.json", help="the patients held out by this split")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, metavar="OUT.json")
    options = parser.parse_args()
    names = set(json.loads(options.only.read_text())["test"]) if options.only else None
    found = measure(options.images, options.weights, names, options.device)
    own = found["as published"]
    print(f"{'change':<30} {'mean Dice':>9} {'median':>7} {'difference':>10} {'worst':>7}")
    for name, dices in found.items():
        lost = [dices[case] - own[case] for case in own]
        values = list(dices.values())
        print(
            f"{name:<30} {np.mean(values):>9.3f} {np.median(values):>7.3f} {np.mean(lost):>+10.3f} {min(lost):>+7.3f}"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
