"""TensorRT as far as a machine without it goes: its overlay, where engines lie, and what is refused.

What an engine computes waits for a GPU (docs/pending-gpu.md).
"""

import importlib.util
import json
import stat
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from answering_networks import answering
from monai.bundle import ConfigParser
from monai.networks.trt_compiler import TrtCompiler
from studies import without_privilege

from scanweave.errors import Code, EnvironmentFailure
from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.encoders import EncoderUNet
from scanweave.networks.export import SAME
from scanweave.networks.mirror_average import MirrorAverage
from scanweave.networks.onnx_network import import_onnxruntime
from scanweave.networks.trt import PACKAGES, Machine, TrtNetwork, cache_folder, engine_place, tensorrt_version
from scanweave.pipeline.bundle import INFERENCE_CONFIG, METADATA_FILE, find_bundle, refusal_within
from scanweave.pipeline.containers import SliceInferer
from scanweave.pipeline.inference import Inference
from scanweave.transforms.image import Image

BUNDLE = find_bundle()
OVERLAY = INFERENCE_CONFIG.with_name("inference_trt.json")
GPU = Machine("NVIDIA H200", (9, 0), "10.9.0.34")
SETTINGS = {"precision": "fp16", "method": "onnx", "dynamic_batchsize": [1, 32, 32]}
SHA256, SIZE = "0123456789abcdef" * 4, (256, 256)


def merged(**changes: Any) -> ConfigParser:
    """As `monai.bundle run --config_file "['inference.json', 'inference_trt.json']"` reads them."""
    parser = ConfigParser()
    parser.read_config([str(BUNDLE.root / INFERENCE_CONFIG), str(BUNDLE.root / OVERLAY)])
    parser.read_meta(str(BUNDLE.root / METADATA_FILE))
    parser.update({"output_dir": None, **changes})
    return parser


def test_the_overlay_changes_the_network_alone() -> None:
    plain = json.loads((BUNDLE.root / INFERENCE_CONFIG).read_text())
    both = merged().get()
    assert both["imports"][: len(plain["imports"])] == plain["imports"]
    assert "$from monai.networks import trt_compile" in both["imports"]
    changed = {key for key, value in plain.items() if both[key] != value} - {"imports", "output_dir"}
    assert changed == {"network"} and "trt_compile(" in both["trt_network"]
    assert set(both) - set(plain) == {"_meta_", "trt_args", "trt_base", "trt_network"}


def test_its_arguments_are_those_of_the_compiler(tmp_path: Path) -> None:
    parser = merged()
    arguments = parser.get_parsed_content("trt_args")
    batch = parser.get_parsed_content("inferer").sw_batch_size
    assert arguments["dynamic_batchsize"] == [1, batch, batch]
    compiler = TrtCompiler(BNUNet(features=2), str(tmp_path / "x.plan"), **arguments)
    assert (compiler.precision, compiler.input_names, compiler.fallback) == ("fp16", ["x"], False)


def test_without_a_gpu_it_is_refused() -> None:
    """Where MONAI's own overlay would run PyTorch without a word."""
    with pytest.raises(Exception) as failure:
        merged(device="cpu").get_parsed_content("network")
    refusal = refusal_within(failure.value)
    assert isinstance(refusal, EnvironmentFailure) and refusal.code is Code.DEVICE_UNAVAILABLE
    assert "inference_trt.json" in str(refusal)


def test_without_tensorrt_it_is_refused() -> None:
    missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if not missing:
        assert tensorrt_version() == version("tensorrt")
        return
    with pytest.raises(EnvironmentFailure) as refusal:
        tensorrt_version()
    assert refusal.value.code is Code.ENVIRONMENT_INCOMPLETE
    assert all(package in str(refusal.value) for package in missing) and "scanweave[tensorrt]" in str(refusal.value)


def test_engines_lie_by_weights_gpu_and_version(tmp_path: Path) -> None:
    place = engine_place(tmp_path, GPU, SHA256, SETTINGS, SIZE)
    assert place.parent == tmp_path / SHA256[:16] / "NVIDIA-H200_sm90_tensorrt-10.9.0.34"
    assert place.name.startswith("fp16_256x256_") and not place.exists()
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert engine_place(tmp_path, GPU, SHA256, dict(reversed(SETTINGS.items())), list(SIZE)) == place
    others = [
        engine_place(tmp_path, replace(GPU, gpu="NVIDIA A100"), SHA256, SETTINGS, SIZE),
        engine_place(tmp_path, replace(GPU, capability=(8, 0)), SHA256, SETTINGS, SIZE),
        engine_place(tmp_path, replace(GPU, tensorrt="10.3.0"), SHA256, SETTINGS, SIZE),
        engine_place(tmp_path, GPU, SHA256[::-1], SETTINGS, SIZE),
        engine_place(tmp_path, GPU, SHA256, {**SETTINGS, "precision": "bf16"}, SIZE),
        engine_place(tmp_path, GPU, SHA256, {**SETTINGS, "dynamic_batchsize": [1, 8, 8]}, SIZE),
        engine_place(tmp_path, GPU, SHA256, SETTINGS, (256, 320)),
    ]
    assert len({place, *others}) == 1 + len(others)
    strange = engine_place(tmp_path, Machine("../../x $(y)", (7, 5), "10/../.."), SHA256, SETTINGS, SIZE)
    assert strange.parent.parent == tmp_path / SHA256[:16] and "/" not in strange.parent.name


