"""What the doctor found: a table for people, plain where it goes to a file, or a record."""

from __future__ import annotations

from typing import Any

from scanweave.pipeline.doctor.check import State
from scanweave.pipeline.doctor.examine import Examination, count, failure

PIPE_WIDTH = 160
"""Columns of a table that goes to a file or another program."""
_STYLES = {State.OK: "green", State.WARNING: "yellow", State.MISSING: "bold red"}


def doctor_record(groups: Examination) -> dict[str, Any]:
    """The JSON document of `scanweave doctor --json`."""
    checks = [
        {"group": group, "name": check.name, "state": str(check.state), "found": check.found, "remedy": check.remedy}
        for group, found in groups.items()
        for check in found
    ]
    return {"ready": failure(groups) is None, "checks": checks}


def summary(groups: Examination) -> str:
    """The last line: ready or not, and how many warnings."""
    missing, warnings = count(groups, State.MISSING), count(groups, State.WARNING)
    ready = f"{missing} missing" if missing else "ready to segment"
    return f"{ready}, {warnings} warning(s)"


def print_examination(groups: Examination) -> None:
    """On stdout, by rich where that can be imported: the doctor has to be able to say that it cannot."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except Exception:
        _write_plain(groups)
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    width = max(len(check.name) for checks in groups.values() for check in checks)
    for group, checks in groups.items():
        console.print(Text(group, style="bold"))
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 1))
        table.add_column(width=max(map(len, State)))
        table.add_column(width=width)
        table.add_column(overflow="fold")
        for check in checks:
            found = Text(check.found)
            if check.remedy:
                found.append("\nremedy: ", style=_STYLES[check.state]).append(check.remedy)
            table.add_row(Text(check.state, style=_STYLES[check.state]), Text(check.name), found)
        console.print(table)
    console.print(Text(summary(groups), style="bold"))


def _write_plain(groups: Examination) -> None:
    import sys

    for group, checks in groups.items():
        sys.stdout.write(f"{group}\n")
        for check in checks:
            remedy = f"; remedy: {check.remedy}" if check.remedy else ""
            sys.stdout.write(f" {check.state:8} {check.name}: {check.found}{remedy}\n")
    sys.stdout.write(f"{summary(groups)}\n")
