"""UIDs that follow from what they name: the same inputs give the same UID on every machine and every run."""

from __future__ import annotations

import hashlib
import json

UUID_ROOT = "2.25."
"""The root under which any UUID is a UID (PS3.5 B.2)."""


def derived_uid(*parts: str) -> str:
    """The UID of what `parts` describe, at most 44 characters: a UUID (RFC 9562, version 8) of their SHA-256.

    The parts are kept apart: ("ab", "c") and ("a", "bc") give different UIDs. The first should say what the
    UID is for ("SEG series"), so that the UIDs of one result differ.

    Raises
    ------
    ValueError
        Without any part: such a UID would be the same for everything.
    """
    if not parts:
        raise ValueError("expected at least one part to derive a UID from")
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | 0x8 << 76  # version
    number = number & ~(0x3 << 62) | 0x2 << 62  # variant
    return f"{UUID_ROOT}{number}"
