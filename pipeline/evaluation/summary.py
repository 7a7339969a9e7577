"""Figures of many patients in a few numbers, with the interval that so few patients leave open."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 0
"""The same figures give the same interval."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Summary:
    """Of one figure over `count` patients; `missing` more have none.

    `std` divides by count - 1. The intervals hold the mean (median) with 95 % confidence; None where one patient, or
    equal figures, tell nothing of the spread.
    """

    count: int
    missing: int
    mean: float | None
    median: float | None
    std: float | None
    mean_interval: Interval | None
    median_interval: Interval | None


def summarize(values: Sequence[float | None], patients: Sequence[str]) -> Summary:
    """The summary of a figure, one value for each case, None where a case has none.

    A patient with several cases counts once, with the mean of them: cases of one patient are not independent.
    """
    by_patient: dict[str, list[float]] = defaultdict(list)
    for patient, value in zip(patients, values, strict=True):
        if value is not None:
            by_patient[patient].append(value)
    missing = len(set(patients)) - len(by_patient)
    if not by_patient:
        return Summary(0, missing, None, None, None, None, None)
    figures = np.array([np.mean(own) for own in by_patient.values()])
    several = len(figures) > 1
    return Summary(
        count=len(figures),
        missing=missing,
        mean=float(figures.mean()),
        median=float(np.median(figures)),
        std=float(figures.std(ddof=1)) if several else None,
        mean_interval=bootstrap_interval(figures, np.mean),
        median_interval=bootstrap_interval(figures, np.median),
    )


def bootstrap_interval(
    figures: Iterable[float], statistic: Callable[..., npt.NDArray[np.float64] | np.floating]
) -> Interval | None:
    """The percentile bootstrap of `statistic` over patients (Efron 1979), with a fixed seed.

    None for fewer than two figures, or where all are equal.
    """
    sample = np.asarray(list(figures), dtype=np.float64)
    if sample.size < 2 or np.ptp(sample) == 0:
        return None
    from scipy import stats

    chance = np.random.default_rng(SEED)
    found = stats.bootstrap(
        (sample,), statistic, confidence_level=CONFIDENCE, n_resamples=RESAMPLES, method="percentile", rng=chance
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
