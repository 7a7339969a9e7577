"""What a measurement is worth nothing without: the machine, the versions, the state of the checkout."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

FAST_MATHS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""Of the CPU's flags, those that decide how fast a network is."""
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
WRITTEN = ":(exclude)docs/performance.*"
"""What the harness itself changes."""


def conditions(checkout: Path) -> dict[str, object]:
    """Of this moment: date, commit, processor, cores for this process, load (1 for a busy core), memory, threads."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(checkout),
        "processor": _cpu("model name"),
        "instructions": [flag for flag in FAST_MATHS if flag in _cpu("flags").split()],
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "python": platform.python_version(),
        "threads": {name: os.environ[name] for name in THREAD_SETTINGS if name in os.environ},
    }


def available_mb() -> float:
    """Memory that can be had without swapping, 10^6 bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("MemAvailable:"))


def _cpu(field: str) -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), "unknown")


def _commit(checkout: Path) -> str:
    """Short hash, with `+` where files differ from it; `unknown` outside git."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True, check=True).stdout

    try:
        changed = git("status", "--porcelain", "--", ".", WRITTEN).strip()
        return git("rev-parse", "--short", "HEAD").strip() + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
