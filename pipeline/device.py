"""Where the network computes, and in which numbers."""

from __future__ import annotations

import torch

from scanweave.errors import Code, EnvironmentFailure, Problem, UsageError

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def choose_device(name: str) -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU; `cpu` and `cuda:N` are taken at their word.

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


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The type for autocast, None for plain float32. `auto` is fp16 on a GPU and fp32 on a CPU."""
    if precision == "auto":
        return torch.float16 if device.type == "cuda" else None
    try:
        return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    except KeyError:
        message = f"--precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}"
        raise UsageError(Problem(Code.USAGE, message)) from None
