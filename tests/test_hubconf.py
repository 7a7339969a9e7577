"""`torch.hub.load(REPO, "unet")`: the shipped network and weights where nothing but torch is installed."""

import json
import pickle
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY
from packaging.requirements import Requirement

from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.weights import Weights, load_weights
from scanweave.pipeline.bundle import find_bundle

ABSENT = ("scanweave", "monai", "numpy", "scipy", "pydicom", "SimpleITK")
TORCH_ONLY = """
import functools, importlib.util, json, sys
site, repository, saved, *absent = sys.argv[1:]
sys.path.append(site)
found = [name for name in absent if importlib.util.find_spec(name)]
import torch
assert torch.__file__.startswith(site)
spec = importlib.util.spec_from_file_location("hubconf", repository + "/hubconf.py")
hubconf = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hubconf)
listed = [name for name in vars(hubconf) if not name.startswith("_") and callable(getattr(hubconf, name))]
load = functools.partial(torch.hub.load, repository, "unet", source="local")
model = load(in_channels=3, out_channels=1, init_features=32, pretrained=True)
small = load(in_channels=2, out_channels=5, init_features=4)
shape = list(small.eval()(torch.zeros(1, 2, 32, 48)).shape)
torch.save(model.state_dict(), saved)
loaded = [name for name in absent if name in sys.modules]
print(json.dumps({"found": found, "loaded": loaded, "listed": listed, "shape": shape, "training": model.training}))
"""


def link_torch(site: Path) -> None:
    """Fill `site` with links to what torch's own metadata say it needs, and nothing else."""
    site.mkdir()
    waiting, seen = ["torch"], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        package = distribution(name)
        for top in {Path(file).parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(package.locate_file(top))).resolve())
        requirements = map(Requirement, package.requires or ())
        waiting += [one.name for one in requirements if not one.marker or one.marker.evaluate({"extra": ""})]


def test_with_torch_alone(tmp_path: Path) -> None:
    """In a fresh interpreter without site-packages: what scanweave needs besides cannot even be found."""
    link_torch(tmp_path / "site")
    arguments = [tmp_path / "site", REPOSITORY, tmp_path / "saved.pt", *ABSENT]
    command = [sys.executable, "-I", "-S", "-B", "-c", TORCH_ONLY, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "found": [], "loaded": [], "listed": ["unet"], "shape": [1, 5, 32, 48], "training": True,
    }  # fmt: skip
    bundle = find_bundle()
    shipped = load_weights(BNUNet(), Weights.of_bundle(bundle.root, bundle.metadata["weights"])).state_dict()
    saved = torch.load(tmp_path / "saved.pt", weights_only=True)
    assert list(saved) == list(shipped)
    assert all(torch.equal(saved[key], shipped[key]) and saved[key].dtype == shipped[key].dtype for key in shipped)


def load(repository: Path = REPOSITORY, **arguments: object) -> torch.nn.Module:
    return torch.hub.load(str(repository), "unet", source="local", **arguments)


@pytest.mark.parametrize("other", [{"in_channels": 1}, {"out_channels": 2}, {"init_features": 16}])
def test_pretrained_means_the_trained_shape(other: dict[str, int]) -> None:
    ((name, value),) = other.items()
    with pytest.raises(ValueError, match=rf"in_channels=3, out_channels=1, init_features=32, not for .*{name}={value}"):
        load(pretrained=True, **other)
    assert isinstance(load(**other), torch.nn.Module), "untrained, any shape goes"


def test_untrained_is_the_default_and_whole_models_can_be_saved() -> None:
    """As with the published hubconf."""
    model = load(init_features=4)
    assert model.training
    assert not model.state_dict()["encoder1.enc1norm1.running_mean"].any()
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 (our own)
    assert torch.equal(again.conv.weight, model.conv.weight)


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    for name in ("hubconf.py", "networks/bn_unet.py", "bundles/flair_abnormality/configs/metadata.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    file = Path("bundles/flair_abnormality", find_bundle().metadata["weights"]["file"])
    content = bytearray((REPOSITORY / file).read_bytes())
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_bytes(content)
    assert load(tmp_path, pretrained=True)
    content[-2000] ^= 1
    (tmp_path / file).write_bytes(content)
    with pytest.raises(RuntimeError, match="SHA-256"):
        load(tmp_path, pretrained=True)
    assert load(tmp_path)
