"""The report's viewer in a real browser: the mask is drawn where it lies, and every control does something."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from report_pages import AXIAL, drawing_chromium, made_study, page_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

VIEWS = ("planes", "axial", "coronal", "sagittal", "both", "render")
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
SETTLED_MS = 300_000
"""Software draws slowly, on a busy machine more so."""
GRID_PX = 40
"""Between the points of the picture that are compared with the mask."""


def mask_of_two() -> np.ndarray:
    """A box on the patient's right and in front, and a smaller one on the left and behind."""
    mask = np.zeros((40, 48, 12), dtype=bool)
    mask[6:16, 8:22, 3:8] = True
    mask[26:31, 30:36, 5:7] = True
    return mask


@dataclass
class Screen:
    """The page and what it said, asked for and shows."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, path: Path) -> Screen:
        self.page.set_default_timeout(SETTLED_MS)
        self.page.on("console", lambda line: self.said.append(line.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda wanted: self.asked.append(wanted.url[:100]))
        self.page.goto(path.as_uri())
        return self

    def ready(self) -> Screen:
        self.page.locator("#viewer-place b").first.wait_for()
        return self

    def picture(self) -> np.ndarray:
        """What the canvas shows, (row, column, RGB)."""
        canvas = self.page.locator("#viewer-canvas")
        canvas.evaluate("canvas => canvas.scrollIntoView()")
        self.page.evaluate(TWO_FRAMES)
        shot = self.page.screenshot(clip=canvas.bounding_box())
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), dtype=int)

    def choose(self, name: str, value: str) -> None:
        """A radio button, as a click on its label does."""
        self.page.locator(f'input[name="viewer-{name}"][value="{value}"] + span').click()

    def slide(self, name: str, value: float) -> None:
        self.page.locator(f"#viewer-{name}").evaluate(
            "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", value
        )

    def place(self) -> tuple[np.ndarray, bool]:
        """The cursor in RAS mm, and whether the page says that it is in the mask."""
        text = self.page.locator("#viewer-place").inner_text()
        found = re.match(r"\s*([RL]) ([\d.]+)\s+([AP]) ([\d.]+)\s+([SI]) ([\d.]+) mm", text)
        assert found is not None, text
        pairs = zip(found.groups()[::2], found.groups()[1::2], strict=True)
        return np.array([float(mm) * (-1 if letter in "LPI" else 1) for letter, mm in pairs]), "in the mask" in text


def yellow(picture: np.ndarray) -> np.ndarray:
    """Where the mask's colour is."""
    red, green, blue = np.moveaxis(picture, -1, 0)
    return (red > 120) & (green > 90) & (blue < 0.5 * green)


def voxel_of(mm: np.ndarray) -> np.ndarray:
    """In voxels of the scan, as fractions."""
    return (np.linalg.inv(AXIAL) @ [*mm, 1])[:3]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("viewer")
    page_of(folder, made_study(mask_of_two()))
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with drawing_chromium() as started:
        yield started


@pytest.fixture(scope="module")
def opened(browser: Any, report: Path) -> Iterator[Screen]:
    """One page for all tests; fails at the end on a line in the console or a request for anything but the file."""
    screen = Screen(browser.new_page(viewport={"width": 1000, "height": 600})).open(report).ready()
    yield screen
    screen.page.close()
    assert screen.said == []
    assert [url for url in screen.asked if not url.startswith("data:")] == [report.as_uri()]


@pytest.fixture
def screen(opened: Screen) -> Screen:
    opened.page.locator("#viewer-reset").click()
    return opened


def test_begins_in_the_largest_part(screen: Screen) -> None:
    assert screen.page.locator("#viewer").is_visible() and not screen.page.locator("#viewer-off").is_visible()
    mm, inside = screen.place()
    assert inside and mask_of_two()[tuple(np.rint(voxel_of(mm)).astype(int))]
    assert yellow(screen.picture()).mean() > 0.005


