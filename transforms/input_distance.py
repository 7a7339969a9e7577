"""How far a model input's brightness lies from that of the patients whom the model was trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scanweave.errors import Code, EnvironmentFailure, Problem

Quantiles = npt.NDArray[np.float64]
"""Quantile functions at `PROBABILITIES`, along the last axis."""
COUNT = 128
"""Of probabilities: four times as many change the distance of two training patients by 0.003 at most."""
PROBABILITIES: npt.NDArray[np.float64] = (np.arange(COUNT) + 0.5) / COUNT
"""The middles of equal parts: the mean over them is the integral over 0..1."""
LIMIT_PERCENTILE = 99
"""Of the training patients' own distances; what lies above it is worth a warning."""
DECIMALS = 4
"""Of what is written, far below the distance of any two patients."""
_KEYS = {"patients", "quantiles", "limits"}


@dataclass(frozen=True)
class InputDistance:
    """The distance of one channel, in standard deviations of its z-score, and the training patients' limit."""

    distance: float
    limit: float

    @property
    def unlike(self) -> bool:
        """Whether the channel lies outside what training has seen; so does one that is not finite."""
        return not self.distance <= self.limit


@dataclass(frozen=True)
class InputReference:
    """The training patients: by role their mean quantile function, and the limit of the distance to it.

    The mean of quantile functions is that of the 1-D Wasserstein barycentre: each patient weighs the same, however
    many voxels. `limits` are the `LIMIT_PERCENTILE` of the patients' distances, each to the mean of the others.

    Raises
    ------
    EnvironmentFailure
        BUNDLE_INVALID where it cannot be a reference.
    """

    patients: int
    quantiles: Mapping[str, tuple[float, ...]]
    limits: Mapping[str, float]

    def __post_init__(self) -> None:
        whole = isinstance(self.patients, int) and not isinstance(self.patients, bool)
        _check(whole and self.patients > 1, f"expected patients: 2 or more, found {self.patients!r}")
        _check(bool(self.quantiles), "expected quantiles of at least one role, found none")
        theirs, own = ", ".join(sorted(self.limits)), ", ".join(sorted(self.quantiles))
        _check(theirs == own, f"expected limits of {own}, found those of {theirs or 'no role'}")
        for role, values in self.quantiles.items():
            _check(len(values) == COUNT, f"expected {COUNT} quantiles of {role}, found {len(values)}")
            _check(all(map(_finite, values)), f"expected finite numbers as quantiles of {role}")
            rising = all(low <= high for low, high in pairwise(values))
            _check(rising, f"expected quantiles of {role} that do not fall")
            limit = self.limits[role]
            _check(_finite(limit) and limit > 0, f"expected a limit of {role} above 0, found {limit!r}")

    @classmethod
    def read(cls, path: Path) -> InputReference:
        """The reference in a JSON file; BUNDLE_INVALID where there is none in it."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            known = isinstance(document, dict) and set(document) == _KEYS
            _check(known, f"expected the keys {', '.join(sorted(_KEYS))}")
            quantiles = {role: tuple(values) for role, values in document["quantiles"].items()}
            return cls(document["patients"], quantiles, dict(document["limits"]))
        except EnvironmentFailure as failure:
            raise EnvironmentFailure(Problem(Code.BUNDLE_INVALID, failure.problems[0].message, path.name)) from None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            message = f"expected a reference of the model's input ({type(error).__name__}: {error})"
            raise EnvironmentFailure(Problem(Code.BUNDLE_INVALID, message, path.name)) from error

    def write(self, path: Path) -> None:
        """One JSON document, numbers with `DECIMALS` decimals; OSError where it cannot be written."""
        quantiles = {role: [round(value, DECIMALS) for value in values] for role, values in self.quantiles.items()}
        limits = {role: round(value, DECIMALS) for role, value in self.limits.items()}
        rows = ",\n".join(f"        {json.dumps(role)}: {json.dumps(values)}" for role, values in quantiles.items())
        text = (
            f'{{\n    "patients": {self.patients},\n    "limits": {json.dumps(limits)},\n'
            f'    "quantiles": {{\n{rows}\n    }}\n}}\n'
        )
        path.write_text(text, encoding="utf-8")

    def distances(self, volume: npt.NDArray[Any], roles: Sequence[str]) -> dict[str, InputDistance]:
        """By role the distance of a model input (C, i, j, k), whose channels are `roles`."""
        found = {}
        for role, channel in zip(roles, volume, strict=True):
            away = distance(quantile_function(channel), np.array(self.quantiles[role]))
            found[role] = InputDistance(float(away), self.limits[role])
        return found


def quantile_function(samples: npt.NDArray[Any]) -> Quantiles:
    """The empirical quantiles of `samples` (any shape, at least one) at `PROBABILITIES`."""
    if samples.dtype == np.float16:  # numpy 2.4 does not sort it right on CPUs with AVX512-VBMI2
        samples = samples.astype(np.float32)
    ordered = np.sort(samples, axis=None)  # three channels of 1.5 million voxels take 20 ms
    return ordered[(PROBABILITIES * ordered.size).astype(np.intp)].astype(np.float64)


def distance(ours: Quantiles, theirs: Quantiles) -> npt.NDArray[np.float64]:
    """The 1-Wasserstein distances of 1-D distributions: the integral of the absolute difference of quantile functions.

    One for each pair of quantile functions; the unit is that of the samples.
    """
    return np.asarray(np.abs(ours - theirs).mean(axis=-1))


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise EnvironmentFailure(Problem(Code.BUNDLE_INVALID, message))
