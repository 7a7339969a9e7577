"""The configurations of a new bundle: its template's own, with the values that are not the same."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scanweave.pipeline.bundle import INFERENCE_CONFIG, METADATA_FILE
from scanweave.pipeline.json_text import json_text
from scanweave.pipeline.new_bundle.design import Design
from scanweave.pipeline.new_bundle.metadata import new_metadata

CONFIGS = INFERENCE_CONFIG.parent
OF_THE_WEIGHTS = ("split.json", "input_reference.json")
"""In a bundle's configs/: whom its weights have seen, and how bright those were."""
HELD_OUT = 0.2
"""Share of the patients that a training measures in the end; where the template holds out its own, that."""
_ROOT_IMPORT = "$from importlib.resources import files"
_SEGMENT_LOSS = "scanweave.pipeline.training.segment_loss.SegmentLoss"
_PAD = "scanweave.transforms.pad_plane.PadPlaned"
_OWN_NAME = "$Path(@bundle_root).resolve().name"
"""MONAI's commands say "." for the bundle in whose folder they run."""
_SPACED = re.compile(r'\n\n    "([^"]+)":')


def new_configs(design: Design) -> dict[Path, str]:
    """The text of each file of configs/, by its path in the bundle."""
    made = {METADATA_FILE: json_text(new_metadata(design))}
    for path in sorted((design.template.root / CONFIGS).iterdir()):
        name = CONFIGS / path.name
        if name == METADATA_FILE or path.name in OF_THE_WEIGHTS or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        made[name] = _adapted(text, design) if path.suffix == ".json" else text
    return made


def _adapted(text: str, design: Design) -> str:
    config = adapted(json.loads(text), design)
    return json_text(config, spaced=set(_SPACED.findall(text)))


def adapted(config: dict[str, Any], design: Design) -> dict[str, Any]:
    """A copy of one of the template's configurations as the new bundle has it."""
    made = copy.deepcopy(config)
    if "bundle_root" in made:
        made["bundle_root"] = "."  # as in MONAI's own bundles; `scanweave --bundle` says where it is
        made["imports"] = [line for line in made["imports"] if line != _ROOT_IMPORT]
    if "reference" in made and design.reference is not None:
        made["reference"] = design.reference
    if "network_def" in made:
        made["network_def"] |= {"in_channels": len(design.roles), "out_channels": len(design.segments)}
        if design.features is not None:
            made["network_def"]["features"] = design.features
    if "input_shape" in made:  # of onnx_export.json
        made["input_shape"][1] = len(design.roles)
    if "loss" in made and len(design.segments) > 1 and made["loss"]["_target_"] != _SEGMENT_LOSS:
        made["loss"] = {"_target_": _SEGMENT_LOSS, "loss": made["loss"]}
    if "training" in made:
        made["training"]["bundle"]["name"] = _OWN_NAME
        made["train"]["dataset"]["split"].setdefault("held_out", HELD_OUT)
    for step in _steps(made, _PAD):
        step.pop("region", None)  # what the template calls its own
    return made


def _steps(part: Any, target: str) -> Iterator[dict[str, Any]]:
    """Every part of a configuration that is a `target`."""
    if isinstance(part, dict):
        if part.get("_target_") == target:
            yield part
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _steps(each, target)