def test_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "scanweave" / "tensorrt"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "scanweave" / "tensorrt"


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(EnvironmentFailure) as refusal:
        engine_place(tmp_path / "file", GPU, SHA256, SETTINGS, SIZE)
    assert refusal.value.code is Code.OUTPUT_UNWRITABLE and "XDG_CACHE_HOME" in str(refusal.value)
    closed = tmp_path / "closed"
    engine_place(closed, GPU, SHA256, SETTINGS, SIZE).parent.chmod(0o500)
    code = (
        "import sys; from pathlib import Path; from scanweave.networks.trt import Machine, engine_place\n"
        "try: engine_place(Path(sys.argv[1]), Machine('NVIDIA H200', (9, 0), '10.9.0.34'), sys.argv[2],"
        " {'precision': 'fp16'}, (256, 256))\n"
        "except Exception as refusal: print(refusal.code)"
    )
    command = without_privilege(sys.executable, "-c", code, str(closed), SHA256)
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "OUTPUT_UNWRITABLE\n"


# --- the network around an engine -------------------------------------------------------------------------------------


class Exporting(TrtCompiler):
    """MONAI's compiler up to TensorRT, which gets an ONNX file: that file is kept as the engine."""

    def _onnx_to_trt(self, onnx_path: str) -> bytes:
        whole: bytes = onnx.load(onnx_path).SerializeToString()
        return whole


@pytest.mark.parametrize("name", ["bn_unet", "efficientnet-b0"])
def test_what_tensorrt_would_get_is_the_network(name: str, tmp_path: Path) -> None:
    """Built within the chain's autocast, as on a GPU; any number of slices up to the batch."""
    network = answering((lambda: BNUNet(features=4)) if name == "bn_unet" else lambda: EncoderUNet(name))
    slices = torch.randn(4, 3, 64, 64)
    with torch.inference_mode():
        expected = network(slices).numpy()
    base = engine_place(tmp_path, GPU, SHA256, SETTINGS, (64, 64))
    compiler = Exporting(network, f"{base}.plan", precision="fp16", dynamic_batchsize=[1, 4, 4])

    class Building(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            compiler._build_and_save(network, {"x": x})
            return x

    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        TrtNetwork(Building(), "fp16", "cpu")(slices)
    (engine,) = base.parent.iterdir()
    assert engine.name == f"{base.name}.plan"
    session = import_onnxruntime().InferenceSession(engine, providers=["CPUExecutionProvider"])
    assert expected.std() > 0.1
    for count in (1, 3, 4):
        (found,) = session.run(None, {"x": slices[:count].numpy()})
        np.testing.assert_allclose(found, expected[:count], rtol=0, atol=SAME)


def test_a_result_names_what_computed() -> None:
    network = TrtNetwork(MirrorAverage(BNUNet(features=2)).eval(), "tf32", "cpu")
    image = Image(np.random.default_rng(0).standard_normal((3, 32, 32, 2)).astype(np.float32), np.eye(4))
    done = Inference(network, SliceInferer((32, 32), sw_batch_size=2), "cpu", "auto")(image)
    assert (done.runtime, done.precision, done.mirror) == ("tensorrt", "tf32", True)


def test_an_engine_gets_nothing_that_is_not_on_its_gpu() -> None:
    """Where the GPU's memory is full the chain would go on with tensors of the CPU, whose addresses mean nothing."""
    with pytest.raises(EnvironmentFailure) as refusal:
        TrtNetwork(BNUNet(features=2), "fp16", "cuda:0")(torch.zeros(1, 3, 16, 16))
    assert refusal.value.code is Code.OUT_OF_MEMORY


@pytest.mark.gpu
def test_an_engine_gives_the_networks_mask(
    phantom_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Needs TensorRT; not run where scanweave was written."""
    pytest.importorskip("tensorrt")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plain = "$load_network(lambda: @network_def, @weights, {}, 'eager', @processor, 'auto')"
    found = {}
    for name, parser in (
        ("tensorrt", merged(dataset_dir=str(phantom_study))),
        ("eager", merged(dataset_dir=str(phantom_study), network=plain)),
    ):
        (found[name],) = parser.get_parsed_content("evaluator").run()
    masks = {name: done["segmentation"].array > 0 for name, done in found.items()}
    assert found["tensorrt"]["computed"]["runtime"] == "tensorrt"
    both = (masks["tensorrt"] & masks["eager"]).sum()
    assert 2 * both / (masks["tensorrt"].sum() + masks["eager"].sum()) > 0.99
    assert len(list((tmp_path / "cache").rglob("*.plan"))) == 1
