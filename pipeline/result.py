"""result.json: what a study's run found and did, without anything that names the patient."""

from __future__ import annotations

import importlib.metadata
import math
import re
import resource
import sys
from collections.abc import Hashable, Mapping
from typing import Any

from scanweave import RESEARCH_NOTICE, __version__
from scanweave.networks.choice import EAGER
from scanweave.networks.weights import Weights
from scanweave.pipeline.identity import pseudonym
from scanweave.pipeline.measurements import measurements_record
from scanweave.pipeline.slice_dice import agreement
from scanweave.transforms.input_distance import LIMIT_PERCENTILE, InputDistance
from scanweave.transforms.io.series import Series
from scanweave.transforms.keep_components import Components
from scanweave.transforms.load_study import LoadedStudy
from scanweave.transforms.rigid.estimate import RigidResult
from scanweave.transforms.segments import parse_segments
from scanweave.transforms.selection.select import Selection

DISCARDED_WARNING_FRACTION = 0.1
"""Above this share of the mask, what the component rule removes is worth a warning."""
_UID_IN_TEXT = re.compile(r"\b(?:[0-2](?:\.[0-9]+){3,}|2\.25\.[0-9]{5,})\b")
"""A root of 0, 1 or 2 and at least three more components, or a UUID's (PS3.5 chapter 9, B.2); versions have fewer."""
_PACKAGES = ("torch", "monai", "numpy", "pydicom", "highdicom", "nibabel", "SimpleITK", "pillow")


def result_record(
    study: Mapping[Hashable, Any], metadata: Mapping[str, Any], bundle: str, weights: Weights, *, phi: bool
) -> dict[str, Any]:
    """The JSON document of one study; `study` is what came out of the chain."""
    loaded: LoadedStudy = study["loaded"]
    components: Components = study["components"]
    registration: Mapping[str, RigidResult] = study.get("registration", {})
    return {
        "roles": roles_record(loaded.selection, phi=phi),
        "registration": {role: _registration(result) for role, result in registration.items()},
        **_sizes(components, in_ml=loaded.spacing_known),
        **measurements_record(study, parse_segments(metadata["segments"])),
        **_dice(study),
        **_input_distance(study),
        "settings": settings_record(study),
        "weights": {"name": weights.name, "sha256": weights.sha256},
        "bundle": {"name": bundle, "version": metadata.get("version", "")},
        "versions": {"scanweave": __version__, **{name: importlib.metadata.version(name) for name in _packages(study)}},
        "seconds": dict(study.get("seconds", {})),
        "peak_memory_mb": peak_memory_mb(),
        **_peak_gpu_memory(),
        "warnings": [without_uids(text, phi=phi) for text in warnings_of(study, metadata, weights)],
        "notice": RESEARCH_NOTICE,
    }


def _packages(study: Mapping[Hashable, Any]) -> tuple[str, ...]:
    """What the numbers may depend on: the packages of every run, and the exported network's runtime if it computed."""
    runtime = study.get("computed", {}).get("runtime", EAGER)
    return _PACKAGES if runtime == EAGER else (*_PACKAGES, runtime)


def settings_record(study: Mapping[Hashable, Any]) -> dict[str, str]:
    """What else a mask follows from: the component rule, and device and precision of the network."""
    components: Components = study["components"]
    return {"components": components.rule, **study.get("computed", {})}


def roles_record(selection: Selection, *, phi: bool) -> dict[str, Any]:
    """Which series fills each role and why; a substituted role names the series that stands in."""
    record = {}
    for role, choice in selection.assigned.items():
        series = choice.series or selection.assigned[choice.substituted_by or ""].series
        record[role] = {
            "series": series_name(series, phi=phi) if series else None,
            "evidence": [without_uids(text, phi=phi) for text in choice.evidence],
            "substituted": choice.series is None,
        }
    return record


def series_name(series: Series, *, phi: bool) -> str:
    """A NIfTI file's name, that of 2-D slices, or the keyed hash of a SeriesInstanceUID."""
    if series.source != "dicom":
        return series.label
    name = pseudonym(series.name, phi=phi)
    return f"{name} [{series.part}]" if series.part else name


