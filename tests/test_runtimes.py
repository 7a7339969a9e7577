"""One network, run by PyTorch or by ONNX Runtime: the same numbers, from bytes that are the recorded ones."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from monai.inferers import SliceInferer
from onnx import numpy_helper
from scipy import ndimage
from studies import Trial

from scanweave.errors import Code, EnvironmentFailure, UsageError
from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.onnx_network import OnnxNetwork
from scanweave.networks.runtimes import Exported, Runnable, load_network
from scanweave.networks.weights import Weights
from scanweave.pipeline import containers
from scanweave.pipeline.bundle import METADATA_FILE, find_bundle
from scanweave.pipeline.inference import Inference
from scanweave.pipeline.slice_inference import SliceInference, whole_slices
from scanweave.transforms.image import Image

pytest_plugins = ["study_fixtures"]

CPU = "cpu"
Shipped = tuple[Weights, dict[str, Exported]]
SAME = 1e-5
"""Of probabilities: sums are taken in another order."""


@pytest.fixture(scope="module")
def shipped() -> Shipped:
    bundle = find_bundle()
    exported = Exported.of_bundle(bundle.root, bundle.metadata)
    return Weights.of_bundle(bundle.root, bundle.metadata["weights"]), exported


def runtime_of(network: Runnable) -> str:
    return network.runtime if isinstance(network, OnnxNetwork) else "eager"


def volume(slices: int = 3) -> Image:
    """Smooth as pictures are: of white noise every network answers nothing."""
    noise = np.random.default_rng(1).standard_normal((3, 96, 64, slices)).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, (0, 8, 8, 0))
    return Image(smooth / smooth.std() * 2, np.eye(4))


def test_every_way_through_a_network_gives_the_same(shipped: Shipped) -> None:
    """Slices without MONAI, MONAI's inferer over the exported file, and PyTorch; mirrored and not."""
    weights, exported = shipped
    image = volume()
    for mirror in (False, True):
        fast = load_network(BNUNet, weights, exported, "auto", CPU, "fp32", mirror)
        plain = load_network(BNUNet, weights, exported, "eager", CPU, "fp32", mirror)
        assert (runtime_of(fast), runtime_of(plain)) == ("onnxruntime", "eager")
        assert isinstance(fast, OnnxNetwork)
        inferer = SliceInferer(roi_size=(96, 64), spatial_dim=2, sw_batch_size=2)
        slices = whole_slices(inferer)
        assert slices is not None
        heard: list[float] = []
        expected = Inference(plain, inferer, CPU, "auto")(image, heard.append)
        assert heard[-1] == 1.0 and expected.runtime == "eager"
        assert expected.probabilities.array.std() > 0.01
        for done in (SliceInference(fast, slices)(image), Inference(fast, inferer, CPU, "auto")(image)):
            assert done.runtime == "onnxruntime" and done.probabilities.array.shape == (1, 96, 64, 3)
            np.testing.assert_allclose(done.probabilities.array, expected.probabilities.array, rtol=0, atol=SAME)


def test_slices_that_show_nothing_are_not_computed(shipped: Shipped) -> None:
    weights, exported = shipped
    network = load_network(BNUNet, weights, exported, "auto", CPU, "fp32")
    assert isinstance(network, OnnxNetwork)
    image = volume(slices=5)
    voxels = image.array.copy()
    voxels[..., 0] = voxels[..., 3] = np.array([-0.3, -0.2, -0.4])[:, None, None]
    asked: list[int] = []
    run, network._run = network._run, lambda batch: (asked.append(len(batch)), run(batch))[1]
    heard: list[float] = []
    done = SliceInference(network, containers.SliceInferer((96, 64), 2))(image.with_array(voxels), heard.append)
    assert sorted(asked) == [1, 2] and heard[-1] == 1.0
    assert not done.probabilities.array[..., [0, 3]].any()
    every = SliceInference(network, containers.SliceInferer((96, 64)))(image)
    assert np.array_equal(done.probabilities.array[..., [1, 2, 4]], every.probabilities.array[..., [1, 2, 4]])


def test_slices_side_by_side_are_those_one_after_the_other(shipped: Shipped) -> None:
    image, inferer = volume(slices=7), containers.SliceInferer((96, 64))
    path = shipped[1]["fp32"].weights.path
    alone = SliceInference(OnnxNetwork(path), inferer)(image)
    together = SliceInference(OnnxNetwork(path, at_once=3), inferer)(image)
    assert np.array_equal(alone.probabilities.array, together.probabilities.array)


