"""The network: published names and size, strict and safe loading, and the job its weights were trained for."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from monai.inferers import SliceInferer
from monai.transforms import Compose

from scanweave.errors import Code, EnvironmentFailure, UsageError
from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.mirror_average import averaged
from scanweave.networks.weights import Weights, load_weights
from scanweave.pipeline.bundle import build_evaluator, find_bundle
from scanweave.pipeline.device import autocast_dtype, choose_device, resolve_precision
from scanweave.transforms.clear_background import ClearBackgroundd
from scanweave.transforms.crop_square import CropSquared
from scanweave.transforms.image import Image
from scanweave.transforms.resize_plane import ResizePlaned
from scanweave.transforms.zscore_volume import ZScoreVolumed

pytest_plugins = ["study_fixtures"]
PUBLISHED_PARAMETERS = 7_763_041
PUBLISHED_ENTRIES = 118


def test_size_and_names_are_the_published_ones() -> None:
    network = BNUNet()
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED_PARAMETERS
    state = network.state_dict()
    assert len(state) == PUBLISHED_ENTRIES
    expected = {"conv.weight", "conv.bias"}
    for place, name in [*((f"encoder{n}", f"enc{n}") for n in range(1, 5)), ("bottleneck", "bottleneck"),
                        *((f"decoder{n}", f"dec{n}") for n in range(1, 5))]:  # fmt: skip
        for layer in (1, 2):
            expected.add(f"{place}.{name}conv{layer}.weight")
            fields = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
            expected |= {f"{place}.{name}norm{layer}.{field}" for field in fields}
    expected |= {f"upconv{n}.{field}" for n in range(1, 5) for field in ("weight", "bias")}
    assert set(state) == expected


@pytest.mark.parametrize("channels, classes, features", [(1, 3, 4), (4, 1, 8)])
def test_any_channels_and_widths(channels: int, classes: int, features: int) -> None:
    network = BNUNet(channels, classes, features).eval()
    with torch.inference_mode():
        output = network(torch.randn(2, channels, 32, 48))
    assert output.shape == (2, classes, 32, 48)
    assert output.min() >= 0 and output.max() <= 1


class Trap:
    """Unpickled, it would call a function of the attacker's choice."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_only_the_right_state_dict_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"

    def code_of_loading() -> Code:
        with pytest.raises(EnvironmentFailure) as refusal:
            load_weights(BNUNet(3, 1, 4), Weights.of_file(path))
        return refusal.value.code

    good = BNUNet(3, 1, 4).state_dict()
    torch.save(Trap(tmp_path / "sprung"), path)
    assert code_of_loading() is Code.WEIGHTS_INVALID
    assert not (tmp_path / "sprung").exists()
    torch.save({k: v for k, v in good.items() if k != "conv.bias"}, path)
    assert code_of_loading() is Code.WEIGHTS_INVALID
    torch.save({**good, "extra": torch.zeros(1)}, path)
    assert code_of_loading() is Code.WEIGHTS_INVALID
    torch.save(BNUNet(3, 1, 8).state_dict(), path)
    assert code_of_loading() is Code.WEIGHTS_INVALID
    torch.save(good, path)
    assert not load_weights(BNUNet(3, 1, 4), Weights.of_file(path)).training
    recorded = Weights.of_file(path)
    with path.open("r+b") as stream:
        stream.seek(-2000, 2)
        stream.write(b"\x01")
    with pytest.raises(EnvironmentFailure) as refusal:
        load_weights(BNUNet(3, 1, 4), recorded)
    assert refusal.value.code is Code.WEIGHTS_ALTERED
    path.unlink()
    with pytest.raises(EnvironmentFailure) as refusal:
        load_weights(BNUNet(3, 1, 4), recorded)
    assert refusal.value.code is Code.WEIGHTS_MISSING


