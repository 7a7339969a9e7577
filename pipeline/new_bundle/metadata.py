"""The metadata of a bundle that nobody has trained yet."""

from __future__ import annotations

import copy
from typing import Any

from scanweave import RESEARCH_NOTICE
from scanweave.pipeline.new_bundle.design import Design, declared
from scanweave.transforms.segments import Concept, Segment

NOT_STATED = "not stated yet"
VERSION = "0.1.0"
_KEPT = ("monai_version", "pytorch_version", "numpy_version", "required_packages_version")
"""What the chain was tested with is what the template's was."""


def new_metadata(design: Design) -> dict[str, Any]:
    """The content of metadata.json: `weights` is None, `eval_metrics` are none, and what nobody has said says so."""
    template = design.template.metadata
    labels = ", ".join(segment.label for segment in design.segments)
    roles = ", ".join(role.name for role in design.roles)
    numbered = ", ".join(f"{number} is {segment.label}" for number, segment in enumerate(design.segments, start=1))
    return {
        "schema": template["schema"],
        "version": VERSION,
        "changelog": {VERSION: "made, not trained yet"},
        **{key: template[key] for key in _KEPT},
        "task": f"Segmentation in brain MR: {labels}",
        "description": f"{labels} from {roles}. {RESEARCH_NOTICE}.",
        "authors": NOT_STATED,
        "copyright": NOT_STATED,
        "data_source": NOT_STATED,
        "data_type": template["data_type"],
        "image_classes": f"{len(design.roles)} channel(s): {roles}",
        "label_classes": f"one channel: {numbered}, 0 is everything else",
        "pred_classes": f"{len(design.segments)} channel(s), probability of: {labels}",
        "eval_metrics": {},
        "intended_use": RESEARCH_NOTICE,
        "references": [],
        "roles": [declared(role) for role in design.roles],
        "weights": None,
        "segments": [_segment(segment) for segment in design.segments],
        "network_data_format": _data_format(design),
    }


def _segment(segment: Segment) -> dict[str, Any]:
    codes = {"category": segment.category, "type": segment.type, "region": segment.region}
    return {"name": segment.name, "label": segment.label, **{key: _concept(code) for key, code in codes.items()}}


def _concept(code: Concept) -> dict[str, str]:
    return {"scheme": code.scheme, "value": code.value, "meaning": code.meaning}


def _data_format(design: Design) -> dict[str, Any]:
    made: dict[str, Any] = copy.deepcopy(design.template.metadata["network_data_format"])
    names = [role.name for role in design.roles], [segment.label for segment in design.segments]
    for tensor, channels in zip((made["inputs"]["image"], made["outputs"]["pred"]), names, strict=True):
        tensor["num_channels"] = len(channels)
        tensor["channel_def"] = {str(number): name for number, name in enumerate(channels)}
    return made
