"""Step (2): the network's channels, in the order of the bundle's roles."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from scanweave.transforms.image import Image
from scanweave.transforms.selection.roles import Role
from scanweave.transforms.volumes import unseen_key


class StackRolesd:
    """Stack the roles' volumes (1, i, j, k), all on the reference's grid, to `image_key` (roles, i, j, k).

    A role without a series is filled by its substitute's. `unseen_key` gets the masks of what each series did not
    see, of the same shape. The stack carries what moved the reference: by them predictions find their
    way back.
    """

    def __init__(
        self, roles: Sequence[Role], reference: str, image_key: str = "image", unseen_key: str = "unseen"
    ) -> None:
        self.roles = tuple(roles)
        self.reference = reference
        self.image_key = image_key
        self.unseen_key = unseen_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        reference: Image = d[self.reference]
        sources = [role.name if role.name in d else role.substitute for role in self.roles]
        nowhere = reference.with_array(np.zeros(reference.array.shape, dtype=bool))
        stacks = {
            self.image_key: [d[source] for source in sources],
            self.unseen_key: [d.get(unseen_key(source), nowhere) for source in sources],
        }
        for key, channels in stacks.items():
            d[key] = reference.with_array(np.concatenate([item.array for item in channels]))
        for role in self.roles:
            d.pop(role.name, None)
            d.pop(unseen_key(role.name), None)
        return d
