"""What computes: the CPU, its memory, and NVIDIA GPUs with the driver between them and torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from scanweave.pipeline.doctor.check import Check, State, reason

if TYPE_CHECKING:
    import torch

MEMORY_GIB = 2.0
"""A study of three series of 22 slices takes 0.8 GiB, torch and MONAI included; isotropic ones take more."""
GPU_MEMORY_GIB = 1.0
"""Free memory with which the network runs at all; it asks for smaller batches as this runs out."""
_GIB = 1 << 30
_CPU_FLAGS = {"avx512_bf16": "avx512-bf16", "amx_bf16": "amx-bf16", "bf16": "bf16"}
"""Flags of /proc/cpuinfo that make bf16 fast, as people know them (`bf16` is Arm's)."""
_NVIDIA_SMI_TIMEOUT_S = 10


def check_processors() -> list[Check]:
    """CPU, memory, then each GPU, or one line that says why there is none."""
    return [_cpu(), check_memory(), *_gpus()]


def _cpu() -> Check:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [f"{usable} of {os.cpu_count()} cores"]
    try:
        import torch

        found += [f"{torch.get_num_threads()} thread(s) for torch", torch.backends.cpu.get_cpu_capability()]
    except Exception:  # said under its own name
        pass
    flags = set(_read("/proc/cpuinfo").partition("flags")[2].partition("\n")[0].split())
    found += [words for flag, words in _CPU_FLAGS.items() if flag in flags]
    return Check("CPU", State.OK, ", ".join(found))


def check_memory(needed_gib: float = MEMORY_GIB) -> Check:
    """Main memory, a container's limit taken into account."""
    figures = {name: int(kib) * 1024 for name, kib in re.findall(r"(\w+):\s+(\d+) kB", _read("/proc/meminfo"))}
    if "MemTotal" not in figures or "MemAvailable" not in figures:
        return Check("memory", State.OK, "this system does not say")
    total, free = figures["MemTotal"], figures["MemAvailable"]
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and used.isdigit() and int(limit) < total:
        total, free = int(limit), min(free, int(limit) - int(used))
    found = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
    if free / _GIB >= needed_gib:
        return Check("memory", State.OK, found)
    return Check("memory", State.WARNING, found, f"close other programs: a study needs about {needed_gib:g} GiB")


def _gpus() -> list[Check]:
    driver = nvidia_driver()
    try:
        import torch
    except Exception:
        return [Check("GPU", State.WARNING, "torch cannot be imported to ask", "mend torch first, see above")]
    if torch.version.cuda is None and torch.version.hip is None:
        return [gpu_without_cuda(driver)]
    if not torch.cuda.is_available():
        if not driver:
            return [Check("GPU", State.OK, "none; the CPU computes")]
        found = f"torch, built for CUDA {torch.version.cuda}, cannot use the GPU of driver {driver}"
        remedy = "update the driver, or install a torch built for an older CUDA; until then the CPU computes"
        return [Check("GPU", State.WARNING, found, remedy)]
    return [_gpu(torch.device("cuda", index), driver) for index in range(torch.cuda.device_count())]


def gpu_without_cuda(driver: str) -> Check:
    """Of a torch that is built for the CPU alone; `driver` is the version of an NVIDIA driver, "" for none."""
    if not driver:
        return Check("GPU", State.OK, "none; the CPU computes")
    found = f"an NVIDIA GPU (driver {driver}), but torch is built for the CPU alone"
    return Check("GPU", State.WARNING, found, "pip install --force-reinstall torch from the index of a CUDA build")


def _gpu(device: torch.device, driver: str) -> Check:
    import torch

    properties = torch.cuda.get_device_properties(device)
    capability = f"{properties.major}.{properties.minor}"
    found = (
        f"{properties.name}, compute capability {capability}, CUDA {torch.version.cuda}, driver {driver or 'unknown'}"
    )
    try:
        free, total = torch.cuda.mem_get_info(device)
        torch.zeros(8, device=device).add_(1).sum().item()
    except Exception as error:
        remedy = f"use --device cpu, or a torch whose CUDA knows compute capability {capability}"
        return Check(str(device), State.MISSING, f"{found}: it does not compute ({reason(error)})", remedy)
    found += f", {free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
    if free / _GIB < GPU_MEMORY_GIB:
        remedy = "end other programs on the GPU, or use --device cpu"
        return Check(str(device), State.WARNING, found, remedy)
    return Check(str(device), State.OK, found)


def nvidia_driver() -> str:
    """The version of the NVIDIA driver whose GPU this process sees, "unknown" where it does not say; "" for none."""
    match = re.search(r"Kernel Module\D*([\d.]+)", _read("/proc/driver/nvidia/version"))
    if match:
        return match[1]
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            asked = subprocess.run(
                command, capture_output=True, text=True, timeout=_NVIDIA_SMI_TIMEOUT_S, check=True
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return ""
        return asked.stdout.split("\n")[0].strip() or "unknown"
    return "unknown" if Path("/dev/nvidia0").exists() else ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError):
        return ""
