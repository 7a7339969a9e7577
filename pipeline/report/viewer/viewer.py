"""What the page needs for its viewer: the scripts with their hashes, the volumes, and what the scripts are told."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scanweave.pipeline.report.viewer.layers import MASK, Layer, Sources, fitting_layers
from scanweave.pipeline.report.viewer.niivue import NiiVue, find_niivue
from scanweave.pipeline.report.viewer.parts import Part, parts_of
from scanweave.transforms.geometry import Grid, Volume
from scanweave.transforms.load_study import LoadedStudy
from scanweave.transforms.preview import Preview
from scanweave.transforms.resample import resample
from scanweave.transforms.segments import COLORS
from scanweave.transforms.view_volume import ViewVolume, view_grid

SCRIPTS = ("state.js", "picture.js", "cursor.js", "pointer.js", "start.js")
"""One script in the page, in this order: the last one begins."""
NOTICES = "notices.txt"
MARKUP_BYTES = 40_000
"""The viewer's part of the page without scripts and volumes, licences included."""
NOT_INSTALLED = "NiiVue was not found (pip install 'scanweave[viewer]')"
YELLOW = (255, 212, 0)
NO_ROOM = "the slices alone fill the page"


@dataclass(frozen=True, eq=False)
class Viewer:
    """What the template writes. `told` is what the script reads of it; `coarser` says that voxels were merged."""

    niivue: NiiVue
    notices: str
    script: str
    layers: tuple[Layer, ...]
    series: tuple[str, ...]
    parts: tuple[Part, ...]
    spacing: tuple[float, ...]
    coarser: bool
    told: Mapping[str, Any]

    @property
    def policy(self) -> str:
        """The sources of scripts that the page's Content-Security-Policy allows: these two and no other."""
        return " ".join(f"'{_digest(script)}'" for script in (self.niivue.script, self.script))

    @property
    def has_mask(self) -> bool:
        return any(layer.name == MASK for layer in self.layers)


def make_viewer(
    study: Mapping[Hashable, Any], result: Mapping[str, Any], reference: str, plane: str, room: int
) -> Viewer | str:
    """The viewer of what came out of the chain, in at most `room` bytes of the page; or why there is none.

    "" where the input says nothing of its geometry (2-D slices) or the chain kept no picture of the reference.
    `result` is the content of result.json, `reference` the role whose grid the mask is on, `plane` the one that its
    slices lie in.
    """
    loaded: LoadedStudy = study["loaded"]
    if loaded.preview is None or "measurements" not in result:
        return ""
    niivue = find_niivue()
    if niivue is None:
        return NOT_INSTALLED
    script = "".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in SCRIPTS)
    sources = _sources(study, reference, loaded.grid, loaded.preview)
    fitting = fitting_layers(sources, room - len(niivue.script.encode()) - len(script.encode()) - MARKUP_BYTES)
    if fitting is None:
        return NO_ROOM
    layers, grid = fitting
    segments = list(result["segments"].values())
    parts = parts_of(result["measurements"], sources.labels > 0, loaded.grid)
    return Viewer(
        niivue,
        (Path(__file__).parent / NOTICES).read_text(encoding="utf-8"),
        script,
        layers,
        tuple(sources.series),
        parts,
        tuple(grid.spacing.tolist()),
        grid.shape != loaded.grid.shape,
        {
            "series": list(sources.series),
            "white": {layer.name: layer.white for layer in layers},
            "plane": plane,
            "parts": [part.point for part in parts],
            "segments": [
                {"label": one["label"], "rgb": rgb} for one, rgb in zip(segments, _rgb(segments), strict=True)
            ],
        },
    )


def _sources(study: Mapping[Hashable, Any], reference: str, own: Grid, preview: Preview) -> Sources:
    """The reference first, then the roles that were moved onto it."""
    grid = view_grid(own)
    moved: Mapping[str, ViewVolume] = study.get("registration_views", {})
    return Sources(
        series={reference: _reference_view(preview, own, grid), **moved},
        grid=grid,
        labels=study["segmentation"].array[0],
        probability=study["pred"].array.max(axis=0),
    )


def _reference_view(preview: Preview, own: Grid, grid: Grid) -> ViewVolume:
    """The preview, made on the series' `own` grid, on the one on which the other roles were kept."""
    if preview.factors == (1, 1, 1) and grid.shape == own.shape:
        return ViewVolume(Volume(preview.voxels, grid.affine), preview.white)
    factors = np.array(preview.factors)
    affine = own.affine.copy()
    affine[:3, 3] = own.points([(factors - 1) / 2])[0]
    affine[:3, :3] *= factors
    voxels, _ = resample(Volume(preview.voxels, affine), grid)
    return ViewVolume(Volume(np.rint(voxels).astype(np.uint8), grid.affine), preview.white)


def _rgb(segments: Sequence[object]) -> list[tuple[int, int, int]]:
    """One alone is yellow, as its outlines are."""
    return [YELLOW] if len(segments) == 1 else [COLORS[n % len(COLORS)] for n in range(len(segments))]


def _digest(script: str) -> str:
    """As Content-Security-Policy names a script (https://www.w3.org/TR/CSP3/, hash-source)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
