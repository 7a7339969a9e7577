#!/usr/bin/env python3
"""What this machine can do at best, in the same session as the runs: printed as JSON.

A process of its own: numpy's threads and buffers are not to lie beside what is measured. Argument: files to read.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

MATRIX = 2048
"""Large enough to reach the arithmetic's speed, 50 MB in all."""
BUFFER_MB = 256
"""Larger than any cache."""
TRIES = 7
"""The best counts: a limit is what nothing else disturbed."""


def main(files: list[str]) -> None:
    """fp32 matrix product on all cores (GFLOP/s), copying (GB read and written a second), and reading `files`."""
    left, right = (np.random.default_rng(seed).random((MATRIX, MATRIX), dtype=np.float32) for seed in (1, 2))
    product = np.empty_like(left)
    source = np.ones(BUFFER_MB * 1_000_000 // 4, np.float32)
    target = np.zeros_like(source)
    found = {
        "matmul_gflops": 2 * MATRIX**3 / 1e9 / best(lambda: np.matmul(left, right, out=product)),
        "copy_gb_s": 2 * BUFFER_MB / 1e3 / best(lambda: np.copyto(target, source)),
        "decoded_mb": sum(len(decoded(Path(name))) for name in files) / 1e6,
        "decode_s": best(lambda: [decoded(Path(name)) for name in files], 2),
    }
    json.dump(found, sys.stdout)


def decoded(path: Path) -> bytes:
    """The file's bytes, decompressed where it is gzip."""
    held = path.read_bytes()
    return gzip.decompress(held) if path.suffix == ".gz" else held


def best(work: Callable[[], object], tries: int = TRIES) -> float:
    """Seconds of the shortest try."""
    seconds = []
    for _ in range(tries):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
