"""Whom the weights have seen: figures on them say nothing of new patients."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from scanweave.networks.weights import Weights
from scanweave.pipeline.training.splits import SPLIT_FILE

SPLIT_OF_BUNDLE = Path("configs", SPLIT_FILE)


def trained_on(bundle_root: str | Path, own: Mapping[str, str] | None, weights: Weights) -> frozenset[str]:
    """The patients that trained or chose `weights`, as far as a file tells.

    That is the bundle's configs/split.json for its own weights (`own` is their record in the metadata, None
    where it has none yet), for others the split.json beside them, where `scanweave train` puts it.
    """
    is_own = own is not None and weights.sha256 == own["sha256"]
    file = Path(bundle_root) / SPLIT_OF_BUNDLE if is_own else weights.path.parent / SPLIT_FILE
    try:
        split = json.loads(file.read_text())
        return frozenset(map(str, (*split["train"], *split["validation"])))
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def seen_warnings(patients: Collection[str], seen: Collection[str]) -> tuple[str, ...]:
    """One line where some of `patients` were trained on."""
    count, known = len(set(patients)), len(set(patients) & set(seen))
    if not known:
        return ()
    return (f"the weights were trained on {known} of these {count} patient(s), whose figures say nothing of new ones",)
