"""Names under which the steps find what belongs to a role."""

from __future__ import annotations

from collections.abc import Hashable

PREPARED = "prepared"
"""The key of the roles that come as the published training slices did: on one grid, scaled to 8 bits."""


def unseen_key(role: Hashable) -> str:
    """The key of the mask (1, i, j, k) that is true where the role's series has no voxels on the grid of the moment."""
    return f"{role}_unseen"