def test_shipped_weights_find_the_abnormality_of_a_training_patient(data_dir: Path) -> None:
    """Not a figure of quality (the patient was trained on): the proof that network, names and input fit together."""
    folder = data_dir / "lgg" / "original" / "TCGA_CS_4942_19970222"
    files = [f for f in folder.glob("*.tif") if not f.stem.endswith("_mask")]
    files.sort(key=lambda f: int(f.stem.rsplit("_", 1)[1]))
    volume = np.stack([tifffile.imread(f) for f in files]).astype(np.float32)
    truth = np.stack([tifffile.imread(f.with_name(f"{f.stem}_mask.tif")) for f in files]) > 0
    image = Image(np.ascontiguousarray(volume.transpose(3, 1, 2, 0)), np.eye(4))
    label = Image(np.ascontiguousarray(truth.astype(np.float32).transpose(1, 2, 0))[None], np.eye(4))
    keys = ["image", "label"]
    chain = Compose(
        [
            ClearBackgroundd("image"),
            CropSquared(keys, opening=False),
            ResizePlaned(keys, modes={"label": "nearest"}),
            ZScoreVolumed(),
        ]
    )
    data = chain({"image": image, "label": label})
    bundle = find_bundle()
    network = load_weights(BNUNet(), Weights.of_bundle(bundle.root, bundle.metadata["weights"]))

    def dice(model_input: torch.Tensor) -> float:
        with torch.inference_mode():
            inferer = SliceInferer(roi_size=(256, 256), spatial_dim=2, sw_batch_size=1)
            found = inferer(model_input[None], network)[0].numpy() >= 0.5
        labels = data["label"].array > 0
        return float(2 * (found & labels).sum() / (found.sum() + labels.sum()))

    model_input = torch.from_numpy(data["image"].array)
    assert dice(model_input) > 0.85
    # The twin: channels in another order are another input.
    assert dice(model_input.flip(0).roll(1, 0)) < 0.5


def test_devices_and_precisions() -> None:
    cpu = choose_device("cpu")
    assert resolve_precision("auto", cpu) == "fp32" and resolve_precision("bf16", cpu) == "bf16"
    assert resolve_precision("auto", torch.device("cuda")) == "fp16"
    assert autocast_dtype("fp32") is None and autocast_dtype("bf16") is torch.bfloat16
    with pytest.raises(UsageError, match="fp64"):
        resolve_precision("fp64", cpu)
    for name in ("gpu", "meta", "cuda:x"):
        with pytest.raises(Exception, match="USAGE"):
            choose_device(name)
    with pytest.raises(EnvironmentFailure, match="DEVICE_UNAVAILABLE"):
        choose_device("cuda:99")


def test_mirror_average_is_the_mean_of_both_sides() -> None:
    torch.manual_seed(0)
    network = BNUNet(features=2).eval()
    both = averaged(network, mirror=True)
    assert averaged(network, mirror=False) is network
    image = torch.randn(2, 3, 32, 48)
    with torch.inference_mode():
        expected = (network(image) + network(image.flip(3)).flip(3)) / 2
        assert torch.equal(both(image), expected)
        assert torch.allclose(both(image.flip(3)), both(image).flip(3), atol=1e-6), "a mirrored head, a mirrored mask"
        assert not torch.allclose(network(image.flip(3)), network(image).flip(3), atol=1e-6)


def test_mirror_average_is_a_setting_of_the_bundle(small_study: Path, small_bundle: Path) -> None:
    bundle = find_bundle(str(small_bundle))
    found = {}
    for mirror in (False, True):
        overrides = {"dataset_dir": str(small_study), "output_dir": None, "device": "cpu", "mirror": mirror}
        (found[mirror],) = build_evaluator(bundle, overrides).run()
    assert found[True]["result"]["settings"]["mirror"] == "averaged"
    assert "mirror" not in found[False]["result"]["settings"]
    assert not np.array_equal(found[True]["pred"].array, found[False]["pred"].array)
