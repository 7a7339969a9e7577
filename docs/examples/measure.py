"""Figures of each study, without writing results: `python docs/examples/measure.py STUDY STUDY .. > figures.csv`."""

import csv
import sys

from scanweave import InputRefused, segment


def figures(study: str) -> tuple[float | None, float, int, str]:
    """Volume in ml, the farthest that a series was moved in mm, the number of warnings, and why it was refused."""
    try:
        done = segment(study)
    except InputRefused as refusal:
        return None, 0.0, 0, refusal.code
    moved = [found.displacement_mm for found in done.registration.values()]
    return done.volume_ml, max(moved, default=0.0), len(done.warnings), ""


table = csv.writer(sys.stdout)
table.writerow(["study", "volume_ml", "moved_mm", "warnings", "refused"])
table.writerows([number, *figures(study)] for number, study in enumerate(sys.argv[1:], start=1))
