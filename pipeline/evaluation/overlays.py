"""The pictures of each case: a GIF through all slices, and a sheet of those that matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scanweave import RESEARCH_NOTICE
from scanweave.errors import printable
from scanweave.pipeline.evaluation.canvas import (
    BOTH,
    FAINT,
    FOUND,
    INK,
    PAPER,
    TRUTH,
    Pixels,
    fitted,
    font,
    with_palette,
)
from scanweave.pipeline.evaluation.evaluation import CaseFigures
from scanweave.pipeline.evaluation.slice_tile import Tiles

OVERLAY_FOLDER = "overlays"
FRAME, FRAME_MS = 384, 250
"""Edge of the GIF's slices in pixels, and how long each is shown."""
TILE, MOST_TILES, COLUMNS = 256, 24, 6
"""Of the sheet: edge of a slice in pixels, how many at most, how many in a row at most."""
BAND, MARGIN, TITLE, NOTE = 74, 10, 17, 13
"""Height of the band of words, its margin, and the height of its letters, in pixels."""
LONGEST_NAME = 120
"""Letters of a case's name in a file's; the rank tells cases apart."""
_LEGEND = (("truth", TRUTH), ("found", FOUND), ("both", BOTH))


class Overlays:
    """Draws cases as they come into `folder`/overlays, and gives them the names of their rank when all are known."""

    def __init__(self, folder: Path, channel: int) -> None:
        self.folder = folder / OVERLAY_FOLDER
        self.channel = channel
        self.folder.mkdir()
        self._drawn: dict[str, str] = {}

    def draw(self, study: Mapping[str, Any], case: CaseFigures) -> None:
        """The GIF and the sheet of an evaluated study."""
        tiles = Tiles.of(study, self.channel)
        stem = f"drawn-{len(self._drawn)}"
        self._drawn[case.name] = stem
        frames = [_frame(tiles, number, case) for number in range(len(tiles))]
        first, *others = (with_palette(frame) for frame in frames)
        first.save(self.folder / f"{stem}.gif", save_all=True, append_images=others, duration=FRAME_MS, loop=0)
        with_palette(_sheet(tiles, case)).save(self.folder / f"{stem}.png", optimize=True)

    def rank(self, names: Sequence[str]) -> None:
        """`names` are those of the cases, worst first."""
        for rank, name in enumerate(names, start=1):
            for suffix in (".gif", ".png"):
                (self.folder / (self._drawn[name] + suffix)).rename(self.folder / (overlay_stem(rank, name) + suffix))


def overlay_stem(rank: int, name: str) -> str:
    """<rank>_<case>, the rank 001 for the worst."""
    return f"{rank:03d}_{name.replace('/', '_')[:LONGEST_NAME]}"


def _frame(tiles: Tiles, number: int, case: CaseFigures) -> Pixels:
    picture = np.full((FRAME + BAND, FRAME, 3), PAPER, dtype=np.uint8)
    picture[:FRAME] = tiles.tile(number, FRAME)
    return _worded(picture, FRAME, case, f"slice {number + 1} of {len(tiles)}")


def _sheet(tiles: Tiles, case: CaseFigures) -> Pixels:
    shown = shown_slices(tiles)
    rows = -(-len(shown) // COLUMNS)
    columns = -(-len(shown) // rows)
    picture = np.full((rows * TILE + BAND, max(columns * TILE, FRAME), 3), PAPER, dtype=np.uint8)
    for place, number in enumerate(shown):
        row, column = divmod(place, columns)
        tile = _numbered(tiles.tile(number, TILE), str(number + 1))
        picture[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = tile
    return _worded(picture, rows * TILE, case, f"{len(shown)} of {len(tiles)} slices")


def shown_slices(tiles: Tiles) -> list[int]:
    """The slices with a mask and their neighbours; where there are too many, as many of them, evenly spread."""
    marked = tiles.marked
    first, last = (marked[0] - 1, marked[-1] + 1) if marked.size else (0, len(tiles) - 1)
    wanted = np.arange(max(first, 0), min(last, len(tiles) - 1) + 1)
    if len(wanted) > MOST_TILES:
        wanted = wanted[np.rint(np.linspace(0, len(wanted) - 1, MOST_TILES)).astype(int)]
    return [int(number) for number in wanted]


def _numbered(tile: Pixels, number: str) -> Pixels:
    from PIL import Image, ImageDraw

    picture = Image.fromarray(tile)
    ImageDraw.Draw(picture).text((6, 4), number, INK, font(NOTE), stroke_width=1, stroke_fill=PAPER)
    return np.array(picture)


def _worded(picture: Pixels, top: int, case: CaseFigures, place: str) -> Pixels:
    """The band under the slices: the case and its Dice, which slices, the legend, and the notice."""
    from PIL import Image, ImageDraw

    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    width = canvas.width
    right, upper, lower, last = width - MARGIN, top + 17, top + 40, top + 61
    figure = f"Dice {case.dice:.3f}"
    draw.text((right, upper), figure, INK, font(TITLE), anchor="rm")
    room = right - font(TITLE).getlength(figure) - 2 * MARGIN
    draw.text((MARGIN, upper), fitted(printable(case.name), TITLE, room), INK, font(TITLE), anchor="lm")
    draw.text((MARGIN, lower), place, FAINT, font(NOTE), anchor="lm")
    x = MARGIN + font(NOTE).getlength(place) + 2 * MARGIN
    for word, colour in _LEGEND:
        draw.rectangle((x, lower - 4, x + 8, lower + 4), fill=colour)
        draw.text((x + 13, lower), word, FAINT, font(NOTE), anchor="lm")
        x += 13 + font(NOTE).getlength(word) + MARGIN
    draw.text((MARGIN, last), f"{RESEARCH_NOTICE}.", FAINT, font(NOTE), anchor="lm")
    return np.array(canvas)
