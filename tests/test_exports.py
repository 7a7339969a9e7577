"""`scanweave export`: ONNX and TorchScript answer as PyTorch does, at any size, where nothing of scanweave is."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from answering_networks import answering
from monai.data import load_net_with_metadata
from studies import run

from scanweave.errors import Code, EnvironmentFailure
from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.encoders import EncoderUNet
from scanweave.networks.export import SAME, Size, check_same, onnx_bytes, onnx_run, torchscript_bytes
from scanweave.networks.mirror_average import MirrorAverage
from scanweave.networks.unet_1505 import UNet1505
from scanweave.pipeline.bundle import INFERENCE_CONFIG, METADATA_FILE

pytest_plugins = ["study_fixtures"]

NETWORKS: dict[str, tuple[Callable[[], torch.nn.Module], int, int]] = {
    "bn_unet": (lambda: BNUNet(3, 1, 4), 3, 16),
    "mirrored": (lambda: MirrorAverage(BNUNet(1, 2, 4)), 1, 16),
    "unet_1505": (lambda: UNet1505(1, 3, 4, padded=True, batch_norm=True), 1, 16),
    "resnet18": (lambda: EncoderUNet("resnet18"), 3, 32),
    "resnet50": (lambda: EncoderUNet("resnet50", 1, 2), 1, 32),
    "efficientnet-b0": (lambda: EncoderUNet("efficientnet-b0", 4, 1), 4, 32),
}
"""How each is made, its channels, and of what its rows and columns are multiples."""
SHAPES = ((1, 1, 1), (1, 4, 2), (2, 3, 5), (5, 2, 2))
"""Slices, and how many times the smallest rows and columns."""
LOADED = """
import sys, torch
assert "scanweave" not in sys.modules and "monai" not in sys.modules
network, given = torch.jit.load(sys.argv[1]), torch.load(sys.argv[2])
with torch.inference_mode():
    torch.save([network(slices) for slices in given], sys.argv[3])
assert not [name for name in sys.modules if name.startswith(("scanweave", "monai"))]
"""


def slices_of(channels: int, multiple: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return [
        2 * torch.randn(count, channels, rows * multiple, columns * multiple, generator=random)
        for count, rows, columns in SHAPES
    ]


@pytest.fixture(scope="module", params=NETWORKS)
def case(request: pytest.FixtureRequest) -> tuple[torch.nn.Module, int, int, list[torch.Tensor], list[torch.Tensor]]:
    """A network, its channels and multiple, slices, and what it answers."""
    make, channels, multiple = NETWORKS[request.param]
    network, given = answering(make), slices_of(channels, multiple)
    with torch.inference_mode():
        expected = [network(slices) for slices in given]
    assert torch.cat([answer.flatten() for answer in expected]).std() > 0.1
    return network, channels, multiple, given, expected


def test_onnx_answers_the_same(case) -> None:
    network, channels, multiple, given, expected = case
    content = onnx_bytes(network, channels, (Size(multiple), Size(multiple)), {"weights_sha256": "abc"})
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    assert {entry.key: entry.value for entry in model.metadata_props} == {"weights_sha256": "abc"}
    assert not any(word in content for word in (b"site-packages", b"/networks/"))
    answer = onnx_run(content)
    for slices, probabilities in zip(given, expected, strict=True):
        np.testing.assert_allclose(answer(slices), probabilities, rtol=0, atol=SAME)


def test_torchscript_answers_the_same_without_scanweave(case, tmp_path: Path) -> None:
    """In a process of its own that has none of our code on its path."""
    network, _, _, given, expected = case
    content = torchscript_bytes(network, {"weights_sha256": "abc"}, {"version": "1"})
    assert not any(word in content for word in (b"site-packages", str(Path(__file__).parent.parent).encode()))
    (tmp_path / "model.ts").write_bytes(content)
    torch.save(given, tmp_path / "given.pt")
    command = [sys.executable, "-P", "-c", LOADED, *(tmp_path / name for name in ("model.ts", "given.pt", "found.pt"))]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for found, probabilities in zip(torch.load(tmp_path / "found.pt"), expected, strict=True):
        assert float((found - probabilities).abs().max()) <= SAME


def test_numbers_that_float16_does_not_hold_stay_as_they_are() -> None:
    network = BNUNet(3, 1, 4).eval()

    def stored() -> dict[str, onnx.TensorProto]:
        model = onnx.load_from_string(onnx_bytes(network, 3, (Size(16), Size(16))))
        return {item.name: item for item in model.graph.initializer}

    name = "bottleneck.bottleneckconv2.weight"
    assert stored()[name].data_type == onnx.TensorProto.FLOAT
    network.half().float()
    with torch.no_grad():
        network.decoder4[3].weight.fill_(1e6)
    found = stored()
    assert found[f"{name}_half"].data_type == onnx.TensorProto.FLOAT16 and name not in found
    assert found["decoder4.dec4conv2.weight"].data_type == onnx.TensorProto.FLOAT
    assert found["conv.weight"].data_type == onnx.TensorProto.FLOAT, "too small to be worth a conversion"


def test_sizes_of_the_metadata() -> None:
    assert (Size.parse("16*n"), Size.parse("16*n+188"), Size.parse(256)) == (Size(16), Size(16, 188), Size(0, 256))
    assert [Size(16, 188).times(count) for count in (1, 24)] == [204, 572] and Size(0, 256).times(7) == 256
    for text in ("", "n", "2**p*n", "*", "16*", None):
        with pytest.raises(ValueError, match="expected a size"):
            Size.parse(text)


class Valid(torch.nn.Module):
    """As the original U-Net: other rows and columns come out, and the sizes have a remainder."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(torch.nn.functional.avg_pool2d(x[:, :, 2:-2, 2:-2], 4))


