"""Where the network computes, and in which numbers."""

from __future__ import annotations

import torch

from scanweave.errors import Code, EnvironmentFailure, Problem, UsageError

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def choose_device(name: str | torch.device) -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU; `cpu`, `cuda:N` and a device are taken at their word.

    Raises
    ------
    UsageError
        For any other name.
    EnvironmentFailure
        DEVICE_UNAVAILABLE where that GPU is not there.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(Problem(Code.USAGE, f"--device: expected auto, cpu or cuda:N, got {name!r}"))
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        message = f"{name} is not there: {torch.cuda.device_count()} GPU(s) found; use --device cpu"
        raise EnvironmentFailure(Problem(Code.DEVICE_UNAVAILABLE, message))
    return device


def check_precision(precision: str) -> str:
    """`precision` where it is one of `PRECISIONS`; USAGE otherwise."""
    if precision not in PRECISIONS:
        message = f"--precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}"
        raise UsageError(Problem(Code.USAGE, message))
    return precision


def resolve_precision(precision: str, device: torch.device) -> str:
    """What `auto` means on a device: fp16 on a GPU, fp32 on a CPU; any other is itself."""
    if check_precision(precision) != "auto":
        return precision
    return "fp16" if device.type == "cuda" else "fp32"


def autocast_dtype(precision: str) -> torch.dtype | None:
    """The type for autocast of a resolved precision, None for plain float32."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
