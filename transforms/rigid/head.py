"""Where the head is in an MR series: the largest bright body."""

from __future__ import annotations

import numpy as np

from scanweave.transforms.geometry import Volume
from scanweave.transforms.rigid.sampling import Mask
from scanweave.transforms.rigid.shrink import blur

HEAD_LEVEL = 0.15
"""The head begins at this fraction of the 99th percentile."""
HEAD_BLUR_VOXELS = 1.0


def head_mask(volume: Volume) -> Mask:
    """Return the voxels of the largest bright body, holes filled slice by slice (shape of the volume)."""
    import SimpleITK as sitk

    array = np.asarray(volume.array, dtype=np.float32)
    array = array - array.min()
    smooth = blur(array, np.full(3, HEAD_BLUR_VOXELS))
    bright = smooth > HEAD_LEVEL * np.percentile(array, 99)
    if not bright.any():
        return bright
    image = sitk.GetImageFromArray(bright.astype(np.uint8).transpose(2, 1, 0))
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(image, False)).transpose(2, 1, 0)
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return filled(largest)


def filled(mask: Mask) -> Mask:
    """Return the mask (i, j, k) with the holes of each plane (i, j) filled: what the plane's border does not reach.

    The planes are laid side by side, so that what surrounds them is one body.
    """
    import SimpleITK as sitk

    outside = np.pad(~mask, ((1, 1), (1, 1), (0, 0)), constant_values=True)
    rows, columns, planes = outside.shape
    sheet = np.ascontiguousarray(outside.transpose(0, 2, 1)).reshape(rows, planes * columns)
    reached = sitk.ConnectedThreshold(sitk.GetImageFromArray(sheet.astype(np.uint8)), [(0, 0)], 1, 1)
    found = sitk.GetArrayFromImage(reached).reshape(rows, planes, columns).transpose(0, 2, 1) == 0
    return found[1:-1, 1:-1]
