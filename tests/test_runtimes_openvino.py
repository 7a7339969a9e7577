"""OpenVINO, and the quantised file in both runtimes that read it: their numbers, their files, what they do beside."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from scipy import ndimage
from studies import Trial

from scanweave.errors import Code, EnvironmentFailure
from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.onnx_network import OnnxNetwork
from scanweave.networks.openvino_network import openvino_run
from scanweave.networks.runtimes import Exported, load_network
from scanweave.networks.weights import Weights
from scanweave.pipeline.bundle import find_bundle

pytest_plugins = ["study_fixtures"]

Shipped = tuple[Weights, dict[str, Exported]]
SAME = 1e-4
"""Of probabilities in float32: sums are taken in another order, exponentials by another formula."""
NEAR = {"bf16": (0.06, 0.002), "int8": (0.4, 0.005)}
"""Of probabilities on smooth images that are no heads, largest and mean: what 8 bits of each number leave."""


@pytest.fixture(scope="module")
def shipped() -> Shipped:
    bundle = find_bundle()
    weights = Weights.of_bundle(bundle.root, bundle.metadata["weights"])
    return weights, Exported.of_bundle(bundle.root, bundle.metadata)


def smooth(*shape: int) -> npt.NDArray[np.float32]:
    """As pictures are: of white noise every network answers nothing."""
    noise = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    soft = ndimage.gaussian_filter(noise, (0, 0, 8, 8))
    return soft / soft.std()


def asked(
    shipped: Shipped, runtime: str, precision: str, batch: npt.NDArray[np.float32], mirror: bool = False
) -> np.ndarray:
    network = load_network(BNUNet, *shipped, runtime, "cpu", precision, mirror)
    if isinstance(network, OnnxNetwork):
        assert (network.runtime, network.precision) == (runtime, precision)
        return network(batch)
    with torch.inference_mode():
        return network(torch.from_numpy(batch)).numpy()


def test_openvino_gives_the_same_numbers(shipped: Shipped) -> None:
    """Batches, sizes one after the other, mirrored and not."""
    for shape, mirror in (((2, 3, 96, 64), False), ((1, 3, 64, 96), True)):
        batch = smooth(*shape)
        expected = asked(shipped, "eager", "fp32", batch, mirror)
        assert expected.std() > 0.01
        np.testing.assert_allclose(asked(shipped, "openvino", "fp32", batch, mirror), expected, rtol=0, atol=SAME)
    network = load_network(BNUNet, *shipped, "openvino", "cpu", "fp32")
    assert [network(smooth(n, 3, *size)).shape for n, size in ((1, (32, 48)), (3, (48, 32)), (1, (32, 48)))] == [
        (1, 1, 32, 48), (3, 1, 48, 32), (1, 1, 32, 48)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("runtime", "precision"), [("openvino", "bf16"), ("openvino", "int8"), ("onnxruntime", "int8")]
)
def test_coarser_numbers_stay_near(shipped: Shipped, runtime: str, precision: str) -> None:
    batch = smooth(2, 3, 96, 64)
    expected = asked(shipped, "eager", "fp32", batch)
    difference = np.abs(asked(shipped, runtime, precision, batch) - expected)
    largest, mean = NEAR[precision]
    assert difference.max() < largest and difference.mean() < mean
    assert difference.max() > SAME, "these are not the coarser numbers"


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_quantised_file_of_other_bytes_is_refused(shipped: Shipped, tmp_path: Path, runtime: str) -> None:
    weights, exported = shipped
    plain, quantised = exported["fp32"], exported["int8"]
    copy = Path(shutil.copy(plain.weights.path, tmp_path / "model_int8.onnx"))
    altered = {"int8": Exported(Weights(copy.name, copy, quantised.weights.sha256), quantised.made_from)}
    with pytest.raises(EnvironmentFailure) as refused:
        load_network(BNUNet, weights, altered, runtime, "cpu", "int8")
    assert refused.value.code is Code.WEIGHTS_ALTERED


def test_quantised_file_is_made_of_these_weights_and_tells_nothing_of_the_machine(shipped: Shipped) -> None:
    weights, exported = shipped
    assert exported["int8"].made_from == weights.sha256
    content = exported["int8"].weights.path.read_bytes()
    assert len(content) < 9_000_000
    kinds = {item.data_type for item in onnx.load_from_string(content).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    assert not any(word in content for word in (b".py", b"site-packages", b"/scanweave", b"/tmp", b"/root", b"/home"))


def test_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(EnvironmentFailure) as refused:
        OnnxNetwork(path, load=openvino_run)(smooth(1, 3, 16, 16))
    assert refused.value.code is Code.WEIGHTS_INVALID


def test_openvino_sends_nothing_home_and_leaves_nothing_at_home(tmp_path: Path) -> None:
    """OpenVINO's own import announces itself over the network and puts a number for its user into the home folder."""
    code = (
        "import sys; heard = []; kinds = ('socket', 'urllib');"
        "sys.addaudithook(lambda event, _: heard.append(event) if event.split('.')[0] in kinds else None);"
        "from scanweave.networks.openvino_network import import_openvino; import_openvino().Core();"
        "import openvino;"
        "print([heard, [name for name in sys.modules if 'telemetry' in name or name.startswith('openvino.tools.')]])"
    )
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("CI", None)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.strip() == "[[], []]"
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("runtime", ["auto", "onnxruntime"])
def test_study_in_int8(trial: Trial, runtime: str) -> None:
    """The shipped network: only its weights were quantised."""
    trial.refused("USAGE", trial.study, "--precision", "int8", exit_code=2)
    options = ("--precision", "int8", "--runtime", runtime, "--outputs", "nifti")
    ran = Trial(trial.root, find_bundle().root).segment(trial.study, *options, "--json")
    assert ran.exit_code == 0, ran.lines
    (result,) = trial.out.glob("*/result.json")
    settings = json.loads(result.read_text())["settings"]
    assert settings["precision"] == "int8"
    assert settings["runtime"] == ("openvino" if runtime == "auto" else "onnxruntime")
