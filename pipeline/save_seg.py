"""A study's mask and probabilities as DICOM-SEG: what the bundle and the run have to say in them."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scanweave import __version__
from scanweave.networks.weights import Weights
from scanweave.pipeline.result import flags_of, settings_record
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.dicom_seg_settings import SegKind, SegSettings
from scanweave.transforms.io.remarks import quiet
from scanweave.transforms.load_study import LoadedStudy
from scanweave.transforms.segments import parse_segments

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class SegOutput:
    """One way to write the result as a Segmentation; `series_description` tells the ways apart in a worklist."""

    kind: SegKind
    series_description: str
    notes: str = ""


SEG_OUTPUTS = {
    "dicom-seg": SegOutput(SegKind.BINARY, "scanweave segmentation"),
    "dicom-seg-fractional": SegOutput(
        SegKind.FRACTIONAL,
        "scanweave probability",
        "Probabilities as the network gave them, before the threshold and the rule for connected parts",
    ),
    "dicom-seg-labelmap": SegOutput(SegKind.LABELMAP, "scanweave label map"),
}
"""By the name in `--outputs`."""


def save_segs(files: Mapping[str, Path], mask: Volume, study: Mapping[Hashable, Any], settings: SegSettings) -> None:
    """Write those of `SEG_OUTPUTS` that `files` has a place for; none that would have no voxel.

    All lie in the reference's frame of reference; the other roles are further sources. `settings` are those of
    `seg_settings`.
    """
    from scanweave.transforms.io.dicom_seg import holds_something, write_dicom_seg

    flair, further = headers_of(study["loaded"])
    for name in SEG_OUTPUTS.keys() & files.keys():
        output = SEG_OUTPUTS[name]
        voxels = probability_volumes(study) if output.kind is SegKind.FRACTIONAL else mask
        if not holds_something(voxels, output.kind):
            continue
        own = replace(settings, **vars(output))
        with quiet():
            write_dicom_seg(files[name], voxels, flair, further, own)


def seg_settings(
    study: Mapping[Hashable, Any], bundle: str, metadata: Mapping[str, Any], weights: Weights, *, all_frames: bool
) -> SegSettings:
    """What the bundle, the weights and the run have to say in every DICOM result."""
    loaded: LoadedStudy = study["loaded"]
    return SegSettings(
        segments=parse_segments(metadata["segments"]),
        algorithm=f"scanweave {bundle}",
        version=__version__,
        weights_sha256=weights.sha256,
        all_frames=all_frames,
        flags=tuple(flags_of(study)),
        substituted=tuple(role for role, choice in loaded.selection.assigned.items() if choice.series is None),
        run=json.dumps([metadata.get("version", ""), settings_record(study)], sort_keys=True),
    )


def headers_of(loaded: LoadedStudy) -> tuple[tuple[Dataset, ...], list[Dataset]]:
    """Those of the reference, and those of all other roles that have a series."""
    roles = loaded.selection.assigned
    reference = next(role for role, choice in roles.items() if choice.series is loaded.reference)
    further = [header for role, headers in loaded.headers.items() if role != reference for header in headers]
    return loaded.headers[reference], further


def probability_volumes(study: Mapping[Any, Any]) -> list[Volume]:
    """What the network gave, a volume (i, j, k) for each segment, float32, on the mask's grid."""
    affine = study["loaded"].grid.affine
    return [Volume(channel.astype(np.float32, copy=False), affine) for channel in study["pred"].array]
