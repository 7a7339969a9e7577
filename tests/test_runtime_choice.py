"""Who computes the network, and in which numbers: each row of the table, on machines that need not be this one."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import pytest
from studies import Trial

from scanweave.errors import Code, EnvironmentFailure, UsageError
from scanweave.networks import choice
from scanweave.networks.choice import Means, choose, native_bf16
from scanweave.pipeline.bundle import find_bundle
from scanweave.pipeline.doctor import software
from scanweave.pipeline.doctor.check import State
from scanweave.pipeline.doctor.software import check_openvino

pytest_plugins = ["study_fixtures"]

BOTH, PLAIN, NONE = frozenset({"fp32", "int8"}), frozenset({"fp32"}), frozenset[str]()
USUAL = Means(cpu=True, native_bf16=False, openvino=True, files=BOTH)
BARE = Means(cpu=True, native_bf16=False, openvino=False, files=BOTH)
NATIVE = Means(cpu=True, native_bf16=True, openvino=True, files=BOTH)
NATIVE_BARE = Means(cpu=True, native_bf16=True, openvino=False, files=BOTH)
OWN_WEIGHTS = Means(cpu=True, native_bf16=True, openvino=True, files=NONE)
NOT_QUANTISED = Means(cpu=True, native_bf16=True, openvino=True, files=PLAIN)
GPU = Means(cpu=False, native_bf16=True, openvino=True, files=BOTH)

TABLE = [
    # by itself
    (USUAL, "auto", "auto", "onnxruntime fp32"),
    (BARE, "auto", "auto", "onnxruntime fp32"),
    (NATIVE, "auto", "auto", "openvino bf16"),
    (NATIVE_BARE, "auto", "auto", "onnxruntime fp32"),
    (NOT_QUANTISED, "auto", "auto", "openvino bf16"),
    (OWN_WEIGHTS, "auto", "auto", "eager fp32"),
    (GPU, "auto", "auto", "eager auto"),
    # float32 stays float32
    (NATIVE, "auto", "fp32", "onnxruntime fp32"),
    (OWN_WEIGHTS, "auto", "fp32", "eager fp32"),
    (GPU, "auto", "fp32", "eager fp32"),
    # bf16: never emulated unless OpenVINO is named too
    (NATIVE, "auto", "bf16", "openvino bf16"),
    (USUAL, "auto", "bf16", "eager bf16"),
    (NATIVE_BARE, "auto", "bf16", "eager bf16"),
    (OWN_WEIGHTS, "auto", "bf16", "eager bf16"),
    (USUAL, "openvino", "bf16", "openvino bf16"),
    (GPU, "auto", "bf16", "eager bf16"),
    (NATIVE, "auto", "fp16", "eager fp16"),
    # int8
    (USUAL, "auto", "int8", "openvino int8"),
    (BARE, "auto", "int8", "onnxruntime int8"),
    (USUAL, "onnxruntime", "int8", "onnxruntime int8"),
    (USUAL, "eager", "int8", Code.USAGE),
    (NOT_QUANTISED, "auto", "int8", Code.USAGE),
    (NOT_QUANTISED, "onnxruntime", "int8", Code.USAGE),
    (NOT_QUANTISED, "openvino", "int8", Code.USAGE),
    (OWN_WEIGHTS, "auto", "int8", Code.USAGE),
    (GPU, "auto", "int8", Code.USAGE),
    # a runtime by name
    (USUAL, "openvino", "auto", "openvino fp32"),
    (NATIVE, "openvino", "auto", "openvino bf16"),
    (NATIVE, "openvino", "fp32", "openvino fp32"),
    (NATIVE, "onnxruntime", "auto", "onnxruntime fp32"),
    (NATIVE, "eager", "auto", "eager fp32"),
    (NATIVE, "onnxruntime", "bf16", Code.USAGE),
    (NATIVE, "openvino", "fp16", Code.USAGE),
    (OWN_WEIGHTS, "openvino", "auto", Code.USAGE),
    (OWN_WEIGHTS, "onnxruntime", "auto", Code.USAGE),
    (GPU, "openvino", "auto", Code.USAGE),
    (GPU, "onnxruntime", "auto", Code.USAGE),
    (BARE, "openvino", "auto", Code.ENVIRONMENT_INCOMPLETE),
    (BARE, "openvino", "int8", Code.ENVIRONMENT_INCOMPLETE),
    # words that nobody knows
    (USUAL, "abacus", "auto", Code.USAGE),
    (USUAL, "auto", "int4", Code.USAGE),
]


@pytest.mark.parametrize(("means", "runtime", "precision", "expected"), TABLE)
def test_who_computes(means: Means, runtime: str, precision: str, expected: str | Code) -> None:
    if not isinstance(expected, Code):
        assert " ".join(choose(runtime, precision, means)) == expected
        return
    with pytest.raises((UsageError, EnvironmentFailure)) as refused:
        choose(runtime, precision, means)
    assert refused.value.code is expected
    assert refused.value.exit_code == (2 if expected is Code.USAGE else 5)


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("fpu avx2 avx512f avx512_vnni", False),
        ("fpu avx512f avx512_bf16 amx_tile", True),
        ("fpu amx_bf16 amx_int8", True),
        ("fpu xavx512_bf16", False),
    ],
)
def test_bf16_is_read_off_the_processor(tmp_path: Path, flags: str, native: bool) -> None:
    (tmp_path / "cpuinfo").write_text(
        f"processor\t: 0\nmodel name\t: amx_bf16\nflags\t\t: {flags}\nbugs\t\t: amx_bf16\n"
    )
    assert native_bf16(tmp_path / "cpuinfo") is native
    assert native_bf16(tmp_path / "absent") is False


def test_doctor_names_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (check_openvino().state, check_openvino().found) == (State.OK, version("openvino"))
    monkeypatch.setattr("importlib.metadata.version", _none)
    for native, state in ((False, State.OK), (True, State.WARNING)):
        monkeypatch.setattr(software, "native_bf16", lambda native=native: native)
        assert check_openvino().state is state
        assert ("scanweave[openvino]" in check_openvino().remedy) is native


def _none(name: str) -> str:
    raise PackageNotFoundError(name)


def test_openvino_that_is_not_there(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name: one line that says what to install."""
    ran = trial.refused("USAGE", trial.study, "--runtime", "openvino", exit_code=2)
    assert "--runtime openvino" in ran.lines[0], "weights that were not exported come first"
    monkeypatch.setattr(choice, "find_spec", lambda name: None if name == "openvino" else find_spec(name))
    exported = Trial(trial.root, find_bundle().root)
    ran = exported.refused("ENVIRONMENT_INCOMPLETE", exported.study, "--runtime", "openvino", exit_code=5)
    assert "pip install 'scanweave[openvino]'" in ran.lines[0]
