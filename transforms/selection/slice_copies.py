"""RGB slices whose channels repeat one another: where a series was missing, another was put in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from scanweave.transforms.geometry import Volume
from scanweave.transforms.selection.roles import Role
from scanweave.transforms.selection.select import RoleChoice, Selection


def substitute_copies(selection: Selection, roles: Sequence[Role], volumes: Mapping[str, Volume]) -> Selection:
    """`selection` with each role substituted whose voxels are those of its substitute, and a warning for it.

    The published slices of patients without a T1 hold the FLAIR there; so do gray pictures that were saved as RGB.
    """
    assigned, warnings = dict(selection.assigned), list(selection.warnings)
    for role in roles:
        if role.substitute is None or role.substitute not in volumes or role.name not in volumes:
            continue
        if np.array_equal(volumes[role.name].array, volumes[role.substitute].array):
            evidence = f"its channel repeats that of {role.substitute}"
            assigned[role.name] = RoleChoice(None, (evidence,), role.substitute)
            warnings.append(f"no series found for {role.name}, {evidence}: {role.substitute} stands in for it")
    return replace(selection, assigned=assigned, warnings=tuple(warnings))
