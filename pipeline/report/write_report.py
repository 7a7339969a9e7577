"""Writing the report of one study: one HTML file that needs nothing else and asks no network.

Everything can be read without a script; where the browser runs the page's own, a viewer shows the volumes.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scanweave.pipeline.page_template import page_template
from scanweave.pipeline.report.checkerboard import PlanePair, plane_pair
from scanweave.pipeline.report.pictures import YELLOW, SlicePicture, Slices, slice_pictures
from scanweave.pipeline.report.view import View
from scanweave.pipeline.report.viewer.viewer import Viewer, make_viewer
from scanweave.pipeline.report.wording import amounts, answer, motions
from scanweave.pipeline.result import flags_of
from scanweave.transforms.load_study import LoadedStudy
from scanweave.transforms.plane_checks import PlaneCheck
from scanweave.transforms.preview import display_axis
from scanweave.transforms.rigid.estimate import RigidResult
from scanweave.transforms.segments import COLORS

TEMPLATE = Path(__file__).with_name("report.html")
MAX_BYTES = 20_000_000
"""Of a page: what mail systems and archives still take."""


def write_report(path: Path, study: Mapping[Hashable, Any], result: Mapping[str, Any], name: str) -> None:
    """Write the page of `study` (what came out of the chain) to `path`; `name` is that of its folder.

    Words and figures are those of `result`, the content of result.json, so that nothing is told here of the patient
    that is not told there. Under `MAX_BYTES` for every volume: the viewer takes what the sheet leaves.
    """
    colors = _colors(len(result["segments"]))
    slices, view = _slices(study, colors, known_mm=result["volume_ml"] is not None)
    reference = _reference_role(study["loaded"])
    shown = _shown(study, result, slices, view, reference) | {"name": name, "segments": amounts(result, colors)}
    page = _page(shown, "")
    viewer = make_viewer(study, result, reference, view.name, MAX_BYTES - len(page.encode()))
    path.write_text(_page(shown, viewer) if viewer else page, encoding="utf-8", newline="\n")


def _page(shown: Mapping[str, Any], viewer: Viewer | str) -> str:
    """The page with its viewer, or with a word on why it has none; "" says nothing of one."""
    if isinstance(viewer, str):
        return page_template(TEMPLATE).render(**shown, viewer=None, no_viewer=viewer)
    return page_template(TEMPLATE).render(**shown, viewer=viewer)


def _shown(
    study: Mapping[Hashable, Any], result: Mapping[str, Any], slices: Slices, view: View, reference: str
) -> dict[str, Any]:
    """What the template writes, the viewer apart."""
    registration: Mapping[str, RigidResult] = study.get("registration", {})
    flagged = len(flags_of(study))
    return {
        "result": result,
        "reference": reference,
        "flags": result["warnings"][:flagged],
        "warnings": result["warnings"][flagged:],
        "answer": answer(result),
        "slices": slices.pictures,
        "outline_step": slices.step,
        "largest": _largest(slices.pictures),
        "view": view,
        "motions": motions(result, {role: found.flag_reason for role, found in registration.items()}),
        "planes": _planes(study, reference),
        "seconds": result["seconds"],
    }


def _colors(segments: int) -> list[str]:
    """As in the other results, but that one segment alone is yellow."""
    if segments == 1:
        return [YELLOW]
    return ["#{:02x}{:02x}{:02x}".format(*COLORS[number % len(COLORS)]) for number in range(segments)]


def _slices(study: Mapping[Hashable, Any], colors: Sequence[str], *, known_mm: bool) -> tuple[Slices, View]:
    """The pictures of the reference, none where the chain's first step kept no preview."""
    loaded: LoadedStudy = study["loaded"]
    view = View.of(loaded.grid, display_axis(loaded.grid))
    if loaded.preview is None:
        return Slices((), 1), view
    labels = study["segmentation"].array[0]
    files = loaded.pictures.stems if loaded.pictures else ()
    return slice_pictures(loaded.preview, labels, view, known_mm=known_mm, files=files, colors=colors), view


def _planes(study: Mapping[Hashable, Any], reference: str) -> dict[str, list[PlanePair]]:
    checks: Mapping[str, tuple[PlaneCheck, ...]] = study.get("registration_planes", {})
    return {role: [plane_pair(check, role, reference) for check in planes] for role, planes in checks.items()}


def _reference_role(loaded: LoadedStudy) -> str:
    roles = loaded.selection.assigned.items()
    return next((role for role, choice in roles if choice.series is loaded.reference), "reference")


def _largest(pictures: tuple[SlicePicture, ...]) -> SlicePicture | None:
    """The slice with most of the mask; the middle one where the mask is empty."""
    if not pictures:
        return None
    best = max(pictures, key=lambda item: item.pixels)
    return best if best.pixels else pictures[len(pictures) // 2]
