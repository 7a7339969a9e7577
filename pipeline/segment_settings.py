"""How a study is segmented, and what of it goes into a bundle's configuration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanweave.errors import Code, Problem, UsageError
from scanweave.pipeline.bundle import DEFAULT_BUNDLE

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class SegmentSettings:
    """How a study is segmented; each value left at None is the bundle's own choice.

    Attributes
    ----------
    bundle
        A shipped bundle's name, or a bundle's folder.
    weights
        A state dict instead of the bundle's.
    device
        "auto" (a GPU where there is one), "cpu", "cuda:N".
    precision
        Of the network: "auto" (fp16 on a GPU, fp32 on a CPU), "fp32", "bf16", "fp16".
    outputs
        The files to write, "nifti,probability" or a sequence of names; without an output folder none is.
    components
        Which connected parts of the mask stay: "largest" or "all".
    overwrite
        Whether an existing result is replaced rather than refused.
    phi
        Whether the names and files of a result may hold UIDs instead of keyed hashes.
    """

    bundle: StrPath = DEFAULT_BUNDLE
    weights: StrPath | None = None
    device: str = "auto"
    precision: str = "auto"
    outputs: str | Sequence[str] | None = None
    components: str | None = None
    overwrite: bool = False
    phi: bool = False


def overrides_of(settings: SegmentSettings) -> dict[str, Any]:
    """The configuration's entries that `settings` decide.

    MONAI evaluates every string that begins with $ and resolves every @: what a user typed goes in as an object,
    or as one of a few known words.

    Raises
    ------
    UsageError, EnvironmentFailure
        USAGE for a word that is none of the known, DEVICE_UNAVAILABLE.
    """
    from scanweave.pipeline.outputs import parse_outputs

    outputs = parse_outputs(settings.outputs)  # a mistyped word is told before torch is loaded
    from scanweave.pipeline.device import check_precision, choose_device
    from scanweave.transforms.keep_components import check_rule

    overrides: dict[str, Any] = {
        "outputs": outputs,
        "overwrite": settings.overwrite,
        "phi": settings.phi,
        "device": choose_device(settings.device),
        "precision": check_precision(settings.precision),
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
