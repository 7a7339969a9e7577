"""A study's mask drawn on its slices, as a series that every viewer shows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scanweave import RESEARCH_NOTICE, __version__
from scanweave.pipeline.overlay_pictures import Scene, Words, overlay_pictures
from scanweave.pipeline.save_seg import headers_of
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.dicom_seg_settings import SegSettings, plain_text
from scanweave.transforms.io.remarks import quiet
from scanweave.transforms.keep_components import Components
from scanweave.transforms.load_study import LoadedStudy

SERIES_DESCRIPTION = "scanweave overlay"
OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "H": "F", "F": "H"}
MOST_LETTERS = 400
"""Of one sentence under a picture."""


def save_sc(folder: Path, mask: Volume, study: Mapping[Hashable, Any], settings: SegSettings) -> None:
    """Write one Secondary Capture a slice into `folder`, of an empty mask too: it says that nothing was found.

    `settings` are those of the study's SEG.
    """
    from scanweave.transforms.io.dicom_sc import orientation_letters, sc_sources, write_dicom_sc
    from scanweave.transforms.io.dicom_seg_grid import as_source_stack, source_axes

    loaded: LoadedStudy = study["loaded"]
    if loaded.preview is None:
        raise ValueError("expected a study with the pictures of its slices")
    flair, further = headers_of(loaded)
    sources = sc_sources(flair)
    planes = [source.plane for source in sources]
    stack = as_source_stack(mask, (int(flair[0].Rows), int(flair[0].Columns)), planes)
    axes, flips = source_axes(mask.grid, planes)
    gray = np.flip(loaded.preview.voxels.transpose(axes), flips)
    i, j, k = (loaded.preview.factors[axis] for axis in axes)
    right, bottom = orientation_letters(planes[0])
    scene = Scene(stack.array > 0, gray, (i, j, k), (OPPOSITE[right], right, OPPOSITE[bottom]))
    pictures = overlay_pictures(scene, _words(study, settings), [_name(source.number) for source in sources])
    with quiet():
        write_dicom_sc(
            folder,
            pictures,
            sources,
            further,
            replace(settings.of_the_finding, series_description=SERIES_DESCRIPTION),
        )


def _name(number: int) -> str:
    return f"source image {number} | scanweave {__version__}"


def _words(study: Mapping[Hashable, Any], settings: SegSettings) -> Words:
    components: Components = study["components"]
    label = settings.labels
    if components.kept:
        parts = f"{components.kept} part{'' if components.kept == 1 else 's'}"
        title = f"{label}: {components.kept_ml:.2f} ml, {parts}"
    else:
        title = f"{label}: nothing was segmented"
    roles = study["loaded"].selection.assigned
    stood_in = [f"No {role} series: {roles[role].substituted_by} stands in" for role in settings.substituted]
    return Words(
        title,
        tuple(plain_text(flag, MOST_LETTERS) for flag in settings.flags),
        tuple(plain_text(text, MOST_LETTERS) for text in stood_in),
        RESEARCH_NOTICE,
    )
