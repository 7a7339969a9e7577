"""One network, run by PyTorch or by ONNX Runtime: the same numbers, from bytes that are the recorded ones."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SliceInferer
from onnx import numpy_helper
from studies import Trial, run

from scanweave.errors import Code, EnvironmentFailure, UsageError
from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.mirror_average import averaged
from scanweave.networks.onnx_network import OnnxNetwork
from scanweave.networks.runtimes import Exported, load_network, runtime_of
from scanweave.networks.weights import Weights
from scanweave.pipeline.bundle import METADATA_FILE, find_bundle
from scanweave.pipeline.inference import Inference

pytest_plugins = ["study_fixtures"]

CPU = torch.device("cpu")
SAME = 1e-5
"""Of probabilities: sums are taken in another order."""


@pytest.fixture(scope="module")
def shipped() -> tuple[Weights, Exported]:
    bundle = find_bundle()
    exported = Exported.of_bundle(bundle.root, bundle.metadata["onnx"])
    assert exported is not None
    return Weights.of_bundle(bundle.root, bundle.metadata["weights"]), exported


def test_both_runtimes_compute_the_same(shipped: tuple[Weights, Exported]) -> None:
    weights, exported = shipped
    fast = load_network(BNUNet(), weights, exported, "auto", CPU, "fp32")
    plain = load_network(BNUNet(), weights, exported, "eager", CPU, "fp32")
    assert (runtime_of(fast), runtime_of(plain)) == ("onnxruntime", "eager")
    images = torch.rand(2, 3, 96, 64, generator=torch.Generator().manual_seed(1)) * 4 - 1
    with torch.inference_mode():
        found, expected = fast(images), plain(images)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=0, atol=SAME)
    with torch.inference_mode():
        assert torch.equal(fast(images[:, :, :64]), fast(images[:, :, :64])), "any multiple of 16, the same each time"


def test_slices_of_a_volume_pass_through_it(shipped: tuple[Weights, Exported]) -> None:
    weights, exported = shipped
    network = averaged(load_network(BNUNet(), weights, exported, "auto", CPU, "fp32"), True)
    assert runtime_of(network) == "onnxruntime"
    heard: list[float] = []
    inferer = SliceInferer(roi_size=(64, 64), spatial_dim=2, sw_batch_size=2)
    done = Inference(network, inferer, CPU, "auto")(MetaTensor(torch.rand(3, 64, 64, 3)), heard.append)
    assert done.probabilities.shape == (1, 64, 64, 3) and heard[-1] == 1.0


def test_exported_file_holds_the_weights_and_nothing_of_the_machine(shipped: tuple[Weights, Exported]) -> None:
    weights, exported = shipped
    assert exported.made_from == weights.sha256
    content = exported.weights.path.read_bytes()
    state = torch.load(weights.path, weights_only=True)
    model = onnx.load_from_string(content)
    stored = {item.name.removesuffix("_half"): numpy_helper.to_array(item) for item in model.graph.initializer}
    assert set(stored) == {name for name in state if not name.endswith("num_batches_tracked")}
    assert all(np.array_equal(values.astype(np.float32), state[name].float()) for name, values in stored.items())
    assert not any(word in content for word in (b".py", b"site-packages", b"/scanweave"))


def test_weights_of_another_kind_run_in_pytorch(shipped: tuple[Weights, Exported], tmp_path: Path) -> None:
    weights, exported = shipped
    state = torch.load(weights.path, weights_only=True)
    state["conv.bias"] = state["conv.bias"] + 1
    torch.save(state, tmp_path / "own.pt")
    own = Weights.of_file(tmp_path / "own.pt")
    assert runtime_of(load_network(BNUNet(), own, exported, "auto", CPU, "fp32")) == "eager"
    assert runtime_of(load_network(BNUNet(), weights, None, "auto", CPU, "fp32")) == "eager"
    assert runtime_of(load_network(BNUNet(), weights, exported, "auto", CPU, "bf16")) == "eager"
    unable = [(own, exported, "fp32"), (weights, None, "fp32"), (weights, exported, "bf16")]
    for which, file, precision in unable:
        with pytest.raises(UsageError):
            load_network(BNUNet(), which, file, "onnxruntime", CPU, precision)
    with pytest.raises(UsageError):
        load_network(BNUNet(), weights, exported, "abacus", CPU, "fp32")


@pytest.mark.parametrize("damage", ["onnx", "weights", "absent"])
def test_bytes_that_are_not_the_recorded_ones_are_refused(
    shipped: tuple[Weights, Exported], tmp_path: Path, damage: str
) -> None:
    copies = []
    for original in (shipped[0], shipped[1].weights):
        path = Path(shutil.copy(original.path, tmp_path / original.path.name))
        copies.append(Weights(original.name, path, original.sha256))
    weights, exported = copies[0], Exported(copies[1], shipped[1].made_from)
    assert runtime_of(load_network(BNUNet(), weights, exported, "auto", CPU, "fp32")) == "onnxruntime"
    spoiled = weights.path if damage == "weights" else exported.weights.path
    if damage == "absent":
        spoiled.unlink()
    else:
        spoiled.write_bytes(spoiled.read_bytes()[:-1] + b"x")
    with pytest.raises(EnvironmentFailure) as refused:
        load_network(BNUNet(), weights, exported, "auto", CPU, "fp32")
    assert refused.value.code is (Code.WEIGHTS_MISSING if damage == "absent" else Code.WEIGHTS_ALTERED)


def test_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(EnvironmentFailure) as refused:
        OnnxNetwork(path)
    assert refused.value.code is Code.WEIGHTS_INVALID
    identity = onnx.helper.make_tensor_value_info("x", 1, [1]), onnx.helper.make_tensor_value_info("y", 1, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g", *([item] for item in identity)
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10), path)
    with pytest.raises(EnvironmentFailure):
        OnnxNetwork(path)


def test_result_says_what_ran_the_network(trial: Trial, tmp_path: Path) -> None:
    """The quick bundle, exported by the project's own script."""
    done = trial.done(trial.study)
    assert json.loads((done / "result.json").read_text())["settings"]["runtime"] == "eager"
    trial.refused("USAGE", trial.study, "--runtime", "onnxruntime", "--overwrite", exit_code=2)


def test_metadata_records_the_files() -> None:
    bundle = find_bundle()
    for name in ("weights", "onnx"):
        record = json.loads((bundle.root / METADATA_FILE).read_text())[name]
        assert hashlib.sha256((bundle.root / record["file"]).read_bytes()).hexdigest() == record["sha256"]
    assert "--runtime" in run("segment", "--help").out