def without_uids(text: str, *, phi: bool) -> str:
    """`text` with every UID in it replaced by its keyed hash: evidence and warnings name other series by UID."""
    return _UID_IN_TEXT.sub(lambda match: pseudonym(match[0], phi=phi), text)


def flags_of(study: Mapping[Hashable, Any]) -> list[str]:
    """Reasons for a human to look before the result is believed."""
    results: Mapping[str, RigidResult] = study.get("registration", {})
    return [f"registration of {role}: {result.flag_reason}" for role, result in results.items() if result.flagged]


def warnings_of(study: Mapping[Hashable, Any], metadata: Mapping[str, Any], weights: Weights) -> list[str]:
    """Everything that the reader of a result must know, flags first."""
    loaded: LoadedStudy = study["loaded"]
    components: Components = study["components"]
    warnings = [*flags_of(study), *loaded.selection.warnings, *study.get("remarks", ())]
    if components.count == 0:
        warnings.append("nothing was segmented: the mask is empty")
    warnings += _unlike_training(study)
    compared = agreement(study)
    if compared is not None and compared.dice is None:
        warnings.append("no Dice: the mask and the masks given are empty")
    if components.discarded_fraction > DISCARDED_WARNING_FRACTION:
        in_ml = f"{components.discarded_ml:.2f} ml"
        warnings.append(
            f"the component rule removed {in_ml if loaded.spacing_known else f'{components.discarded_voxels} voxels'}, "
            f"{components.discarded_fraction:.0%} of the mask, in {components.count - components.kept} parts"
        )
    if weights.sha256 != (metadata.get("weights") or {}).get("sha256"):
        warnings.append(f"the weights are not the bundle's own: {weights.name}")
    return warnings


def peak_memory_mb() -> float:
    """The most resident memory this process has had, in MiB (Linux counts KiB, macOS bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


def _sizes(components: Components, *, in_ml: bool) -> dict[str, Any]:
    """Volumes in ml; where no spacing is known they are null, and counted in voxels."""
    counts: dict[str, Any] = {"count": components.count, "kept": components.kept}
    if in_ml:
        counts["discarded_ml"] = round(components.discarded_ml, 4)
        return {"volume_ml": round(components.kept_ml, 4), "components": counts}
    counts |= {"discarded_ml": None, "discarded_voxels": components.discarded_voxels}
    return {"volume_ml": None, "volume_voxels": components.kept_voxels, "components": counts}


def _peak_gpu_memory() -> dict[str, float]:
    """What PyTorch has held of the GPU at most, in MiB; nothing where it was not used."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {"peak_gpu_memory_mb": round(torch.cuda.max_memory_allocated() / 1024**2, 1)}


def _dice(study: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Nothing where no masks were given; null where neither mask has a pixel."""
    found = agreement(study)
    if found is None:
        return {}
    return {"dice": None if found.dice is None else round(found.dice, 4), "dice_slices": found.slices}


def _input_distance(study: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Nothing where the bundle has no reference; a distance that is not finite is null."""
    found: Mapping[str, InputDistance] = study.get("input_distance", {})
    record = {role: {"distance": _decimal(item.distance), "limit": item.limit} for role, item in found.items()}
    return {"input_distance": record} if record else {}


def _unlike_training(study: Mapping[Hashable, Any]) -> list[str]:
    found: Mapping[str, InputDistance] = study.get("input_distance", {})
    return [
        f"the brightness distribution of {role} is unlike the training patients' (distance {item.distance:.2f}, "
        f"{LIMIT_PERCENTILE} % of them under {item.limit:.2f}): look at the mask with care"
        for role, item in found.items()
        if item.unlike
    ]


def _decimal(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _registration(result: RigidResult) -> dict[str, Any]:
    return {
        "matrix_ras": [[float(value) for value in row] for row in result.matrix_ras],
        "quality": {"before": _rounded(result.before), "after": _rounded(result.after)},
        "displacement_mm": round(result.displacement_mm, 3),
        "flagged": result.flagged,
    }


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in figures.items()}
