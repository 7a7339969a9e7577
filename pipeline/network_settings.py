"""Which network runs, where and how, whatever it is run for; and what of it goes into a bundle's configuration."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanweave.errors import Code, Problem, UsageError
from scanweave.pipeline.bundle import DEFAULT_BUNDLE

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class NetworkSettings:
    """How a bundle's network runs; each value left at None is the bundle's own choice.

    Attributes
    ----------
    bundle
        A shipped bundle's name, or a bundle's folder.
    weights
        A state dict instead of the bundle's.
    device
        "auto" (a GPU where there is one), "cpu", "cuda:N".
    precision
        Of the network: "auto" (fp16 on a GPU; on a CPU bf16 where it computes that itself and OpenVINO is installed,
        else fp32), "fp32", "bf16", "fp16", or "int8" (on a CPU, where the bundle's own weights were quantised).
    runtime
        What runs the network: "eager" (PyTorch), "onnxruntime" or "openvino" (on a CPU, the bundle's own weights), or
        "auto", which is the fastest of those that can.
    components
        Which connected parts of the mask stay: "likely", "largest" or "all".
    overwrite
        Whether what is already at the place of the results is replaced rather than refused.
    """

    bundle: StrPath = DEFAULT_BUNDLE
    weights: StrPath | None = None
    device: str = "auto"
    precision: str = "auto"
    runtime: str = "auto"
    components: str | None = None
    overwrite: bool = False


def network_overrides(settings: NetworkSettings) -> dict[str, Any]:
    """The configuration's entries that `settings` decide.

    MONAI evaluates every string that begins with $ and resolves every @: what a user typed goes in as an object,
    or as one of a few known words.

    Raises
    ------
    UsageError, EnvironmentFailure
        USAGE for a word that is none of the known, DEVICE_UNAVAILABLE.
    """
    from scanweave.networks.choice import check_network_precision, check_runtime
    from scanweave.pipeline.device import choose_device
    from scanweave.transforms.keep_components import check_rule

    overrides: dict[str, Any] = {
        "overwrite": settings.overwrite,
        "device": choose_device(settings.device),
        "precision": check_network_precision(settings.precision),
        "runtime": check_runtime(settings.runtime),
        "weights_file": None if settings.weights is None else Path(expanded(settings.weights)),
    }
    if settings.components is not None:
        overrides["components"] = check_rule(settings.components)
    return overrides


def expanded(path: StrPath) -> str:
    """`path` with a leading ~ as the home folder; USAGE for an empty one, which is somebody's unset variable."""
    if not os.fspath(path):
        raise UsageError(Problem(Code.USAGE, "expected a path, found an empty text"))
    return os.path.expanduser(path)  # noqa: PTH111 (Path's raises where the user is unknown, and drops "./")
