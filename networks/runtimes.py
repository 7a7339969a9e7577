"""What runs a bundle's network: PyTorch as it is written, or a runtime of the CPU where it was exported for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from scanweave.networks.choice import EAGER, FP32, INT8, ONNX, OPENVINO, Means, choose, exported_file
from scanweave.networks.onnx_network import OnnxNetwork, onnxruntime_run, slices_at_once
from scanweave.networks.openvino_network import openvino_run
from scanweave.networks.weights import Weights, check_bytes, load_weights

if TYPE_CHECKING:
    from torch import nn

RECORDS = {FP32: "onnx", INT8: "onnx_int8"}
"""The metadata's names of the exported files, by the numbers that they hold."""
Runnable: TypeAlias = "nn.Module | OnnxNetwork"
"""A PyTorch module on its device, or an exported network, which needs no PyTorch."""


@dataclass(frozen=True)
class Exported:
    """An ONNX file beside a bundle's weights, and the SHA-256 of the weights that it was made from."""

    weights: Weights
    made_from: str

    @classmethod
    def of_bundle(cls, bundle_root: str | Path, metadata: Mapping[str, Any]) -> dict[str, Exported]:
        """The files that the metadata record as `{"file", "sha256", "weights_sha256"}`, by the numbers they hold."""
        found = {}
        for numbers, name in RECORDS.items():
            if record := metadata.get(name):
                path = Path(bundle_root) / record["file"]
                found[numbers] = cls(Weights(path.name, path, record["sha256"]), record["weights_sha256"])
        return found


def load_network(
    definition: Callable[[], nn.Module],
    weights: Weights,
    exported: Mapping[str, Exported],
    runtime: str,
    device: str,
    precision: str,
    mirror: bool = False,
) -> Runnable:
    """The network of `definition` with `weights`, or the same as it was `exported`, in evaluation mode on `device`.

    `choose` decides who computes and in which numbers. An exported file serves where it was made from these weights:
    it computes the same in three quarters of the time, and PyTorch, which `definition` would import, takes two CPU
    seconds to load. With `mirror` a `MirrorAverage`. Where the weights are still to be made, a network that refuses to
    compute: MONAI's checks of a new bundle build it.

    Raises
    ------
    UsageError
        USAGE where the runtime or the precision that is asked for is not to be had.
    EnvironmentFailure
        As `load_weights`; WEIGHTS_MISSING and WEIGHTS_ALTERED for the exported file too; ENVIRONMENT_INCOMPLETE where
        OpenVINO is asked for and not installed.
    """
    if weights.still_to_be_made:
        from scanweave.networks.untrained import Untrained

        return Untrained(weights.path.parent.parent.name)
    fitting = frozenset(numbers for numbers, file in exported.items() if file.made_from == weights.sha256)
    runtime, precision = choose(runtime, precision, Means.here(device, fitting))
    if runtime == EAGER:
        from scanweave.networks.mirror_average import averaged

        return averaged(load_weights(definition(), weights).to(device), mirror)
    file = exported[exported_file(runtime, precision)].weights
    check_bytes(weights)  # no result names weights that are not there
    check_bytes(file)
    load, at_once = {ONNX: (onnxruntime_run, slices_at_once()), OPENVINO: (openvino_run, 1)}[runtime]
    return OnnxNetwork(file.path, mirror, runtime, precision, load, at_once)
