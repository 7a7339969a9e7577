"""What later inputs are compared with: the brightness of the training patients' model inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scanweave.transforms.input_distance import (
    DECIMALS,
    LIMIT_PERCENTILE,
    InputReference,
    Quantiles,
    distance,
    quantile_function,
)

LEAST_LIMIT = 10.0**-DECIMALS
"""Of patients whose series are all alike (phantoms): a reference has limits above 0, also when it is written."""


def input_reference(volumes: Iterable[npt.NDArray[Any]], roles: Sequence[str]) -> InputReference:
    """The reference of training volumes (C, i, j, k), one a patient, as the network gets them; channels are `roles`.

    Volumes are taken one by one; only their quantiles are kept. Of fewer than a hundred patients the limit is near
    the largest distance among them.

    Raises
    ------
    ValueError
        Fewer than two volumes (a patient's distance is that to the others), or channels that are not the roles.
    """
    found = [_quantiles(volume, roles) for volume in volumes]
    if len(found) < 2:
        raise ValueError(f"expected volumes of two patients or more, found {len(found)}")
    by_patient = np.stack(found)
    limits = np.percentile(_own_distances(by_patient), LIMIT_PERCENTILE, axis=0)
    mean = by_patient.mean(axis=0)
    return InputReference(
        patients=len(found),
        quantiles={role: tuple(map(float, values)) for role, values in zip(roles, mean, strict=True)},
        limits={role: max(float(limit), LEAST_LIMIT) for role, limit in zip(roles, limits, strict=True)},
    )


def _quantiles(volume: npt.NDArray[Any], roles: Sequence[str]) -> Quantiles:
    """(C, probability)."""
    if len(volume) != len(roles):
        raise ValueError(f"expected {len(roles)} channels ({', '.join(roles)}), found {len(volume)}")
    return np.stack([quantile_function(channel) for channel in volume])


def _own_distances(by_patient: Quantiles) -> npt.NDArray[np.float64]:
    """(patient, C) from (patient, C, probability): of each patient to the mean of the others.

    A patient who counted in the mean that he is compared with would lie nearer to it than a stranger does.
    """
    others = (by_patient.sum(axis=0) - by_patient) / (len(by_patient) - 1)
    return distance(by_patient, others)
