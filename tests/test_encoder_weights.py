"""ImageNet weights in an encoder: the classifier's own numbers, whole and verified, or a refusal."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import weights_server
from classifiers import State, efficientnet_features, efficientnet_state, resnet_features, resnet_state
from monai.networks.nets.efficientnet import url_map
from studies import run
from training_fixtures import BATCH, PHASE
from weights_server import Server, closed_port, serving

from scanweave.errors import Code, EnvironmentFailure, UsageError
from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.encoder_names import EFFICIENTNETS, ENCODERS
from scanweave.networks.encoder_weights import adapt_stem, fetch_encoder, load_encoder
from scanweave.networks.encoders import EncoderUNet
from scanweave.networks.imagenet import IMAGENET
from scanweave.networks.published import Published
from scanweave.networks.weights import Weights, file_sha256
from scanweave.pipeline.bundle import INFERENCE_CONFIG, TRAIN_CONFIG, find_bundle
from scanweave.pipeline.training.encoder_weights import beginning, begun
from scanweave.pipeline.training.learner import initial

pytest_plugins = ["study_fixtures", "training_fixtures"]

Features = Callable[[State, torch.Tensor], list[torch.Tensor]]
SAME = 1e-5
CASES: dict[str, tuple[Callable[[], State], Features]] = {
    **{
        name: (lambda name=name: resnet_state(name), lambda state, x, name=name: resnet_features(name, state, x))
        for name in ("resnet18", "resnet34", "resnet50")
    },
    "efficientnet-b0": (efficientnet_state, efficientnet_features),
}


def saved(state: State, path: Path) -> Weights:
    torch.save(state, path)
    return Weights.of_file(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A classifier of 18 layers."""
    return saved(resnet_state("resnet18"), tmp_path / "resnet18.pth").path


@pytest.mark.parametrize("name", CASES)
def test_an_encoder_answers_as_the_classifier_did(name: str, tmp_path: Path) -> None:
    """Against an implementation of its own, layer for layer (the originals were compared once: docs/networks.md)."""
    make, features = CASES[name]
    state = make()
    network = load_encoder(EncoderUNet(name), saved(state, tmp_path / "classifier.pth")).eval()
    slices = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found, expected = network.unet.encoder(slices), features(state, slices)
    assert len(found) == len(expected) == 5
    for own, theirs in zip(found, expected, strict=True):
        assert theirs.std() > 0 and own.shape == theirs.shape
        assert float((own - theirs).abs().max()) <= SAME * float(theirs.abs().max())


def test_one_channel_is_a_grey_picture(file: Path) -> None:
    """What one channel gives, and what twice three equal ones give, is what grey gave the classifier."""
    weights, grey = Weights.of_file(file), torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        expected = resnet_features("resnet18", resnet_state("resnet18"), grey.expand(-1, 3, -1, -1))[-1]
        for channels in (1, 6):
            encoder = load_encoder(EncoderUNet("resnet18", channels), weights).eval().unet.encoder
            found = encoder(grey.expand(-1, channels, -1, -1))[-1]
            assert float((found - expected).abs().max()) <= SAME * float(expected.abs().max())


@pytest.mark.parametrize(("channels", "colours"), [(2, [0, 1]), (4, [0, 1, 2, 0]), (5, [0, 1, 2, 0, 1])])
def test_more_channels_repeat_the_colours_in_turn(channels: int, colours: list[int]) -> None:
    weight = torch.randn(8, 3, 7, 7)
    assert torch.equal(adapt_stem(weight, 3), weight)
    assert torch.allclose(adapt_stem(weight, channels), weight[:, colours] * 3 / channels)


def test_older_files_without_counters_and_without_classifier(tmp_path: Path) -> None:
    state = {key: value for key, value in resnet_state("resnet18").items() if not key.endswith("num_batches_tracked")}
    del state["fc.weight"], state["fc.bias"]
    network = load_encoder(EncoderUNet("resnet18"), saved(state, tmp_path / "old.pth"))
    assert torch.equal(network.unet.encoder.conv1.weight, state["conv1.weight"])