class Choice(torch.nn.Module):
    """What it does depends on the numbers, and on a dictionary of the process: no graph holds that."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if float(x.sum()) > len(globals()) else -x


def test_sizes_with_a_remainder() -> None:
    answer = onnx_run(onnx_bytes(Valid().eval(), 1, (Size(4, 4), Size(4, 4))))
    for rows, columns in ((8, 12), (20, 8)):
        slices = torch.randn(2, 1, rows, columns)
        np.testing.assert_allclose(answer(slices), Valid()(slices), rtol=0, atol=SAME)


def test_what_cannot_be_exported_or_answers_otherwise_is_refused() -> None:
    sizes = (Size(16), Size(16))
    network = answering(lambda: BNUNet(3, 1, 4))
    refused = [
        lambda: onnx_bytes(Choice(), 3, sizes),
        lambda: torchscript_bytes(Choice(), {}, {}),
        lambda: check_same(lambda slices: network(slices) + 2 * SAME, network, 3, sizes),
        lambda: check_same(network, lambda slices: torch.full_like(network(slices), torch.nan), 3, sizes),
        lambda: check_same(network, network, 3, (Size(16, 1), Size(16))),
    ]
    for number, refusing in enumerate(refused):
        with pytest.raises(EnvironmentFailure) as refusal:
            refusing()
        assert refusal.value.code is Code.EXPORT_FAILED, number
    assert check_same(network, network, 3, sizes) == 0


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle(small_bundle: Path) -> Path:
    return small_bundle


def listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_the_command_writes_it_once(bundle: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / "model.bin"
    ran = run("export", bundle, "--format", form, "-o", out, "--json")
    assert (ran.exit_code, ran.lines) == (0, ()), ran.lines
    record = json.loads(ran.out)
    weights = json.loads((bundle / METADATA_FILE).read_text())["weights"]["sha256"]
    content = out.read_bytes()
    assert (record["sha256"], record["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (record["weights_sha256"], record["input"]) == (weights, ["N", 3, "16*n", "16*n"])
    if form == "onnx":
        notes = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
    else:
        _, metadata, extra = load_net_with_metadata(str(out), more_extra_files=["scanweave.json"])
        notes = json.loads(extra["scanweave.json"])
        assert metadata["network_data_format"]["inputs"]["image"]["num_channels"] == 3
    assert notes["weights_sha256"] == weights and "Research use only" in notes["notice"]
    ran = run("export", bundle, "--format", form, "-o", out)
    assert (ran.exit_code, ran.codes, out.read_bytes() == content) == (3, ["OUTPUT_EXISTS"], True)
    ran = run("export", bundle, "--format", form, "-o", out, "--overwrite")
    assert (ran.exit_code, ran.lines) == (0, ()) and weights in ran.out and "Research use only" in ran.out
    assert listed(tmp_path) == {"model.bin"}


def test_other_weights(bundle: Path, tmp_path: Path) -> None:
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    state["conv.bias"] -= 2
    torch.save(state, tmp_path / "own.pt")
    ran = run(
        "export",
        bundle,
        "--format",
        "torchscript",
        "-o",
        tmp_path / "own.ts",
        "--weights",
        tmp_path / "own.pt",
        "--json",
    )
    assert json.loads(ran.out)["weights_sha256"] == hashlib.sha256((tmp_path / "own.pt").read_bytes()).hexdigest()
    slices = torch.randn(1, 3, 32, 32)
    network = BNUNet(3, 1, 2).eval()
    network.load_state_dict(state)
    with torch.inference_mode():
        assert torch.allclose(torch.jit.load(tmp_path / "own.ts")(slices), network(slices), atol=SAME)


def test_refusals_leave_nothing(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"nothing")
    wrong = tmp_path / "wrong"
    shutil.copytree(bundle, wrong)
    metadata = json.loads((wrong / METADATA_FILE).read_text())
    metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] = ["9*n", "16*n"]
    (wrong / METADATA_FILE).write_text(json.dumps(metadata))
    without = tmp_path / "without"
    shutil.copytree(bundle, without)
    del metadata["network_data_format"]
    (without / METADATA_FILE).write_text(json.dumps(metadata))
    before = listed(tmp_path)
    target = tmp_path / "out.ts"
    for arguments, code in (
        ([bundle, "-o", target, "--format", "torchscript", "--weights", tmp_path / "weights.pt"], "WEIGHTS_INVALID"),
        ([bundle, "-o", target, "--format", "torchscript", "--weights", tmp_path / "none.pt"], "WEIGHTS_MISSING"),
        ([wrong, "-o", target, "--format", "torchscript"], "EXPORT_FAILED"),
        ([wrong, "-o", target, "--format", "onnx"], "EXPORT_FAILED"),
        ([without, "-o", target], "BUNDLE_INVALID"),
        ([tmp_path / "nowhere", "-o", target], "BUNDLE_INVALID"),
        ([bundle, "-o", tmp_path / "nowhere" / "out.ts", "--format", "torchscript"], "OUTPUT_UNWRITABLE"),
        ([bundle, "-o", target, "--format", "caffe"], "USAGE"),
        ([bundle], "USAGE"),
    ):
        ran = run("export", *arguments)
        assert ran.codes == [code], (arguments, ran)
        assert listed(tmp_path) == before


def test_an_encoder_of_a_bundle(bundle: Path, tmp_path: Path) -> None:
    """The network that the JSON names, at the sizes that the metadata say."""
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    config = json.loads((copy / INFERENCE_CONFIG).read_text())
    config["network_def"] = {"_target_": "scanweave.networks.encoders.EncoderUNet", "encoder": "resnet18"}
    (copy / INFERENCE_CONFIG).write_text(json.dumps(config))
    metadata = json.loads((copy / METADATA_FILE).read_text())
    metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] = ["32*n", "32*n"]
    (copy / METADATA_FILE).write_text(json.dumps(metadata))
    network = answering(lambda: EncoderUNet("resnet18"))
    torch.save(network.state_dict(), tmp_path / "own.pt")
    ran = run("export", copy, "-o", tmp_path / "own.onnx", "--weights", tmp_path / "own.pt", "--json")
    assert (ran.exit_code, ran.lines) == (0, ()), ran.lines
    assert json.loads(ran.out)["input"] == ["N", 3, "32*n", "32*n"]
    slices = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        np.testing.assert_allclose(
            onnx_run((tmp_path / "own.onnx").read_bytes())(slices), network(slices), rtol=0, atol=SAME
        )
