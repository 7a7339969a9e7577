"""The longest line in an outline, and the longest one across it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from scanweave.transforms.slice_outline import Outline

Line = npt.NDArray[np.float64]
"""Two points (2, 2) in the mm of a slice."""
SAME_MM = 1e-6
"""Lengths that differ by less are equal, and the first one counts: rounding must not choose."""
_PIECE = 256
"""So many perpendiculars are tried at once: times the edges of a large lesion drawn at 0.5 mm, it fits into memory."""


def longest_line(points: npt.NDArray[np.float64]) -> Line:
    """The two of `points` (n, 2), not all on one line, that are farthest apart."""
    hull = points[np.sort(_hull(points))]
    apart = np.linalg.norm(hull[:, None] - hull[None], axis=2)
    one, other = np.unravel_index(np.rint(apart / SAME_MM).argmax(), apart.shape)
    return hull[[one, other]]


def _hull(points: npt.NDArray[np.float64]) -> list[int]:
    """Which of `points` (n, 2) are the corners of their convex hull (A. M. Andrew, Inf. Process. Lett. 9, 1979)."""
    order = np.lexsort(points.T[::-1]).tolist()
    places = points.tolist()
    corners: list[int] = []
    for way in (order, order[::-1]):
        chain: list[int] = []
        for n in way:
            x, y = places[n]
            while len(chain) > 1:
                (x0, y0), (x1, y1) = places[chain[-2]], places[chain[-1]]
                if (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0:
                    break
                chain.pop()
            chain.append(n)
        corners += chain[:-1]
    return corners


def longest_perpendicular(outline: Outline, ends: Line) -> Line:
    """The longest line across `ends`, from outline to outline.

    Along the long axis the outline's upper and lower bounds are straight between vertices, so their distance is
    greatest at one of them.
    """
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    turn = np.array([along, (-along[1], along[0])])
    turned = outline.vertices @ turn.T  # (n, 2): along, across
    starts, stops = (turned[outline.edges[:, n]] for n in (0, 1))
    best_mm, best = -1.0, turned[:2]
    for places in _chunks(np.unique(turned[:, 0])):
        low, high = _bounds_at(places, starts, stops)
        n = int(np.rint((high - low) / SAME_MM).argmax())
        if high[n] - low[n] > best_mm + SAME_MM:
            best_mm, best = float(high[n] - low[n]), np.array([(places[n], low[n]), (places[n], high[n])])
    return best @ turn


def _chunks(places: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[np.float64]]:
    for begin in range(0, len(places), _PIECE):
        yield places[begin : begin + _PIECE]


def _bounds_at(
    places: npt.NDArray[np.float64], starts: npt.NDArray[np.float64], stops: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The lowest and highest point of the outline on the perpendicular through each of `places` (n,)."""
    run = stops[:, 0] - starts[:, 0]
    upright = np.abs(run) < SAME_MM
    share = (places[:, None] - starts[:, 0]) / np.where(upright, 1.0, run)
    reach = SAME_MM / np.where(upright, 1.0, np.abs(run))
    crossed = np.where(upright, np.abs(places[:, None] - starts[:, 0]) <= SAME_MM, abs(share - 0.5) <= 0.5 + reach)
    height = starts[:, 1] + np.clip(share, 0.0, 1.0) * (stops[:, 1] - starts[:, 1])
    low = np.where(upright, np.minimum(starts[:, 1], stops[:, 1]), height)
    high = np.where(upright, np.maximum(starts[:, 1], stops[:, 1]), height)
    return np.where(crossed, low, np.inf).min(axis=1), np.where(crossed, high, -np.inf).max(axis=1)
