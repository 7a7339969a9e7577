"""What scanweave refuses, with what can be done about it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r"error\[([A-Z_]+)\]: (.*)")
_REMEDIES = Path(__file__).parent.parent / "Resources" / "remedies.json"
"""Made from docs/errors.md by scripts/slicer-remedies."""


@dataclass(frozen=True)
class Problem:
    """One line of a refusal; `code` is empty where it is no refusal of scanweave's."""

    code: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        code = f" ({self.code})" if self.code else ""
        return f"{self.message}{code}" + (f"\nWhat to do: {self.remedy}" if self.remedy else "")


def problems_in(lines: Iterable[str]) -> tuple[Problem, ...]:
    """The refusals among lines of stderr."""
    remedies = json.loads(_REMEDIES.read_text(encoding="utf-8"))
    found = (_LINE.fullmatch(line.strip()) for line in lines)
    return tuple(Problem(match[1], match[2], remedies.get(match[1], "")) for match in found if match)
