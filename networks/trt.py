"""TensorRT on an NVIDIA GPU: whether it is there, where its engines are kept, and how a result names it.

MONAI's `trt_compile` builds an engine from a network at its first slices, and takes it from the disk from then on. It
does nothing where TensorRT is missing, keeps engines beside the weights, and takes one of another GPU or version for
its own: hence this.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scanweave.errors import FULL_DISK, Code, EnvironmentFailure, Problem
from scanweave.networks.choice import TENSORRT
from scanweave.networks.weights import Weights

PACKAGES = {
    "tensorrt": "tensorrt",
    "polygraphy": "polygraphy",
    "cuda": "cuda-python",
    "onnx": "onnx",
    "onnxscript": "onnxscript",
}
"""What `trt_compile` imports, and which package brings it."""
_PRIVATE = 0o700
"""An engine is code: nobody else puts one here."""
_DIGITS = 16


@dataclass(frozen=True)
class Machine:
    """What an engine is built for, and of no use without."""

    gpu: str
    capability: tuple[int, int]
    tensorrt: str

    @classmethod
    def here(cls, device: str) -> Machine:
        """Of a device of this machine.

        Raises
        ------
        EnvironmentFailure
            DEVICE_UNAVAILABLE where it is no NVIDIA GPU; ENVIRONMENT_INCOMPLETE where TensorRT is not installed.
        """
        if not str(device).startswith("cuda") or torch.version.cuda is None:
            message = f"TensorRT needs an NVIDIA GPU, got {device}: leave inference_trt.json out"
            raise EnvironmentFailure(Problem(Code.DEVICE_UNAVAILABLE, message))
        version = tensorrt_version()
        return cls(torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device), version)


def tensorrt_version() -> str:
    """ENVIRONMENT_INCOMPLETE where it, or what it is built by, is not installed."""
    missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        message = f"TensorRT needs {', '.join(missing)}: pip install 'scanweave[tensorrt]'"
        raise EnvironmentFailure(Problem(Code.ENVIRONMENT_INCOMPLETE, message))
    return importlib.metadata.version(TENSORRT)


def engine_base(weights: Weights, device: str, settings: Mapping[str, Any], size: Sequence[int]) -> str:
    """Where `trt_compile` is to keep the engine of this network here, without its suffix; refusals as `Machine.here`
    and `engine_place`. `settings` are what it is called with, `size` the rows and columns of a slice."""
    return str(engine_place(cache_folder(), Machine.here(device), weights.sha256, settings, size))


def engine_place(
    cache: Path, machine: Machine, weights_sha256: str, settings: Mapping[str, Any], size: Sequence[int]
) -> Path:
    """`cache`/<weights>/<GPU and TensorRT>/<precision, size, settings>, in a folder that is there and can be written.

    Raises
    ------
    EnvironmentFailure
        OUTPUT_UNWRITABLE, DISK_FULL.
    """
    major, minor = machine.capability
    built_for = f"{_plain(machine.gpu)}_sm{major}{minor}_tensorrt-{_plain(machine.tensorrt)}"
    folder = cache / weights_sha256[:_DIGITS] / built_for
    told = hashlib.sha256(json.dumps([settings, list(size)], sort_keys=True, default=str).encode()).hexdigest()
    try:
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        full = error.errno in FULL_DISK
        message = "the disk is full" if full else _no_cache(error.strerror or type(error).__name__)
        code = Code.DISK_FULL if full else Code.OUTPUT_UNWRITABLE
        raise EnvironmentFailure(Problem(code, message, str(folder))) from error
    rows, columns = size
    return folder / f"{settings['precision']}_{rows}x{columns}_{told[:8]}"


def cache_folder() -> Path:
    """The user's own for engines, which XDG_CACHE_HOME moves; OUTPUT_UNWRITABLE for a user without a home."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache").absolute() / "scanweave" / TENSORRT
    except RuntimeError as error:
        message = _no_cache("this user has no home folder")
        raise EnvironmentFailure(Problem(Code.OUTPUT_UNWRITABLE, message)) from error


def _no_cache(reason: str) -> str:
    return f"expected a cache for engines ({reason}): set XDG_CACHE_HOME"


class TrtNetwork(torch.nn.Module):
    """A network that `trt_compile` has seen to: (N, C, H, W) to (N, out, H, W) probabilities, in a `precision`.

    Autocast, in which the chain runs networks on a GPU, stays outside: its conversions would become part of the engine.
    """

    runtime = TENSORRT

    def __init__(self, network: torch.nn.Module, precision: str, device: str) -> None:
        super().__init__()
        self.network = network
        self.precision, self.device = precision, torch.device(device)
        self.mirror = bool(getattr(network, "mirror", False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities, 0..1.

        Raises
        ------
        EnvironmentFailure
            OUT_OF_MEMORY where the CPU is to take over: an engine has no use for what does not lie on its GPU.
        """
        if x.device.type != self.device.type:
            message = f"{self.device} has too little memory for TensorRT: leave inference_trt.json out"
            raise EnvironmentFailure(Problem(Code.OUT_OF_MEMORY, message))
        with torch.autocast(x.device.type, enabled=False):
            probabilities: torch.Tensor = self.network(x.float())
        return probabilities


def _plain(name: str) -> str:
    """For a file's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")
