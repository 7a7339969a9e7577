"""docs/performance.json and, between markers, docs/performance.md: each study beside what other calls have measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_studies import STUDY_NAMES
from contenders import CONTENDERS, Task, baseline
from steps import steps_table
from table import growth, section

JSON, PAGE = "performance.json", "performance.md"
BEGIN = "<!-- benchmarks: made by make bench, do not edit -->"
END = "<!-- benchmarks: end -->"


def write(name: str, entry: Mapping[str, Any], out: Path) -> None:
    """Put one study's entry into the JSON and the page in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    path, page = out / JSON, out / PAGE
    studies = json.loads(path.read_text())["studies"] if path.is_file() else {}
    studies[name] = entry
    ordered = {known: studies[known] for known in STUDY_NAMES if known in studies}
    path.write_text(json.dumps({"studies": ordered}, indent=1) + "\n")
    old = page.read_text() if page.is_file() else "# Performance\n"
    page.write_text(put_between_markers(old, tables(ordered)))


def tables(studies: Mapping[str, Mapping[str, Any]]) -> str:
    """All of them, in markdown."""
    sections = [section(name, entry) for name, entry in studies.items()]
    parts = [legend(), *sections, growth(studies), steps_table(studies, baseline(Task.STUDY).name)]
    return "\n".join(part for part in parts if part)


def legend() -> str:
    """What each contender is."""
    return "\n".join(f"- **{contender.name}**: {contender.what}" for contender in CONTENDERS) + "\n"


def put_between_markers(page: str, text: str) -> str:
    """`page` with what stands between the markers replaced; at its end where it has none."""
    block = f"{BEGIN}\n\n{text.strip()}\n\n{END}"
    if BEGIN not in page or END not in page:
        return f"{page.rstrip()}\n\n{block}\n".lstrip()
    before, rest = page.split(BEGIN, 1)
    return before + block + rest.split(END, 1)[1]