@pytest.mark.parametrize("change", ["missing", "more", "shape", "other", "pickle"])
def test_what_does_not_fit_is_refused(change: str, tmp_path: Path) -> None:
    state = resnet_state("resnet34" if change == "other" else "resnet18")
    if change == "missing":
        del state["layer3.0.downsample.1.running_var"]
    elif change == "more":
        state["layer5.0.conv1.weight"] = torch.zeros(1)
    elif change == "shape":
        state["layer1.0.conv1.weight"] = torch.zeros(64, 64, 1, 1)
    path = tmp_path / "file.pth"
    torch.save(Path("anything") if change == "pickle" else state, path)
    with pytest.raises(EnvironmentFailure, match="state dict of resnet18 as torchvision names it") as refusal:
        load_encoder(EncoderUNet("resnet18"), Weights.of_file(path))
    assert refusal.value.code is Code.WEIGHTS_INVALID
    said = {"missing": "running_var", "more": "layer5.0.conv1.weight", "other": "layer1.2.conv1.weight"}
    assert said.get(change, "") in str(refusal.value)


# --- from the network -----------------------------------------------------------------------------------------------


def test_where_they_are_to_be_had() -> None:
    """MONAI knows the EfficientNets' places; b8 was published with adversarial training alone, 200 layers never."""
    assert set(IMAGENET) == {*ENCODERS} - {"resnet200"}
    for name in EFFICIENTNETS:
        assert IMAGENET[name].url == url_map["b8-ap" if name.endswith("b8") else name]
    assert all(published.url.startswith("https://") for published in IMAGENET.values())
    assert IMAGENET["resnet34"].file == "resnet34-b627a593.pth" and IMAGENET["resnet34"].sha256_start == "b627a593"


