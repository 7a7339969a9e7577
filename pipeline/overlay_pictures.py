"""Pictures that speak for themselves: a slice with the outline of the mask, and under it a band of words.

They end in viewers that know neither segmentations nor reports, so whatever a reader must know is in the pixels.
Nothing of the patient is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scanweave.pipeline.evaluation.canvas import FAINT, INK, PAPER, Pixels, Rgb, fitted, font
from scanweave.transforms.preview import Bytes

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SMALLEST_WIDTH = 512
"""Columns of a picture at least: smaller slices are enlarged by a whole factor."""
LETTERS_A_LINE = 26
"""Height of the letters, as a part of the width: 20 pixels at 512, and 10, still legible, where a viewer shows 256."""
SMALLEST_LETTERS = 16
MOST_LINES = 4
"""Of a list of flags or of substituted series; what is longer is shortened."""
OUTLINE, CASING, ALARM = (255, 212, 0), (0, 0, 0), (255, 170, 0)
"""The outline's yellow is that of the report; a dark line around it parts it from white tissue."""
_INK_ON_ALARM = (0, 0, 0)


@dataclass(frozen=True)
class Words:
    """What stands under every slice: `title` large, `flags` in alarm, then `remarks`, and the `notice` last."""

    title: str
    flags: tuple[str, ...]
    remarks: tuple[str, ...]
    notice: str


@dataclass(frozen=True, eq=False)
class Scene:
    """`mask` (slice, row, column) and the gray voxels under it, each the mean of `factors` of the mask's voxels.

    `edges` are the letters of the patient's side at the left, the right and the top.
    """

    mask: npt.NDArray[np.bool_]
    gray: Bytes
    factors: tuple[int, int, int]
    edges: tuple[str, str, str] = ("", "", "")

    @property
    def zoom(self) -> int:
        """Into how many pixels a side each pixel of a slice is drawn."""
        return max(1, -(-SMALLEST_WIDTH // self.mask.shape[2]))


def overlay_pictures(scene: Scene, words: Words, names: Sequence[str]) -> Iterator[Pixels]:
    """A picture a slice, all of one size: the slice, enlarged by `scene.zoom`, and the words below.

    `names` (one a slice, "image 12") stand beside the notice.
    """
    zoom = scene.zoom
    rows, columns = (n * zoom for n in scene.mask.shape[1:])
    band = _band(words, columns)
    for number, name in enumerate(names):
        picture = np.concatenate([_slice(scene, number)[:rows, :columns], band])
        yield _lettered(picture, rows, scene.edges, name)


def _slice(scene: Scene, number: int) -> Pixels:
    from PIL import Image
    from scipy import ndimage

    across, down, along = scene.factors
    gray, zoom = scene.gray[number // across], scene.zoom
    size = (gray.shape[1] * along * zoom, gray.shape[0] * down * zoom)
    large = np.asarray(Image.fromarray(np.ascontiguousarray(gray)).resize(size, Image.Resampling.BICUBIC))
    picture = np.repeat(large[..., None], 3, axis=-1)
    mask = scene.mask[number].repeat(zoom, axis=0).repeat(zoom, axis=1)
    if mask.any():
        rows, columns = mask.shape
        drawn, around = picture[:rows, :columns], ndimage.binary_dilation(mask)
        drawn[ndimage.binary_dilation(around) & ~around] = CASING
        drawn[around & ~ndimage.binary_erosion(mask)] = OUTLINE
    return picture


def _band(words: Words, width: int) -> Pixels:
    """The words as a picture of that width, with a line left free for the slice's name."""
    from PIL import Image, ImageDraw

    size = _letters(width)
    margin, step = size // 2, size * 4 // 3
    room = width - 2 * margin
    alarm = _lines([f"REVIEW: {flag}" for flag in words.flags], size, room)
    plain = [*_lines(words.remarks, size, room), *_lines([words.notice], size, room)]
    bar = len(alarm) * step + margin if alarm else 0
    height = 2 * margin + step + bar + (len(plain) + 1) * step
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    y = margin
    draw.rectangle((margin, y + size // 4, margin + size * 3 // 4, y + size), outline=OUTLINE, width=2)
    _write(draw, (margin + step, y), fitted(words.title, size, room - step), INK, size)
    y += step
    if alarm:
        draw.rectangle((0, y, width, y + bar - 1), fill=ALARM)
        for number, line in enumerate(alarm):
            _write(draw, (margin, y + margin // 4 + number * step), line, _INK_ON_ALARM, size)
        y += bar
    y += margin // 2
    for number, line in enumerate(plain):
        _write(draw, (margin, y + number * step), line, INK, size)
    return np.array(canvas)


def _lettered(picture: Pixels, rows: int, edges: tuple[str, str, str], name: str) -> Pixels:
    """With the slice's name on the free line, and the sides of the patient at the edges of the slice."""
    from PIL import Image, ImageDraw

    canvas = Image.fromarray(picture)
    draw, size, width = ImageDraw.Draw(canvas), _letters(canvas.width), canvas.width
    place = (size // 2, canvas.height - size // 4 - size * 4 // 3)
    _write(draw, place, fitted(name, size, width - size), FAINT, size)
    places = ((size // 2, rows // 2, "lm"), (width - size // 2, rows // 2, "rm"), (width // 2, size // 2, "mt"))
    for letter, (x, y, anchor) in zip(edges, places, strict=True):
        draw.text((x, y), letter, INK, font(size), anchor, stroke_width=2, stroke_fill=CASING)
    return np.array(canvas)


def _letters(width: int) -> int:
    return max(SMALLEST_LETTERS, width // LETTERS_A_LINE)


def _write(draw: ImageDraw, place: tuple[int, int], text: str, colour: Rgb, size: int) -> None:
    draw.text(place, text, colour, font(size), anchor="la")


def _lines(texts: Sequence[str], size: int, width: float) -> list[str]:
    """`texts` broken between words into at most `MOST_LINES` lines; the rest is shortened into the last of them."""
    lines: list[str] = []
    for text in texts:
        line = ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if line and font(size).getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], " ".join(lines[MOST_LINES - 1 :])]
    return [fitted(line, size, width) for line in lines]
