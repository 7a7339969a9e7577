"""JSON as a person would write a bundle's configuration: one transform a line, groups apart."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

WIDTH = 120
"""What fits is written on one line; a part of a chain (`_target_`) always is where it stands in a list."""
_STEP = "    "


def json_text(document: Mapping[str, Any], spaced: Collection[str] = ()) -> str:
    """`document` as text; an empty line goes before each of its own entries that is named in `spaced`."""
    lines = []
    for number, (key, value) in enumerate(document.items()):
        before = "\n" if number and key in spaced else ""
        comma = "," if number < len(document) - 1 else ""
        lines.append(f"{before}{_STEP}{json.dumps(key)}: {_text(value, 1, within=False)}{comma}")
    return "{\n" + "\n".join(lines) + "\n}\n"


def _text(value: Any, depth: int, *, within: bool) -> str:
    """`value`, begun on a line that is `depth` steps in; `within` a list."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value:
        return flat
    in_chain = within and isinstance(value, dict) and "_target_" in value
    opened = isinstance(value, dict) and depth == 1 and len(value) > 1
    if in_chain or (not opened and len(flat) + depth * len(_STEP) < WIDTH):
        return flat
    inner = "\n" + _STEP * (depth + 1)
    end = "\n" + _STEP * depth
    if isinstance(value, dict):
        rows = [f"{json.dumps(key)}: {_text(part, depth + 1, within=False)}" for key, part in value.items()]
        return "{" + ",".join(inner + row for row in rows) + end + "}"
    return "[" + ",".join(inner + _text(part, depth + 1, within=True) for part in value) + end + "]"
