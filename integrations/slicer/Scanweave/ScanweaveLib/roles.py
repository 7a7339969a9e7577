"""The roles of a bundle: which series its network wants."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Role:
    """`name` is scanweave's, `label` for people; an optional role may stay empty."""

    name: str
    label: str
    required: bool


SHIPPED = {
    "flair_abnormality": (
        Role("pre", "T1 before contrast", False),
        Role("flair", "FLAIR", True),
        Role("post", "T1 after contrast", False),
    ),
    "hippocampus": (Role("t1", "T1 around one hippocampus", True),),
}
"""Of the bundles that come with scanweave."""


def roles_of(bundle: str) -> tuple[Role, ...]:
    """Of a shipped bundle by its name, or of one in a folder; ValueError where that is no bundle of scanweave."""
    if bundle in SHIPPED:
        return SHIPPED[bundle]
    try:
        declared = json.loads(Path(bundle, "configs", "metadata.json").read_text(encoding="utf-8"))["roles"]
        return tuple(Role(item["name"], item["name"], bool(item["required"])) for item in declared)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a bundle of scanweave: {bundle} ({type(error).__name__})") from error
