"""What the pictures of an evaluation share: colours, letters, and files of few colours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

Rgb: TypeAlias = tuple[int, int, int]
Pixels: TypeAlias = npt.NDArray[np.uint8]
"""(row, column, 3)."""

TRUTH, FOUND, BOTH = (0, 220, 0), (255, 40, 40), (255, 230, 0)
"""Of the outlines: the expert's, the network's, and where they are one."""
PAPER, INK, FAINT = (24, 24, 24), (235, 235, 235), (150, 150, 150)
"""Background, letters and less important letters of pictures of slices; gray, as the palette wants it."""
_GRAYS = 125
"""Entries of the palette besides the outlines' colours: more shades only make the files larger."""
ELLIPSIS = ".."


@lru_cache(maxsize=8)
def font(size: int) -> FreeTypeFont | ImageFont:
    """Pillow's own letters, `size` pixels high: no machine lacks them."""
    from PIL import ImageFont as fonts

    return fonts.load_default(size)


def fitted(text: str, size: int, width: float) -> str:
    """`text`, shortened in its middle where it is wider than `width` pixels."""
    letters = font(size)
    kept = len(text)
    shown = text
    while letters.getlength(shown) > width and kept > 2:
        kept -= 1
        shown = text[: (kept + 1) // 2] + ELLIPSIS + text[len(text) - kept // 2 :]
    return shown


def with_palette(pixels: Pixels) -> Image:
    """Grays and the outlines' colours as a picture with a palette: colours exact, a third of the bytes."""
    from PIL import Image

    levels = np.rint(np.linspace(0, 255, _GRAYS)).astype(np.uint8)
    indices = np.rint(pixels[..., 0] * ((_GRAYS - 1) / 255)).astype(np.uint8)
    for number, colour in enumerate((TRUTH, FOUND, BOTH), start=_GRAYS):
        indices[(pixels == np.array(colour, dtype=np.uint8)).all(axis=-1)] = number
    picture = Image.fromarray(indices)
    colours: Sequence[int] = [*np.repeat(levels, 3).tolist(), *TRUTH, *FOUND, *BOTH]
    picture.putpalette(colours)
    return picture
