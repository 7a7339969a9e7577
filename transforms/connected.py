"""Connected parts of a mask, by ITK: SciPy's would do, but importing it takes a run half a second."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint32]


def connected_parts(mask: npt.NDArray[np.bool_]) -> tuple[Labels, int]:
    """Number the parts of a 2-D or 3-D mask, in the order in which its voxels meet them: 1..count, 0 outside.

    Voxels that touch by a face, an edge or a corner are connected, as in the published code.
    """
    import SimpleITK as sitk

    if mask.size == 0:
        return np.zeros(mask.shape, dtype=np.uint32), 0
    found = sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8, order="C")), True)
    labels: Labels = sitk.GetArrayFromImage(found)
    return labels, int(labels.max())


def bounding_box(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """Of what is true in a 3-D mask; empty where nothing is. Labels of it take four times the memory of the mask."""
    occupied = (np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    i, j, k = (slice(int(at[0]), int(at[-1]) + 1) if at.size else slice(0) for at in occupied)
    return i, j, k


def boxes_of(labels: Labels, count: int) -> list[tuple[slice, ...]]:
    """The bounding box of each of the parts 1..count, all of which are there."""
    if count == 0:
        return []
    places = np.nonzero(labels)
    found = labels[places]
    order = np.argsort(found, kind="stable")
    begins = np.searchsorted(found[order], np.arange(1, count + 1))
    bounds = [
        (np.minimum.reduceat(place[order], begins), np.maximum.reduceat(place[order], begins) + 1) for place in places
    ]
    return [tuple(slice(int(low[n]), int(high[n])) for low, high in bounds) for n in range(count)]