@pytest.fixture
def server(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serves that classifier as the ImageNet weights of `resnet18`; the cache is empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with serving() as record:
        record.content = file.read_bytes()
        offer(monkeypatch, record.port, record.content)
        yield record


def offer(monkeypatch: pytest.MonkeyPatch, port: int, content: bytes) -> None:
    start = hashlib.sha256(content).hexdigest()[:8]
    by_file = IMAGENET["resnet18"].by_file
    local = Published("resnet18", f"http://127.0.0.1:{port}/resnet18-{start}.pth", "this test", by_file)
    monkeypatch.setitem(IMAGENET, "resnet18", local)


def test_fetched_once_and_listed(server: Server, tmp_path: Path) -> None:
    def state() -> str:
        known = json.loads(run("weights", "list", "--json").out)["weights"]
        return next(one["state"] for one in known if one["name"] == "resnet18")

    assert state() == "not fetched" and "resnet18, resnet34" in run("weights", "list").out
    ran = run("weights", "fetch", "resnet18", "--json")
    assert (ran.exit_code, ran.lines) == (0, ())
    done = json.loads(ran.out)
    assert done["downloaded"] and Path(done["path"]).is_relative_to(tmp_path / "torch")
    assert done["sha256"] == hashlib.sha256(server.content).hexdigest()
    assert state() == "ready" and "resnet18: ready" in run("weights", "list").out
    assert '"initial": "imagenet"' in run("weights", "fetch", "resnet18").out
    assert not fetch_encoder("resnet18").downloaded and len(server.asked) == 1


def test_other_bytes_no_network_and_none_published(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = weights_server.login_page
    with pytest.raises(EnvironmentFailure) as refusal:
        fetch_encoder("resnet18")
    assert refusal.value.code is Code.WEIGHTS_ALTERED
    offer(monkeypatch, closed_port(), server.content)
    with pytest.raises(EnvironmentFailure) as refusal:
        fetch_encoder("resnet18")
    assert refusal.value.code is Code.DOWNLOAD_FAILED
    assert '"initial": FILE in train.json' in str(refusal.value) and str(tmp_path / "torch") in str(refusal.value)
    assert not list((tmp_path / "torch").rglob("*.pth"))
    with pytest.raises(UsageError, match="no ImageNet weights for resnet200"):
        fetch_encoder("resnet200")


# --- a training -----------------------------------------------------------------------------------------------------


def test_what_a_training_begins_with(file: Path, tmp_path: Path) -> None:
    """The encoder is the file's, all else is random by the seed; a file of the whole network goes before."""
    plain = initial(EncoderUNet("resnet18"), None, seed=5).state_dict()
    mixed = begun(EncoderUNet("resnet18"), None, 5, file)
    state = mixed.state_dict()
    assert mixed.training
    published = resnet_state("resnet18")
    for key, value in state.items():
        encoder = key.removeprefix("unet.encoder.")
        assert torch.equal(value, plain[key] if encoder == key else published[encoder]), key
    assert torch.equal(begun(EncoderUNet("resnet18"), None, 5).state_dict()["unet.encoder.conv1.weight"],
                       plain["unet.encoder.conv1.weight"])  # fmt: skip
    torch.save(plain, tmp_path / "whole.pt")
    whole = begun(EncoderUNet("resnet18"), tmp_path / "whole.pt", 1, file).state_dict()
    assert all(torch.equal(whole[key], value) for key, value in plain.items())
    assert beginning(mixed, None) is None and beginning(mixed, None, str(file)) == file
    assert beginning(mixed, tmp_path / "whole.pt", "imagenet") == tmp_path / "whole.pt"
    with pytest.raises(UsageError, match="BNUNet, which has no encoder"):
        begun(BNUNet(features=2), None, 0, "imagenet")


@pytest.fixture
def bundle(training_bundle: Path, small_bundle: Path, file: Path, tmp_path: Path) -> Path:
    """A copy whose configurations name an encoder, and a training of two steps that begins with the file."""
    copy = tmp_path / "encoders"
    shutil.copytree(small_bundle, copy)
    network = {"_target_": "scanweave.networks.encoders.EncoderUNet", "encoder": "resnet18", "in_channels": 3}
    for source in (training_bundle / TRAIN_CONFIG, copy / INFERENCE_CONFIG):
        config = json.loads(source.read_text())
        config["network_def"] = network
        if source.name == TRAIN_CONFIG.name:
            phases = [{"_target_": PHASE, "until": 1.0, "size": [64, 64], "pixel": 4.0, "batch": BATCH}]
            config |= {"initial": str(file), "epochs": 1, "epoch_slices": 2 * BATCH}
            config["recipe"] |= {"phases": phases, "learning_rate": 1e-4}
        (copy / "configs" / source.name).write_text(json.dumps(config))
    return copy


def test_trained_and_used(bundle: Path, file: Path, patients: Path, small_study: Path, tmp_path: Path) -> None:
    """By the command line, from the JSON that names it to a segmentation."""
    out = tmp_path / "training"
    ran = run("train", "--images", patients, "--bundle", bundle, "--out", out, "--device", "cpu", "--json")
    assert (ran.exit_code, ran.lines) == (0, ()), ran.lines
    record = json.loads(ran.out)
    assert (record["steps"], record["init"]) == (2, file_sha256(file))
    weights = torch.load(out / "model.pt", weights_only=True)
    begin = resnet_state("resnet18")["conv1.weight"]
    moved = (weights["unet.encoder.conv1.weight"].float() - begin).abs().max()
    assert 0 < moved < 0.01, "it began with the file's, and learned"
    ran = run("segment", small_study, "-o", tmp_path / "out", "--bundle", bundle, "--weights", out / "model.pt",
              "--device", "cpu", "--outputs", "probability", "--json")  # fmt: skip
    assert (ran.exit_code, ran.lines) == (0, ()), ran.lines
    (result,) = (tmp_path / "out").glob("*/result.json")
    assert json.loads(result.read_text())["weights"]["sha256"] == record["weights"]["sha256"]
    ran = run("segment", small_study, "-o", tmp_path / "other", "--bundle", bundle, "--device", "cpu")
    assert (ran.exit_code, ran.codes) == (5, ["WEIGHTS_INVALID"]), "the copy's weights are of another network"


def test_without_network_the_training_is_refused_before_it_begins(
    bundle: Path, patients: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, closed_port(), server.content)
    config = json.loads((bundle / TRAIN_CONFIG).read_text())
    (bundle / TRAIN_CONFIG).write_text(json.dumps(config | {"initial": "imagenet"}))
    ran = run("train", "--images", patients, "--bundle", bundle, "--out", tmp_path / "training", "--device", "cpu")
    assert (ran.exit_code, ran.codes) == (5, ["DOWNLOAD_FAILED"])
    assert not (tmp_path / "training").exists()


def test_the_shipped_training_begins_with_random_weights() -> None:
    config = json.loads((find_bundle().root / TRAIN_CONFIG).read_text())
    assert (config["init"], config["initial"]) == (None, None)
