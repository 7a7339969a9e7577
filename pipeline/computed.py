"""What a network's run over one volume gives, and how it can fail, whatever runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.transforms.image import Image

Heard = Callable[[float], None]
"""Hears the part of the volume that is done, 0..1."""
_NO_MEMORY = ("not enough memory", "can't allocate memory", "alloc_failed", "out of memory", "failed to allocate")
"""How PyTorch's CPU allocator, cuBLAS, cuDNN and ONNX Runtime word it in plain RuntimeErrors."""


@dataclass(frozen=True)
class Computed:
    """Probabilities (C, i, j, k), a channel for each segment, float32 in main memory, and how they came about.

    `mirror` says whether they are the mean over the volume and its mirror image; `remarks` are worth a warning.
    """

    probabilities: Image
    device: str
    precision: str
    runtime: str
    mirror: bool
    remarks: tuple[str, ...] = ()


class VolumeNetwork(ABC):
    """A network that takes whole volumes, wherever it computes them: no inferer stands before it."""

    @abstractmethod
    def __call__(self, image: Image, progress: Heard | None = None) -> Computed:
        """Probabilities of the network's input (C, i, j, k); refusals as they were raised where it computes."""


def no_memory_left() -> EnvironmentFailure:
    """OUT_OF_MEMORY, where nothing smaller is left to try."""
    message = "the machine has too little memory for the network on this volume"
    return EnvironmentFailure(Problem(Code.OUT_OF_MEMORY, message))


def not_finite() -> EnvironmentFailure:
    """NOT_FINITE_OUTPUT: it must not pass for an empty mask."""
    message = "the network's output is not finite: its weights do not fit this input"
    return EnvironmentFailure(Problem(Code.NOT_FINITE_OUTPUT, message))


def says_no_memory(error: BaseException) -> bool:
    """Whether an error's own words say so, though its type may not."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)
    )
