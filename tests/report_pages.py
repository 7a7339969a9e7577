"""Studies made for the report's tests, without a network, and what stands in the page that is written of them."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from external_tools import CHROMIUM_OPTIONS, require_tool

from scanweave.networks.weights import Weights
from scanweave.pipeline.bundle import find_bundle
from scanweave.pipeline.measurements import measure_study
from scanweave.pipeline.report.write_report import write_report
from scanweave.pipeline.result import result_record
from scanweave.transforms.geometry import Volume
from scanweave.transforms.image import Image
from scanweave.transforms.io.series import Series
from scanweave.transforms.keep_components import KeepComponentsd
from scanweave.transforms.load_study import LoadedStudy
from scanweave.transforms.plane_checks import check_planes
from scanweave.transforms.preview import make_preview
from scanweave.transforms.resample import resample
from scanweave.transforms.rigid.estimate import RigidResult
from scanweave.transforms.selection.select import RoleChoice, Selection
from scanweave.transforms.view_volume import view_volume

AXIAL = np.diag([-2.0, -2.0, 5.0, 1.0])
"""Rows to the left, columns to posterior, thick slices to superior."""
SHIFT_MM = 12.0
LIKELY = 0.9
"""The probability of every voxel of the mask."""
WEIGHTS = Weights("made", Path("made.pt"), "0" * 64)


def head(shape: tuple[int, int, int], affine: np.ndarray) -> Volume:
    """A bright ellipsoid that is brighter to the patient's right, front and top."""
    x, y, z = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    inside = x**2 + y**2 + z**2 < 0.8
    ramp = sum(sign * part for sign, part in zip(np.sign(affine[:3, :3].sum(axis=0)), (x, y, z), strict=True))
    return Volume(np.where(inside, 500 + 100 * ramp, 0).astype(np.float32), affine)


def made_study(
    mask: np.ndarray, affine: np.ndarray = AXIAL, *, flag: str = "", registered: bool = True, name: str = "flair.nii.gz"
) -> dict[str, Any]:
    """What comes out of a chain: a mask (i, j, k), and a T1 that lies `SHIFT_MM` off until it is registered."""
    fixed = head(mask.shape, affine)
    series = Series("nifti", name, (Path(name),))
    choices = {"flair": RoleChoice(series, ("given by hand",))}
    matrix = np.eye(4)
    study: dict[str, Any] = {"remarks": (), "seconds": {"LoadStudy": 0.1}, "computed": {"device": "cpu"}}
    if registered:
        matrix[0, 3] = SHIFT_MM
        off = affine.copy()
        off[0, 3] += SHIFT_MM
        moving = Volume(fixed.array, off)
        moved, _ = resample(moving, fixed.grid, matrix)
        figures = {"head_in_view": 0.9, "head_dice": 0.9, "nmi": 1.1}
        after = {**figures, "sharpness": 0.3, "margin": 0.05 if flag else 0.2}
        study["registration"] = {"pre": RigidResult(matrix, figures, after, SHIFT_MM, bool(flag), flag)}
        study["registration_planes"] = {"pre": check_planes(fixed, moving, moved)}
        study["registration_views"] = {"pre": view_volume(moving, fixed.grid, matrix)}
        choices["pre"] = RoleChoice(Series("nifti", "t1.nii.gz", (Path("t1.nii.gz"),)), ("given by hand",))
    choices["post"] = RoleChoice(None, ("no series found",), "flair")
    warnings = ("no series found for post: flair stands in for it",)
    preview = make_preview(fixed)
    study["loaded"] = LoadedStudy(Selection(choices, warnings), series, fixed.grid, {}, None, preview)
    tensor = Image(mask.astype(np.uint8)[None], affine)
    study["pred"] = Image((mask * np.float32(LIKELY))[None], affine)
    study = KeepComponentsd(keep="all")({**study, "segmentation": tensor})
    return {**study, "measurements": measure_study(study, 1)}


def record_of(study: dict[str, Any]) -> dict[str, Any]:
    """The content of its result.json."""
    return result_record(
        study, {"version": "1", "segments": find_bundle().metadata["segments"]}, "made", WEIGHTS, phi=False
    )


@dataclass
class Page(HTMLParser):
    """A parsed page: its elements in order, the text that a reader sees, and what stands in scripts and styles."""

    html: str
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: str = ""
    scripts: list[tuple[dict[str, str], str]] = field(default_factory=list)
    styles: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "script":
            self.scripts.append((self.elements[-1][1], ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            attributes, before = self.scripts.pop()
            self.scripts.append((attributes, before + data))
        elif self.cdata_elem == "style":
            self.styles += data
        else:
            self.text += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """The attributes of each element of that tag and those values, in order."""
        return [found for name, found in self.elements if name == tag and wanted.items() <= found.items()]

    @property
    def policy(self) -> dict[str, list[str]]:
        """The Content-Security-Policy: the sources that each directive allows."""
        (meta,) = self.all("meta", **{"http-equiv": "Content-Security-Policy"})
        words = [directive.split() for directive in meta["content"].split(";")]
        return {name: sources for name, *sources in words}

    @property
    def layers(self) -> dict[str, nib.Nifti1Image]:
        """The viewer's volumes by name."""
        texts = {found["data-layer"]: text for found, text in self.scripts if "data-layer" in found}
        return {name: nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(t))) for name, t in texts.items()}

    @property
    def slices(self) -> list[dict[str, str]]:
        """The figures of the slices."""
        return [found for found in self.all("figure") if found.get("id", "").startswith("slice-")]


def page_of(path: Path, study: dict[str, Any], result: dict[str, Any] | None = None, name: str = "flair") -> Page:
    """The report of a study, written and read again."""
    write_report(path / "report.html", study, result or record_of(study), name)
    return Page((path / "report.html").read_text(encoding="utf-8"))


SOFTWARE_GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""WebGL without a GPU, in Chromium's own renderer."""


@contextmanager
def drawing_chromium() -> Iterator[Any]:
    """As `external_tools.chromium`, but it has WebGL 2."""
    path = require_tool("chromium")
    from playwright.sync_api import sync_playwright

    options = [option for option in CHROMIUM_OPTIONS if option != "--disable-gpu"] + list(SOFTWARE_GL)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        try:
            yield browser
        finally:
            browser.close()
