"""Every weights file that scanweave knows of: those of the shipped bundles, and what others have published."""

from __future__ import annotations

import importlib.resources
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from scanweave.errors import EnvironmentFailure
from scanweave.networks.imagenet import IMAGENET
from scanweave.networks.published import PUBLISHED
from scanweave.pipeline.bundle import METADATA_FILE, find_bundle


class State(StrEnum):
    """What lies at the place of a weights file."""

    READY = "ready"
    ALTERED = "altered"
    MISSING = "missing"
    NOT_FETCHED = "not fetched"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class KnownWeights:
    """A weights file: `source` is a shipped bundle's name or a URL; `sha256` all that was recorded of the digest."""

    name: str
    source: str
    sha256: str
    path: Path
    state: State

    @property
    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "path": str(self.path)}


def known_weights() -> list[KnownWeights]:
    """The shipped bundles' weights, the published ones, and ImageNet's for encoders.

    Each file that is there is verified by its SHA-256.

    Raises
    ------
    EnvironmentFailure
        BUNDLE_INVALID for a shipped bundle whose metadata cannot be used.
    """
    from scanweave.networks.fetch_weights import published_path
    from scanweave.networks.weights import Weights

    known = []
    folder = Path(str(importlib.resources.files("scanweave.bundles")))
    for root in sorted(path.parent.parent for path in folder.glob(f"*/{METADATA_FILE}")):
        record = find_bundle(str(root)).metadata.get("weights")
        if record:
            weights = Weights.of_bundle(root, record)
            state = _state(weights.path, weights.sha256, State.MISSING)
            known.append(KnownWeights(weights.name, f"bundle {root.name}", weights.sha256, weights.path, state))
    for published in (*PUBLISHED.values(), *IMAGENET.values()):
        path = published_path(published)
        state = _state(path, published.sha256_start, State.NOT_FETCHED)
        known.append(KnownWeights(published.name, published.url, published.sha256_start, path, state))
    return known


def _state(path: Path, sha256_start: str, absent: State) -> State:
    from scanweave.networks.weights import file_sha256

    try:
        if not path.exists():
            return absent
        return State.READY if file_sha256(path).startswith(sha256_start) else State.ALTERED
    except (OSError, EnvironmentFailure):  # there, but not to be read
        return State.UNREADABLE