def test_who_stops_a_run_does_not_wait_for_all_its_slices(shipped: Shipped) -> None:
    network = OnnxNetwork(shipped[1]["fp32"].weights.path, at_once=2)
    begun: list[int] = []
    run, network._run = network._run, lambda batch: (begun.append(len(batch)), run(batch))[1]

    def stop(part: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SliceInference(network, containers.SliceInferer((96, 64)))(volume(slices=60), stop)
    assert len(begun) < 30


def test_exported_file_holds_the_weights_and_nothing_of_the_machine(shipped: Shipped) -> None:
    weights, exported = shipped
    assert exported["fp32"].made_from == weights.sha256
    content = exported["fp32"].weights.path.read_bytes()
    state = torch.load(weights.path, weights_only=True)
    model = onnx.load_from_string(content)
    stored = {item.name.removesuffix("_half"): numpy_helper.to_array(item) for item in model.graph.initializer}
    biases = {name for name, values in stored.items() if name not in state and not values.any()}
    assert set(stored) - biases == {name for name in state if not name.endswith("num_batches_tracked")}
    assert all(np.array_equal(stored[name].astype(np.float32), state[name].float()) for name in set(stored) - biases)
    assert not any(word in content for word in (b".py", b"site-packages", b"/scanweave"))


def test_weights_of_another_kind_run_in_pytorch(shipped: Shipped, tmp_path: Path) -> None:
    weights, exported = shipped
    state = torch.load(weights.path, weights_only=True)
    state["conv.bias"] = state["conv.bias"] + 1
    torch.save(state, tmp_path / "own.pt")
    own = Weights.of_file(tmp_path / "own.pt")
    assert runtime_of(load_network(BNUNet, own, exported, "auto", CPU, "fp32")) == "eager"
    assert runtime_of(load_network(BNUNet, weights, {}, "auto", CPU, "fp32")) == "eager"
    unable = [(own, exported, "fp32"), (weights, {}, "fp32"), (weights, exported, "bf16")]
    for which, file, precision in unable:
        with pytest.raises(UsageError):
            load_network(BNUNet, which, file, "onnxruntime", CPU, precision)
    with pytest.raises(UsageError):
        load_network(BNUNet, weights, exported, "abacus", CPU, "fp32")


@pytest.mark.parametrize("damage", ["onnx", "weights", "absent"])
def test_bytes_that_are_not_the_recorded_ones_are_refused(shipped: Shipped, tmp_path: Path, damage: str) -> None:
    copies = []
    for original in (shipped[0], shipped[1]["fp32"].weights):
        path = Path(shutil.copy(original.path, tmp_path / original.path.name))
        copies.append(Weights(original.name, path, original.sha256))
    weights, exported = copies[0], {"fp32": Exported(copies[1], shipped[0].sha256)}
    assert runtime_of(load_network(BNUNet, weights, exported, "auto", CPU, "fp32")) == "onnxruntime"
    spoiled = weights.path if damage == "weights" else copies[1].path
    if damage == "absent":
        spoiled.unlink()
    else:
        spoiled.write_bytes(spoiled.read_bytes()[:-1] + b"x")
    with pytest.raises(EnvironmentFailure) as refused:
        load_network(BNUNet, weights, exported, "auto", CPU, "fp32")
    assert refused.value.code is (Code.WEIGHTS_MISSING if damage == "absent" else Code.WEIGHTS_ALTERED)


def test_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no network")
    image = np.zeros((1, 3, 16, 16), dtype=np.float32)
    with pytest.raises(EnvironmentFailure) as refused:
        OnnxNetwork(path)(image)
    assert refused.value.code is Code.WEIGHTS_INVALID
    identity = onnx.helper.make_tensor_value_info("x", 1, [1]), onnx.helper.make_tensor_value_info("y", 1, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g", *([item] for item in identity)
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10), path)
    with pytest.raises(EnvironmentFailure):
        OnnxNetwork(path)(image)


def test_result_says_what_ran_the_network(trial: Trial, tmp_path: Path) -> None:
    """The quick bundle, exported by the project's own script."""
    done = trial.done(trial.study)
    assert json.loads((done / "result.json").read_text())["settings"]["runtime"] == "eager"
    trial.refused("USAGE", trial.study, "--runtime", "onnxruntime", "--overwrite", exit_code=2)


def test_metadata_records_the_files() -> None:
    bundle = find_bundle()
    for name in ("weights", "onnx", "onnx_int8"):
        record = json.loads((bundle.root / METADATA_FILE).read_text())[name]
        assert hashlib.sha256((bundle.root / record["file"]).read_bytes()).hexdigest() == record["sha256"]


@pytest.mark.parametrize("guarded", [True, False])
def test_onnx_runtime_tells_nobody(shipped: Shipped, tmp_path: Path, guarded: bool) -> None:
    """Its telemetry writes below the home and into the temporary folder: we leave nothing there, by itself it does."""
    run = "from scanweave.networks.onnx_network import onnxruntime_run as r; r(Path(sys.argv[1]), 'fp32')"
    by_itself = "import onnxruntime as o; o.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
    code = f"import sys; from pathlib import Path; {run if guarded else by_itself}"
    kept = ("PATH", "PYTHONPATH")  # not CI: where it is set the telemetry is silent by itself
    environment = {key: os.environ[key] for key in kept if key in os.environ}
    environment |= {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    path = shipped[1]["fp32"].weights.path
    subprocess.run([sys.executable, "-c", code, path], env=environment, check=True, capture_output=True)
    assert bool(list(tmp_path.iterdir())) is not guarded
