"""Where the network computes, and in which numbers."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from scanweave.errors import Code, EnvironmentFailure, Problem, UsageError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
CPU, FIRST_GPU = "cpu", "cuda:0"
GPU_DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so", "amdhip64.dll")
"""Of NVIDIA and AMD, without which PyTorch finds no GPU. To look takes a millisecond, to ask PyTorch two seconds."""


def choose_device(name: str | torch.device) -> str:
    """The device's name: `auto` is the first GPU where there is one, else the CPU; others are taken at their word.

    Raises
    ------
    UsageError
        For any other name than `auto`, `cpu` and `cuda:N`.
    EnvironmentFailure
        DEVICE_UNAVAILABLE where that GPU is not there.
    """
    name = str(name)
    if name == CPU or (name == "auto" and not _driver_found()):
        return CPU
    import torch

    if name == "auto":
        return FIRST_GPU if torch.cuda.is_available() else CPU
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(Problem(Code.USAGE, f"--device: expected auto, cpu or cuda:N, got {name!r}"))
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        message = f"{name} is not there: {torch.cuda.device_count()} GPU(s) found; use --device cpu"
        raise EnvironmentFailure(Problem(Code.DEVICE_UNAVAILABLE, message))
    return str(device)


def check_precision(precision: str) -> str:
    """`precision` where it is one of `PRECISIONS`; USAGE otherwise."""
    if precision not in PRECISIONS:
        message = f"--precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}"
        raise UsageError(Problem(Code.USAGE, message))
    return precision


def resolve_precision(precision: str, device: str | torch.device) -> str:
    """What `auto` means on a device: fp16 on a GPU, fp32 on a CPU; any other is itself."""
    if check_precision(precision) != "auto":
        return precision
    return "fp16" if str(device).startswith("cuda") else "fp32"


def autocast_dtype(precision: str) -> torch.dtype | None:
    """The type for autocast of a resolved precision, None for plain float32."""
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)


def _driver_found() -> bool:
    for library in GPU_DRIVERS:
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return True
    return False
