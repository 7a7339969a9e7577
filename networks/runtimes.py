"""What runs a bundle's network: PyTorch as it is written, or ONNX Runtime where it was exported for the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from scanweave.errors import Code, Problem, UsageError
from scanweave.networks.onnx_network import OnnxNetwork
from scanweave.networks.weights import Weights, check_bytes, load_weights

if TYPE_CHECKING:
    from torch import nn

AUTO, EAGER, ONNX = "auto", "eager", "onnxruntime"
RUNTIMES = (AUTO, EAGER, ONNX)
EXPORTED_PRECISION = "fp32"
Runnable: TypeAlias = "nn.Module | OnnxNetwork"
"""A PyTorch module on its device, or an exported network, which needs no PyTorch."""


@dataclass(frozen=True)
class Exported:
    """An ONNX file beside a bundle's weights, and the SHA-256 of the weights that it was made from."""

    weights: Weights
    made_from: str

    @classmethod
    def of_bundle(cls, bundle_root: str | Path, record: Mapping[str, str] | None) -> Exported | None:
        """The file that the metadata records as `{"file", "sha256", "weights_sha256"}`; None without a record."""
        if record is None:
            return None
        path = Path(bundle_root) / record["file"]
        return cls(Weights(path.name, path, record["sha256"]), record["weights_sha256"])


def check_runtime(name: str) -> str:
    """`name` where it is one of `RUNTIMES`; USAGE otherwise."""
    if name not in RUNTIMES:
        raise UsageError(Problem(Code.USAGE, f"--runtime: expected one of {', '.join(RUNTIMES)}, got {name!r}"))
    return name


def load_network(
    definition: Callable[[], nn.Module],
    weights: Weights,
    exported: Exported | None,
    runtime: str,
    device: str,
    precision: str,
    mirror: bool = False,
) -> Runnable:
    """The network of `definition` with `weights`, or the same as it was `exported`, in evaluation mode on `device`.

    `auto` takes the exported file on a CPU in float32 (`precision` as resolved, not "auto"), if it was made from these
    weights: it computes the same in three quarters of the time, and PyTorch, which `definition` would import, takes
    two CPU seconds to load. With `mirror` a `MirrorAverage`.

    Raises
    ------
    UsageError
        USAGE where the runtime that is asked for cannot do that.
    EnvironmentFailure
        As `load_weights`; WEIGHTS_MISSING and WEIGHTS_ALTERED for the exported file too.
    """
    fits = exported is not None and exported.made_from == weights.sha256
    able = fits and device == "cpu" and precision == EXPORTED_PRECISION
    if check_runtime(runtime) == ONNX and not able:
        needs = f"needs --device cpu, {EXPORTED_PRECISION} and weights that were exported (scripts/export-onnx)"
        raise UsageError(Problem(Code.USAGE, f"--runtime {ONNX}: {needs}"))
    if exported is not None and able and runtime != EAGER:
        check_bytes(weights)  # no result names weights that are not there
        check_bytes(exported.weights)
        return OnnxNetwork(exported.weights.path, mirror)
    from scanweave.networks.mirror_average import averaged

    return averaged(load_weights(definition(), weights).to(device), mirror)
