"""What the page needs for its viewer: the scripts with their hashes, the volumes, and what the scripts are told."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scanweave.pipeline.report.viewer.layers import MASK, Layer, Sources, layers
from scanweave.pipeline.report.viewer.niivue import NiiVue, find_niivue
from scanweave.pipeline.report.viewer.parts import Part, parts_of
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.series import Series
from scanweave.transforms.load_study import LoadedStudy
from scanweave.transforms.preview import Preview
from scanweave.transforms.resample import resample
from scanweave.transforms.view_volume import ViewVolume, view_grid

SCRIPT, NOTICES = "viewer.js", "notices.txt"
MARKUP_BYTES = 60_000
"""The viewer's part of the page without scripts and volumes, with fifty parts to jump to."""


@dataclass(frozen=True, eq=False)
class Viewer:
    """What the template writes. `told` is what the script reads of it; `coarser` says that voxels were merged."""

    niivue: NiiVue
    notices: str
    script: str
    layers: tuple[Layer, ...]
    series: tuple[str, ...]
    missing: Mapping[str, str]
    parts: tuple[Part, ...]
    part_count: int
    spacing: tuple[float, float, float]
    coarser: bool
    told: Mapping[str, Any]

    @property
    def policy(self) -> str:
        """The sources of scripts that the page's Content-Security-Policy allows: these two and no other."""
        return " ".join(f"'{_digest(script)}'" for script in (self.niivue.script, self.script))

    @property
    def has_mask(self) -> bool:
        return any(layer.name == MASK for layer in self.layers)


def make_viewer(study: Mapping[Hashable, Any], plane: str, room: int) -> Viewer | None:
    """The viewer of what came out of the chain, in at most `room` bytes of the page.

    None where NiiVue is not installed, where the input says nothing of its geometry (2-D slices), where the chain
    kept no picture of the reference, or where there is no room. `plane` is the one that the slices lie in.
    """
    loaded: LoadedStudy = study["loaded"]
    niivue = find_niivue()
    if niivue is None or loaded.preview is None or not loaded.spacing_known:
        return None
    script = (Path(__file__).parent / SCRIPT).read_text(encoding="utf-8")
    budget = room - len(niivue.script.encode()) - len(script.encode()) - MARKUP_BYTES
    sources = _sources(study, loaded, loaded.preview)
    made = layers(sources, budget)
    if made is None:
        return None
    found, grid = made
    parts, count = parts_of(sources.mask, sources.probability, loaded.grid)
    spacing = grid.spacing.tolist()
    roles = loaded.selection.assigned
    return Viewer(
        niivue,
        (Path(__file__).parent / NOTICES).read_text(encoding="utf-8"),
        script,
        tuple(found),
        tuple(sources.series),
        {role: choice.substituted_by or "" for role, choice in roles.items() if role not in sources.series},
        tuple(parts),
        count,
        (spacing[0], spacing[1], spacing[2]),
        grid.shape != loaded.grid.shape,
        {
            "series": list(sources.series),
            "white": {layer.name: layer.white for layer in found},
            "plane": plane,
            "parts": [part.point for part in parts],
        },
    )


def _sources(study: Mapping[Hashable, Any], loaded: LoadedStudy, preview: Preview) -> Sources:
    """The reference first, then the roles that were moved onto it."""
    reference = _role_of(loaded, loaded.reference)
    moved: Mapping[str, ViewVolume] = study.get("registration_views", {})
    shown = _reference_view(loaded, preview)
    return Sources(
        series={reference: shown, **moved},
        grid=shown.volume.grid,
        mask=np.asarray(study["segmentation"])[0] > 0,
        probability=np.asarray(study["pred"])[0],
    )


def _role_of(loaded: LoadedStudy, series: Series) -> str:
    return next((role for role, choice in loaded.selection.assigned.items() if choice.series is series), "reference")


def _reference_view(loaded: LoadedStudy, preview: Preview) -> ViewVolume:
    """The preview on the grid on which the other roles were kept."""
    grid = view_grid(loaded.grid)
    if preview.voxels.shape == grid.shape:
        return ViewVolume(Volume(preview.voxels, grid.affine), preview.white)
    factors = np.array(preview.factors)
    affine = loaded.grid.affine.copy()
    affine[:3, 3] = loaded.grid.points([(factors - 1) / 2])[0]
    affine[:3, :3] *= factors
    voxels, _ = resample(Volume(preview.voxels, affine), grid)
    return ViewVolume(Volume(np.rint(voxels).astype(np.uint8), grid.affine), preview.white)


def _digest(script: str) -> str:
    """As Content-Security-Policy names a script (https://www.w3.org/TR/CSP3/, hash-source)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
