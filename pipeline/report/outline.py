"""The outline of a mask as an SVG path along the edges of its pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Corners = npt.NDArray[np.intp]
"""(n, 2), row and column of points between pixels, sorted: 0 is the picture's upper or left edge."""


def outline_corners(mask: Mask) -> Corners:
    """Where the outline of a mask (row, column) turns.

    Four pixels meet at each point of the lattice; the outline turns where an odd number of them is set. It runs
    straight through a point where two parts touch by their corners, which an even-odd fill does not mind.
    """
    padded = np.pad(mask, 1)
    odd = padded[1:, 1:] ^ padded[1:, :-1] ^ padded[:-1, 1:] ^ padded[:-1, :-1]
    return np.argwhere(odd)


def outline_path(corners: Corners) -> str:
    """The `d` of a path whose even-odd fill is the mask of `corners`, x to the right, y down; "" for an empty one.

    Along each row of the lattice the corners are joined in pairs, and likewise along each column: every corner
    lies on one segment of both kinds, so that following them alternately closes the loops.
    """
    if not len(corners):
        return ""
    rows, columns = corners.T
    across = np.arange(len(corners)) ^ 1
    by_column = np.lexsort((rows, columns))
    down = np.empty_like(across)
    down[by_column] = by_column[across]
    return _joined(rows.tolist(), columns.tolist(), across.tolist(), down.tolist())


def _joined(rows: list[int], columns: list[int], across: list[int], down: list[int]) -> str:
    """Each loop from its first corner, along a row, down or up a column, and so on."""
    seen = [False] * len(rows)
    words = []
    for first in range(len(rows)):
        if seen[first]:
            continue
        words.append(f"M{columns[first]} {rows[first]}")
        here = first
        while not seen[here]:
            there = across[here]
            seen[here] = seen[there] = True
            here = down[there]
            words.append(f"H{columns[there]}V{rows[here]}")
        words.append("Z")
    return "".join(words)
