"""dsc.png: one bar a case, worst first, with the mean and the median of the patients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scanweave import RESEARCH_NOTICE
from scanweave.errors import printable
from scanweave.pipeline.evaluation.canvas import fitted, font
from scanweave.pipeline.evaluation.evaluation import CaseFigures, Evaluation
from scanweave.pipeline.evaluation.summary import Interval

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

CHART_FILE = "dsc.png"
WIDTH, MARGIN = 1200, 32
WIDEST_NAME, NAME_GAP, FIGURE_ROOM = 360, 14, 72
"""Pixels: of the column of names, between names and bars, and right of the bars for the figures."""
ROW, BAR = 28, 18
"""Height of a row and of its bar."""
HEAD, FOOT = 172, 84
"""Height above the bars (title, mean and median) and below them (scale, notice)."""
TITLE, BODY, SMALL = 24, 16, 13
WORDS_GAP = 8
"""Between a line and its words."""
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
PAPER, INK, FAINT, GRID = (255, 255, 255), (30, 34, 40), (105, 112, 122), (226, 229, 234)
BAR_COLOUR, MEAN_COLOUR, MEDIAN_COLOUR, BAND_COLOUR = (92, 142, 190), (196, 62, 28), (40, 46, 54), (250, 231, 224)


def draw_chart(done: Evaluation, path: Path) -> None:
    """Write the chart of an evaluation; OSError where the disk is full or the folder cannot be written."""
    from PIL import Image
    from PIL import ImageDraw as draws

    names = [fitted(printable(case.name), BODY, WIDEST_NAME) for case in done.cases]
    left = MARGIN + max(font(BODY).getlength(name) for name in names) + NAME_GAP
    plot = _Plot(left, WIDTH - MARGIN - FIGURE_ROOM, HEAD, HEAD + ROW * len(names))
    picture = Image.new("RGB", (WIDTH, HEAD + ROW * len(names) + FOOT), PAPER)
    draw = draws.Draw(picture)
    _write_head(draw, done)
    _draw_scale(draw, plot, done.dice.mean_interval)
    for row, (name, case) in enumerate(zip(names, done.cases, strict=True)):
        _draw_row(draw, plot, HEAD + ROW * row + ROW / 2, name, case)
    _draw_averages(draw, plot, done)
    draw.text((MARGIN, picture.height - MARGIN), f"{RESEARCH_NOTICE}.", FAINT, font(SMALL), anchor="ls")
    picture.save(path, optimize=True)


class _Plot:
    """The rectangle of the bars."""

    def __init__(self, left: float, right: float, top: float, bottom: float) -> None:
        self.left, self.right, self.top, self.bottom = left, right, top, bottom

    def x(self, dice: float) -> float:
        return self.left + (self.right - self.left) * dice


def _write_head(draw: ImageDraw, done: Evaluation) -> None:
    record = done.record
    told = (
        f"{done.dice.count} patients",
        f"bundle {record['bundle']['name']}",
        f"weights {record['weights']['name']} ({record['weights']['sha256'][:8]})",
        f"components: {record['settings']['components']}",
        "measured in model space",
    )
    draw.text((MARGIN, MARGIN), "Dice per patient, worst first", INK, font(TITLE), anchor="lt")
    line = fitted(printable(" · ".join(told)), BODY, WIDTH - 2 * MARGIN)
    draw.text((MARGIN, MARGIN + TITLE + 14), line, FAINT, font(BODY), anchor="lt")


def _draw_scale(draw: ImageDraw, plot: _Plot, interval: Interval | None) -> None:
    if interval is not None:
        low, high = (plot.x(value) for value in interval)
        draw.rectangle((low, plot.top, high, plot.bottom), fill=BAND_COLOUR)
    for tick in TICKS:
        x = plot.x(tick)
        draw.line((x, plot.top, x, plot.bottom + 5), fill=GRID, width=1)
        draw.text((x, plot.bottom + 10), f"{tick:.1f}", FAINT, font(SMALL), anchor="mt")


def _draw_row(draw: ImageDraw, plot: _Plot, y: float, name: str, case: CaseFigures) -> None:
    draw.text((plot.left - NAME_GAP, y), name, INK, font(BODY), anchor="rm")
    draw.rectangle((plot.left, y - BAR / 2, max(plot.x(case.dice), plot.left + 1), y + BAR / 2), fill=BAR_COLOUR)
    draw.text((WIDTH - MARGIN, y), f"{case.dice:.3f}", INK, font(BODY), anchor="rm")


def _draw_averages(draw: ImageDraw, plot: _Plot, done: Evaluation) -> None:
    """Two lines through all bars, with their words above them and on one side, where none crosses the other's line."""
    dice = done.dice
    found = (
        ("mean", dice.mean, dice.mean_interval, MEAN_COLOUR),
        ("median", dice.median, dice.median_interval, MEDIAN_COLOUR),
    )
    lines = [
        (plot.x(value), _words(name, value, interval), colour)
        for name, value, interval, colour in found
        if value is not None
    ]
    widest = max(font(BODY).getlength(words) for _, words, _ in lines)
    leftwards = max(x for x, _, _ in lines) + WORDS_GAP + widest > WIDTH - MARGIN
    upper_first = sorted(lines, key=lambda line: line[0], reverse=leftwards)
    for level, (x, words, colour) in enumerate(upper_first):
        y = plot.top - 12 - (BODY + 10) * (1 - level)
        draw.line((x, y, x, plot.bottom + 5), fill=colour, width=2)
        place, anchor = (x - WORDS_GAP, "rm") if leftwards else (x + WORDS_GAP, "lm")
        draw.text((place, y), words, colour, font(BODY), anchor=anchor)


def _words(name: str, value: float, interval: Interval | None) -> str:
    told = f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    return f"{name} {value:.3f}{told}"
