"""How large an MR volume may be, computed from its header: a few bytes can claim more than any machine holds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scanweave.errors import Code, Problem

MAX_EDGE = 4096
"""Rows or columns: no MR matrix comes near it."""
MAX_VOXELS = 2**29
"""Of one volume: 800 voxels along each edge, 2 GiB as float32. The largest MR heads, 0.5 mm, have a fifth of it."""


def size_problem(shape: Sequence[int], where: str) -> Problem | None:
    """TOO_LARGE for a volume of that shape, None for one that can be read."""
    if max(shape) <= MAX_EDGE and math.prod(shape) <= MAX_VOXELS:
        return None
    found = " x ".join(str(count) for count in shape)
    message = f"expected at most {MAX_EDGE} voxels along an edge and {MAX_VOXELS} in all, found {found}"
    return Problem(Code.TOO_LARGE, message, where)
