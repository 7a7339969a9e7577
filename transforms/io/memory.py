"""How much memory there is, asked before voxels are: what does not fit is refused and not begun."""

from __future__ import annotations

import re
import resource
from pathlib import Path

from scanweave.errors import Code, EnvironmentFailure, Problem

MEBIBYTE = 1 << 20
_CGROUP = "/sys/fs/cgroup"


def available_memory() -> int | None:
    """Bytes that this process may still take: of the machine, its container and its own limit; None if unknown."""
    known = [value for value in (_of_the_machine(), _of_the_container(), _of_the_process()) if value is not None]
    return max(min(known), 0) if known else None


def require_memory(needed: int, where: str) -> None:
    """Refuse what needs more than `available_memory`, in bytes.

    Raises
    ------
    EnvironmentFailure
        OUT_OF_MEMORY.
    """
    free = available_memory()
    if free is not None and needed > free:
        message = f"the voxels need {needed // MEBIBYTE} MB of memory, {free // MEBIBYTE} MB are free"
        raise EnvironmentFailure(Problem(Code.OUT_OF_MEMORY, message, where))


def _of_the_machine() -> int | None:
    found = re.search(r"MemAvailable:\s+(\d+) kB", _read("/proc/meminfo"))
    return int(found[1]) * 1024 if found else None


def _of_the_container() -> int | None:
    """cgroup v2; what else lives in the container counts too, but for files in the cache, which give way."""
    limit, used = _read(f"{_CGROUP}/memory.max").strip(), _read(f"{_CGROUP}/memory.current").strip()
    if not (limit.isdigit() and used.isdigit()):
        return None
    cached = re.findall(r"^(?:in)?active_file (\d+)$", _read(f"{_CGROUP}/memory.stat"), re.MULTILINE)
    return int(limit) - max(int(used) - sum(map(int, cached)), 0)


def _of_the_process() -> int | None:
    """RLIMIT_AS counts addresses, used or not."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft - address_space()


def address_space() -> int:
    """Bytes of addresses that this process has taken; 0 where the system does not say."""
    pages = _read("/proc/self/statm").split()
    return int(pages[0]) * resource.getpagesize() if pages else 0


def resident_memory() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say."""
    pages = _read("/proc/self/statm").split()
    return int(pages[1]) * resource.getpagesize() if pages else 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
