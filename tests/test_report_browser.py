"""The report as a browser shows it: nothing asked of anybody, no complaint, every outline over its picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from external_tools import chromium
from report_pages import made_study, page_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDTHS = (1280, 400)
MAX_OFF_PX = 0.01
NO_WEBGL = "HTMLCanvasElement.prototype.getContext = () => null"
"""The sheet as it is without the viewer, which tests/test_report_viewer_browser.py looks at."""
GEOMETRY = """() => [...document.querySelectorAll('.picture svg')].map(svg => {
    const box = element => { const r = element.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; };
    return [box(svg), box(svg.parentElement.querySelector('img'))];
})"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mask of two parts, one with a hole and one at the border, and a registration to look at again."""
    folder = tmp_path_factory.mktemp("report")
    mask = np.zeros((40, 48, 12), dtype=bool)
    mask[10:24, 12:30, 3:7] = True
    mask[14:18, 18:22, 3:7] = False
    mask[:5, :9, 8] = True
    page_of(folder, made_study(mask, flag="margin 0.05 is under 0.10"), name="<b>made</b>")
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(params=WIDTHS)
def shown(request: pytest.FixtureRequest, browser: Any, report: Path) -> Iterator[Page]:
    """The page, loaded; fails afterwards on a line in the console or a request for anything but the file."""
    said, asked = [], []
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    page.on("console", lambda line: said.append(line.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda wanted: asked.append(wanted.url) if not wanted.url.startswith("data:") else None)
    page.add_init_script(NO_WEBGL)
    page.goto(report.as_uri())
    yield page
    page.close()
    assert said == []
    assert asked == [report.as_uri()]


def test_outlines_lie_over_their_pictures(shown: Page) -> None:
    boxes = np.array(shown.evaluate(GEOMETRY))
    assert boxes.shape == (6, 2, 4), "five slices with mask, and the largest once more"
    assert (boxes[:, 0, 2:] > 80).all()
    assert np.abs(boxes[:, 0] - boxes[:, 1]).max() < MAX_OFF_PX
    widths, heights = boxes[:, 1, 2], boxes[:, 1, 3]
    assert np.allclose(widths / heights, 40 * 2 / (48 * 2), rtol=0.01), "pixels have their shape in mm"


def test_pictures_load_and_nothing_sticks_out(shown: Page) -> None:
    sizes = shown.evaluate("() => [...document.images].map(image => [image.naturalWidth, image.naturalHeight])")
    assert sizes[0] == [40, 48] and len(sizes) == 1 + 12 + 2 * 4
    assert min(min(size) for size in sizes) > 0
    assert shown.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert shown.title() == "<b>made</b>: segmentation report"


def test_switches_work_without_a_script(shown: Page) -> None:
    visible = ".slices figure:visible"
    assert shown.locator(visible).count() == 12
    shown.get_by_label("only slices with mask").check()
    assert shown.locator(visible).count() == 5
    drawn = "() => getComputedStyle(document.querySelector('.slices path')).display"
    assert shown.evaluate(drawn) != "none"
    shown.locator("#outline").uncheck()
    assert shown.evaluate(drawn) == "none"


def test_warnings_are_seen_first(shown: Page) -> None:
    flag = shown.get_by_text("Review before use").bounding_box()
    volume = shown.locator(".volume").bounding_box()
    assert flag is not None and volume is not None
    assert flag["y"] + flag["height"] < volume["y"] < 900
