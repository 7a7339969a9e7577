"""The outline of a region of pixels, half way between the centres of those inside and those outside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_SIDES = ((0.0, 0.5), (0.5, 1.0), (1.0, 0.5), (0.5, 0.0))
"""Where the outline crosses a square of four pixel centres: middle of its top, right, bottom and left (row, column)."""
_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)
_LINES = {
    1: ((_TOP, _LEFT),),
    2: ((_TOP, _RIGHT),),
    3: ((_LEFT, _RIGHT),),
    4: ((_RIGHT, _BOTTOM),),
    5: ((_TOP, _RIGHT), (_BOTTOM, _LEFT)),
    6: ((_TOP, _BOTTOM),),
    7: ((_BOTTOM, _LEFT),),
    8: ((_BOTTOM, _LEFT),),
    9: ((_TOP, _BOTTOM),),
    10: ((_TOP, _LEFT), (_RIGHT, _BOTTOM)),
    11: ((_RIGHT, _BOTTOM),),
    12: ((_LEFT, _RIGHT),),
    13: ((_TOP, _RIGHT),),
    14: ((_TOP, _LEFT),),
}
"""Which sides are joined, by the sum of 1 (top left), 2 (top right), 4 (bottom right) and 8 (bottom left) inside.

Pixels that touch by a corner are connected: in 5 and 10 the lines cut the outside corners off.
"""


@dataclass(frozen=True, eq=False)
class Outline:
    """`vertices` (n, 2), and `edges` (m, 2) of their indices: straight lines, in no order, that close around a region.

    A pixel's centre has whole coordinates (row, column); where an outline was placed in space they are mm.
    """

    vertices: npt.NDArray[np.float64]
    edges: npt.NDArray[np.intp]


def outline_of(pixels: npt.NDArray[np.bool_]) -> Outline:
    """The outline of `pixels` (rows, columns), which has one True at least (marching squares at one half)."""
    padded = np.pad(pixels, 1).astype(np.uint8)
    kinds = padded[:-1, :-1] + 2 * padded[:-1, 1:] + 4 * padded[1:, 1:] + 8 * padded[1:, :-1]
    sides = np.array(_SIDES)
    lines = []
    for kind, joined in _LINES.items():
        corners = np.argwhere(kinds == kind) - 1.0  # of the top left pixel, before padding
        lines += [corners[:, None] + sides[list(pair)] for pair in joined]
    drawn = np.concatenate(lines)  # (m, 2, 2)
    vertices, numbers = np.unique(drawn.reshape(-1, 2), axis=0, return_inverse=True)
    return Outline(vertices, numbers.reshape(-1, 2))
