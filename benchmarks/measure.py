"""One command in a child process: wall-clock time, CPU seconds, peak memory and exit code, descendants included.

Run as a program, this file is the small process between the harness and the command. Linux counts the memory of the
process that starts a command as the command's own until it is replaced, so the one that starts it has to be small; and
as a subreaper (prctl(2)) it inherits, ends and counts what the command leaves behind. Linux only.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

SAMPLE_S = 0.1
"""Between two looks at the memory of several processes; one alone is measured exactly by the kernel."""
SAMPLING_SHARE = 20
"""At least so many times as long as a look takes is waited until the next: it must not slow what it measures."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
NOT_STARTED = 127
"""Exit code where the command could not be started, as of a shell."""
PAGE_KB = resource.getpagesize() // 1024


@dataclass(frozen=True)
class Limits:
    """Beyond these a command is ended; `memory_mb` counts all its processes."""

    seconds: float = 1800.0
    memory_mb: float = float("inf")


@dataclass(frozen=True)
class Measured:
    """What a command took.

    `cpu_s` is user and system time of all its processes. `peak_mb` (10^6 bytes) is the resident memory of the largest
    process, or the proportional memory (PSS) of all at one moment where that is more. `exit_code` is negative for a
    signal. `stopped` says why the harness ended the command, and is empty where it did not.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    exit_code: int
    stopped: str


def measure(
    command: Sequence[str],
    *,
    folder: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> Measured:
    """Run `command` in `folder`; what it prints goes to `log`."""
    request = {
        "command": [str(part) for part in command],
        "folder": str(folder),
        "log": str(log),
        "environment": dict(os.environ if environment is None else environment),
        "limits": asdict(limits or Limits()),
    }
    between = [sys.executable, "-I", "-S", str(Path(__file__).resolve())]
    done = subprocess.run(between, input=json.dumps(request), stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout))


class _Watch(threading.Thread):
    """Looks at the descendants' memory from time to time, and ends them beyond the limits."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(daemon=True)
        self.limits = limits
        self.over = threading.Event()
        self.peak_kb = 0
        self.stopped = ""
        self.began = time.monotonic()

    def run(self) -> None:
        pause = SAMPLE_S
        while not self.over.wait(pause):
            began = time.monotonic()
            pids = list(_descendants())
            if len(pids) > 1:
                self.peak_kb = max(self.peak_kb, sum(_pss_kb(pid) for pid in pids))
            self.stopped = self._reason(pids)
            if self.stopped:
                _kill(pids)
                return
            pause = max(SAMPLE_S, SAMPLING_SHARE * (time.monotonic() - began))

    def _reason(self, pids: list[int]) -> str:
        if time.monotonic() - self.began > self.limits.seconds:
            return f"took longer than {self.limits.seconds:.0f} s"
        if sum(_rss_kb(pid) for pid in pids) * 1024 / 1e6 > self.limits.memory_mb:
            return f"wanted more than {self.limits.memory_mb / 1000:.1f} GB of memory"
        return ""


def _supervise(request: Mapping[str, Any]) -> Measured:
    """Start, watch, wait for, and count."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, _leave)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)  # a command does not outlive the harness
    watch = _Watch(Limits(**request["limits"]))
    code = NOT_STARTED
    began = time.perf_counter()
    try:
        with Path(request["log"]).open("wb") as log:
            child = subprocess.Popen(
                request["command"],
                cwd=request["folder"],
                env=request["environment"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        watch.start()
        code = child.wait()
        watch.over.set()
        watch.join()
    except OSError as error:
        watch.stopped = f"could not be started: {error.strerror}"
    finally:
        wall = time.perf_counter() - began
        _end_rest()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak_kb = max(used.ru_maxrss, watch.peak_kb)
    return Measured(wall, used.ru_utime + used.ru_stime, peak_kb * 1024 / 1e6, code, watch.stopped)


def _leave(number: int, frame: FrameType | None) -> None:
    """On the way out of `_supervise` everything is ended."""
    raise SystemExit(128 + number)


def _end_rest() -> None:
    """End and reap what is left: only the reaped count."""
    while True:
        _kill(list(_descendants()))
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _descendants() -> Iterator[int]:
    """Of this process, by proc(5)."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - called ten times a second
        if entry.isdigit() and (line := _read(f"/proc/{entry}/stat")):
            parent = int(line[line.rindex(")") + 1 :].split()[1])
            children.setdefault(parent, []).append(int(entry))
    waiting = list(children.get(os.getpid(), ()))
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, ())


def _pss_kb(pid: int) -> int:
    lines = (line.split() for line in _read(f"/proc/{pid}/smaps_rollup").splitlines())
    return next((int(words[1]) for words in lines if words[0] == "Pss:"), 0)


def _rss_kb(pid: int) -> int:
    words = _read(f"/proc/{pid}/statm").split()
    return int(words[1]) * PAGE_KB if words else 0


def _read(path: str) -> str:
    """Empty where the process has ended meanwhile."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    json.dump(asdict(_supervise(json.load(sys.stdin))), sys.stdout)
