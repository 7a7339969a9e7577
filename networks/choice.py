"""Who computes a bundle's network, and in which numbers: the one table, decided on plain facts."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from scanweave.errors import Code, EnvironmentFailure, Problem, UsageError

AUTO, EAGER, ONNX, OPENVINO = "auto", "eager", "onnxruntime", "openvino"
RUNTIMES = (AUTO, EAGER, ONNX, OPENVINO)
TENSORRT = "tensorrt"
"""Asked for by a bundle's inference_trt.json, not by name."""
NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"
"""Set before ONNX Runtime is imported (`import_onnxruntime`)."""
FP32, BF16, FP16, INT8 = "fp32", "bf16", "fp16", "int8"
PRECISIONS = (AUTO, FP32, BF16, FP16, INT8)
NATIVE_BF16 = frozenset({"avx512_bf16", "amx_bf16"})
"""Flags of /proc/cpuinfo. Without them bf16 is float32 cut short after each layer: six times slower, not faster."""
_FILES = {ONNX: {FP32: FP32, INT8: INT8}, OPENVINO: {FP32: FP32, BF16: FP32, INT8: INT8}}
"""What an exported network's runtimes compute, and from which of its files."""
_PREFERRED = {FP32: (ONNX, EAGER), BF16: (OPENVINO, EAGER), FP16: (EAGER,), INT8: (OPENVINO, ONNX)}
"""For `auto`, the first that can (docs/precision.md has the measurements)."""


@dataclass(frozen=True)
class Means:
    """What there is to choose from.

    Attributes
    ----------
    cpu
        Whether the CPU computes, not a GPU.
    native_bf16
        Whether it computes in bf16 itself.
    openvino
        Whether OpenVINO is installed.
    files
        Which exported files were made from these weights: "fp32", "int8".
    """

    cpu: bool
    native_bf16: bool
    openvino: bool
    files: frozenset[str]

    @classmethod
    def here(cls, device: str, files: frozenset[str]) -> Means:
        """Of this machine; imports nothing."""
        return cls(device == "cpu", native_bf16(), find_spec(OPENVINO) is not None, files)


def choose(runtime: str, precision: str, means: Means) -> tuple[str, str]:
    """(runtime, precision) for what was asked. On a GPU "auto" stays "auto": that is for PyTorch to say.

    Raises
    ------
    UsageError
        USAGE for a runtime that cannot do what was asked, or int8 of a network that was not quantised.
    EnvironmentFailure
        ENVIRONMENT_INCOMPLETE where OpenVINO is asked for by name and not installed.
    """
    check_runtime(runtime)
    check_network_precision(precision)
    fast_bf16 = _able(OPENVINO, BF16, means) and means.openvino and means.native_bf16
    if precision == AUTO and means.cpu:
        precision = BF16 if fast_bf16 and runtime in (AUTO, OPENVINO) else FP32
    if runtime == AUTO:
        willing = {EAGER: True, ONNX: True, OPENVINO: means.openvino and (precision != BF16 or fast_bf16)}
        able = [name for name in _PREFERRED.get(precision, (EAGER,)) if willing[name] and _able(name, precision, means)]
        if able:
            return able[0], precision
        message = f"--precision {INT8}: needs --device cpu and weights that were quantised (scripts/quantize-onnx)"
        raise UsageError(Problem(Code.USAGE, message))
    if not _able(runtime, precision, means):
        raise UsageError(Problem(Code.USAGE, f"--runtime {runtime}: {_needs(runtime)}, got {precision}"))
    if runtime == OPENVINO and not means.openvino:
        message = "--runtime openvino: OpenVINO is not installed: pip install 'scanweave[openvino]'"
        raise EnvironmentFailure(Problem(Code.ENVIRONMENT_INCOMPLETE, message))
    return runtime, precision


def exported_file(runtime: str, precision: str) -> str:
    """Which of the exported files, "fp32" or "int8", a runtime (not PyTorch) takes for a precision."""
    return _FILES[runtime][precision]


def check_runtime(name: str) -> str:
    """`name` where it is one of `RUNTIMES`; USAGE otherwise."""
    return _one_of("--runtime", name, RUNTIMES)


def check_network_precision(name: str) -> str:
    """`name` where it is one of `PRECISIONS`; USAGE otherwise."""
    return _one_of("--precision", name, PRECISIONS)


def native_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU multiplies bf16 itself; False where the system does not say."""
    try:
        flags = cpuinfo.read_text().partition("flags")[2].partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return False
    return not NATIVE_BF16.isdisjoint(flags.split())


def _able(runtime: str, precision: str, means: Means) -> bool:
    """Whether it could, where it is installed."""
    if runtime == EAGER:
        return precision != INT8
    return means.cpu and _FILES[runtime].get(precision) in means.files


def _needs(runtime: str) -> str:
    if runtime == EAGER:
        return f"computes any precision but {INT8}"
    return f"needs --device cpu, {' or '.join(_FILES[runtime])}, and weights exported for that (scripts/export-onnx)"


def _one_of(option: str, name: str, known: tuple[str, ...]) -> str:
    if name not in known:
        raise UsageError(Problem(Code.USAGE, f"{option}: expected one of {', '.join(known)}, got {name!r}"))
    return name
