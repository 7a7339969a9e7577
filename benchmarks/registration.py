#!/usr/bin/env python3
"""How often registration finds the head, how exactly, how quickly, and whether its flag can be relied on.

    benchmarks/registration.py [--pairs N] [--flag-pairs N] [--itk N] [--seed N] [--out FOLDER] [--rows FILE]

Writes registration.json and registration.md. Real scans are found through SCANWEAVE_DATA; one core, some twenty
minutes. Research use only, not a medical device.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from machine import conditions
from page import put_between_markers
from registration_itk import estimate_with_itk
from registration_pairs import Kind, Pair, flag_pairs, right_pairs
from registration_studies import Group, Study, distances_mm, find_studies, head_points
from registration_table import Row, page, summary

from scanweave.transforms.rigid.estimate import estimate_rigid
from scanweave.transforms.rigid.pyramid import Pyramid, pyramid

CHECKOUT = Path(__file__).resolve().parent.parent
SHARES = {
    Kind.RIGHT: 0.4,
    Kind.HARD: 0.12,
    Kind.OTHER: 0.24,
    Kind.OUT_OF_VIEW: 0.08,
    Kind.NOISE: 0.08,
    Kind.MIRRORED: 0.08,
}
"""Of the flag's pairs."""
RAW = ("tcga-fg-6692", "study-siemens")
RAW_SHARE = 0.35
"""Of the right pairs, for each of the raw studies; the LGG patients of the two groups share the rest."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and write."""
    options = _parser().parse_args(arguments)
    at = conditions(CHECKOUT)
    studies = []
    for study in find_studies(options.data):
        known = f"truth known to {study.spread_mm:.2f} mm, {study.moved_mm:.1f} mm from the header's"
        print(f"{study.name:<28} {study.group:<10} {known}", flush=True)
        studies.append(study)
    rows = [_measured(pair, False) for pair in _right(studies, options.pairs, options.seed)]
    _told("right", rows)
    itk = [_measured_itk(pair) for pair in _right(studies, options.itk, options.seed)]
    _told("ITK", itk)
    flags = []
    for group in Group:
        own = [study for study in studies if study.group is group]
        counts = {kind: round(share * options.flag_pairs / len(Group)) for kind, share in SHARES.items()}
        pairs = flag_pairs(own, counts, np.random.default_rng((options.seed, len(flags))))
        flags += [_measured(pair, number % 2 == 0) for number, pair in enumerate(pairs)]
        _told(str(group), flags)
    if options.rows:
        options.rows.write_text(json.dumps([asdict(row) for row in (*rows, *itk, *flags)]))
    found = summary(studies, rows, itk, flags) | {"conditions": at}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "registration.json").write_text(json.dumps(found, indent=1) + "\n")
    path = options.out / "registration.md"
    path.write_text(put_between_markers(path.read_text() if path.is_file() else "", page(found)))
    return 0


def _right(studies: list[Study], count: int, seed: int) -> Iterator[Pair]:
    """`count` right pairs: of each raw study `RAW_SHARE`, the rest of the LGG patients."""
    raw = [[study] for study in studies if study.name in RAW]
    patients = [study for study in studies if study.name not in RAW]
    for number, one in enumerate(raw):
        share = RAW_SHARE if patients else 1 / len(raw)
        yield from right_pairs(one, round(share * count), np.random.default_rng((seed, 10, number)))
    if patients:
        mixed = [patients[n] for n in np.random.default_rng((seed, 11)).permutation(len(patients))]
        rest = count - len(raw) * round(RAW_SHARE * count)
        yield from right_pairs(mixed, rest, np.random.default_rng((seed, 12)))


def _measured(pair: Pair, try_identity: bool) -> Row:
    """Both pyramids, of which the fixed one serves two series, the search and the judgement."""
    begun = time.process_time()
    fixed = pyramid(pair.fixed)
    shared = time.process_time() - begun
    found = estimate_rigid(fixed, pair.moving, try_identity=try_identity)
    cpu_s = time.process_time() - begun - shared / 2
    return _row(pair, fixed, found.matrix_ras, cpu_s, found.flagged, found.flag_reason, found.after)


def _measured_itk(pair: Pair) -> Row:
    begun = time.process_time()
    matrix = estimate_with_itk(pair.fixed, pair.moving)
    return _row(pair, pyramid(pair.fixed), matrix, time.process_time() - begun, False, "", {})


def _row(
    pair: Pair, fixed: Pyramid, matrix: np.ndarray, cpu_s: float, flagged: bool, reason: str, after: dict[str, float]
) -> Row:
    errors = None
    if pair.truth is not None:
        errors = distances_mm(matrix, pair.truth, head_points(fixed.middle.grid.points(np.argwhere(fixed.head))))
    return Row(
        pair.number,
        pair.kind,
        pair.group,
        pair.name,
        None if errors is None else float(errors.mean()),
        None if errors is None else float(errors.max()),
        pair.tolerance_mm,
        cpu_s,
        flagged,
        reason,
        {name: round(value, 4) for name, value in after.items()},
    )


def _told(what: str, rows: list[Row]) -> None:
    wrong = [row for row in rows if row.failed]
    missed = sum(not row.flagged for row in wrong)
    print(f"{what}: {len(rows)} pairs, {len(wrong)} of them failures, {missed} of these not flagged", flush=True)


def _parser() -> argparse.ArgumentParser:
    data = os.environ.get("SCANWEAVE_DATA") or CHECKOUT.parent / "shared" / "data"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200, help="perturbed right pairs (200)")
    parser.add_argument("--flag-pairs", type=int, default=1000, help="pairs that try the flag (1000)")
    parser.add_argument("--itk", type=int, default=40, help="of the right pairs, by SimpleITK's own methods (40)")
    parser.add_argument("--seed", type=int, default=20, help="of the perturbations (20)")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "docs", help="where page and JSON go (docs)")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="keep every pair's figures as JSON")
    parser.add_argument("--data", type=Path, default=Path(data), help="the real scans (SCANWEAVE_DATA)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