def test_mask_is_drawn_where_it_lies(screen: Screen) -> None:
    """The colour of a pixel says what the mask holds at the place that a click on it gives."""
    screen.choose("view", "axial")
    screen.slide("mask", 100)
    picture = screen.picture()
    drawn, head = yellow(picture), picture.sum(axis=2) > 60
    rows, columns = (np.argwhere(found).mean(axis=0) for found in (drawn, head))
    assert (rows < columns).all(), "right and front: to the left and above the middle"
    box = screen.page.locator("#viewer-canvas").bounding_box()
    assert box is not None
    seen = []
    for row in range(GRID_PX // 2, picture.shape[0], GRID_PX):
        for column in range(GRID_PX // 2, picture.shape[1], GRID_PX):
            around = drawn[row - 6 : row + 7, column - 6 : column + 7]
            if not head[row, column] or around.any() != around.all():
                continue  # beside the head, on an edge or on the cursor's lines
            screen.page.mouse.click(box["x"] + column + 0.5, box["y"] + row + 0.5)
            mm, inside = screen.place()
            held = bool(mask_of_two()[tuple(np.rint(voxel_of(mm)).astype(int))])
            assert drawn[row, column] == held == inside, (row, column, mm)
            seen.append(held)
    assert seen.count(True) >= 3 and seen.count(False) >= 10


def test_every_slider_and_series_changes_the_picture(screen: Screen) -> None:
    before = screen.picture()
    changes = [("mask", 0), ("probability", 80), ("level", 150), ("width", 100), ("x", 5), ("y", 40), ("z", 10)]
    for name, value in changes:
        screen.slide(name, value)
        after = screen.picture()
        assert (np.abs(after - before).max(axis=2) > 20).mean() > 0.002, name
        before = after
    screen.choose("series", "pre")
    assert (np.abs(screen.picture() - before).max(axis=2) > 20).mean() > 0.002


def test_every_view_shows_head_and_mask(screen: Screen) -> None:
    pictures = {}
    for view in VIEWS:
        screen.choose("view", view)
        pictures[view] = screen.picture()
        assert (pictures[view].sum(axis=2) > 60).mean() > 0.1, view
        assert view == "render" or yellow(pictures[view]).any(), view
    screen.slide("cut", 50)
    assert (np.abs(screen.picture() - pictures["render"]).max(axis=2) > 20).mean() > 0.01
    face = screen.page.get_by_text("3-D shows the patient's face")
    assert face.is_visible()


def test_list_jumps_to_each_part(screen: Screen) -> None:
    buttons = screen.page.locator("button.part")
    assert buttons.count() == 2
    for number, inside in ((1, (26, 31)), (0, (6, 16))):
        buttons.nth(number).press("Enter")
        mm, said = screen.place()
        assert said and inside[0] <= voxel_of(mm)[0] < inside[1]
        assert buttons.nth(number).get_attribute("aria-current") == "true"


def test_keys_move_the_cursor_and_hide_the_mask(screen: Screen) -> None:
    canvas = screen.page.locator("#viewer-canvas")
    canvas.focus()
    for key, step in (("PageUp", (0, 0, 5)), ("ArrowLeft", (2, 0, 0)), ("ArrowDown", (0, -2, 0))):
        before, _ = screen.place()
        canvas.press(key)
        assert screen.place()[0] - before == pytest.approx(step, abs=0.11), key
    canvas.press("m")
    assert not yellow(screen.picture()).any()
    canvas.press("m")
    assert yellow(screen.picture()).any()


def test_print_shows_the_sheet_alone(screen: Screen) -> None:
    screen.page.emulate_media(media="print")
    assert not screen.page.locator("#viewer").is_visible() and not screen.page.locator("#viewer-off").is_visible()
    assert screen.page.locator(".slices figure:visible").count() == 12
    screen.page.emulate_media(media="screen")


def test_dark_and_narrow_fits(browser: Any, report: Path) -> None:
    page = browser.new_page(viewport={"width": 400, "height": 600}, color_scheme="dark")
    screen = Screen(page).open(report).ready()
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert yellow(screen.picture()).any()
    page.close()
    assert screen.said == []


def test_without_webgl2_the_page_says_so(browser: Any, report: Path) -> None:
    page = browser.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    screen = Screen(page).open(report)
    assert page.get_by_text("The interactive viewer is off").is_visible()
    assert not page.locator("#viewer").is_visible() and page.locator(".slices figure:visible").count() == 12
    page.close()
    assert screen.said == []
