"""A study's mask as DICOM-SEG: what the bundle and the run have to say in it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanweave import __version__
from scanweave.networks.weights import Weights
from scanweave.pipeline.result import flags_of, settings_record
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.remarks import quiet
from scanweave.transforms.load_study import LoadedStudy

if TYPE_CHECKING:
    from scanweave.transforms.io.dicom_seg_settings import Concept


def save_seg(
    path: Path,
    mask: Volume,
    study: Mapping[Hashable, Any],
    bundle: str,
    metadata: Mapping[str, Any],
    weights: Weights,
) -> None:
    """Write `mask`, which is not empty, in the reference's frame of reference; the other roles are further sources."""
    from scanweave.transforms.io.dicom_seg import SegSettings, write_dicom_seg

    loaded: LoadedStudy = study["loaded"]
    roles = loaded.selection.assigned
    reference = next(role for role, choice in roles.items() if choice.series is loaded.reference)
    further = [header for role, headers in loaded.headers.items() if role != reference for header in headers]
    said = metadata["segment"]
    settings = SegSettings(
        label=said["label"],
        algorithm=f"scanweave {bundle}",
        version=__version__,
        weights_sha256=weights.sha256,
        flags=tuple(flags_of(study)),
        substituted=tuple(role for role, choice in roles.items() if choice.series is None),
        run=json.dumps([metadata.get("version", ""), settings_record(study)], sort_keys=True),
        category=_concept(said["category"]),
        type=_concept(said["type"]),
        region=_concept(said["region"]),
    )
    with quiet():
        write_dicom_seg(path, mask, loaded.headers[reference], further, settings)


def _concept(code: Mapping[str, str]) -> Concept:
    from scanweave.transforms.io.dicom_seg_settings import Concept

    return Concept(code["value"], code["scheme"], code["meaning"])
