"""MONAI's transforms in the middle of a chain: they see MetaTensors, and what they moved comes back."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import CopyItemsd, Flipd, Lambdad, MapTransform, Rotate90d, ScaleIntensityd, Spacingd

from scanweave.pipeline.chain import steps_of
from scanweave.pipeline.containers import Compose
from scanweave.transforms.axial_planes import AxialPlanesd
from scanweave.transforms.crop_square import CropSquared
from scanweave.transforms.geometry import Volume
from scanweave.transforms.image import Image
from scanweave.transforms.monai_steps import MonaiStep, to_image, to_metatensor
from scanweave.transforms.resize_plane import ResizePlaned
from scanweave.transforms.restored import restored

AFFINE = np.array([[0.0, -2.0, 0.0, 30.0], [1.5, 0.0, 0.0, -20.0], [0.0, 0.0, 5.0, 7.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture
def image() -> Image:
    """A smooth blob in a corner of its volume: no flip and no turn leaves it where it is."""
    i, j, k = np.indices((40, 30, 9))
    blob = np.exp(-(((i - 12) / 5) ** 2 + ((j - 20) / 4) ** 2 + ((k - 3) / 1.5) ** 2))
    return Image.of(Volume(blob.astype(np.float32), AFFINE))


def run(image: Image, *steps: object) -> dict:
    study: dict = {"image": image, "seconds": {}}
    for _, step in steps_of(Compose(steps)):  # type: ignore[arg-type]
        study = step(study)
    return study


def test_there_and_back_without_a_step(image: Image) -> None:
    moved = AxialPlanesd("image")({"image": image})["image"]
    back = to_image(to_metatensor(moved))
    assert np.array_equal(back.array, moved.array) and np.array_equal(back.affine, moved.affine)
    assert back.moves == moved.moves and np.shares_memory(back.array, moved.array)


def test_what_a_transform_sees(image: Image) -> None:
    seen = []
    run(image, Lambdad("image", func=lambda tensor: (seen.append(tensor), tensor)[1]))
    (tensor,) = seen
    assert isinstance(tensor, MetaTensor) and tuple(tensor.shape) == (1, 40, 30, 9)
    assert np.array_equal(tensor.affine.numpy(), AFFINE)


@pytest.mark.parametrize(
    "transforms",
    [
        [Flipd("image", spatial_axis=0)],
        [Rotate90d("image", k=1, spatial_axes=(0, 1))],
        [Flipd("image", spatial_axis=1), ScaleIntensityd("image"), Rotate90d("image", k=3)],
    ],
)
def test_masks_find_their_way_back(image: Image, transforms: list) -> None:
    """Between two of our own steps, as a bundle may have it."""
    ours = [AxialPlanesd("image"), CropSquared("image", opening=False), *transforms, ResizePlaned("image", size=64)]
    study = run(image, *ours)
    moved = study["image"]
    assert isinstance(moved, Image) and study["seconds"] == {}
    straight = run(image, *ours[:2], ours[-1])["image"]
    assert not np.allclose(moved.array, straight.array, atol=0.1), "the transforms did something"
    back = restored(moved)
    assert np.array_equal(back.affine, AFFINE)
    assert np.abs(back.array - image.array).max() < 0.05
    twin = restored(moved.with_array(np.ascontiguousarray(moved.array[:, ::-1])))
    assert np.abs(twin.array - image.array).max() > 0.5, "a mirrored answer would be seen"


def test_another_grid_comes_back_too(image: Image) -> None:
    study = run(image, Spacingd("image", pixdim=(1.0, 1.0, 2.5), mode="bilinear"))
    assert study["image"].array.shape[1:] != image.array.shape[1:]
    back = restored(study["image"])
    assert back.array.shape == image.array.shape
    assert np.abs(back.array - image.array).max() < 0.12


def test_new_entries_are_images(image: Image) -> None:
    study = run(AxialPlanesd("image")({"image": image})["image"], CopyItemsd("image", names="copy"))
    assert isinstance(study["copy"], Image)
    assert np.allclose(restored(study["copy"]).array, image.array)


def test_what_moves_voxels_and_cannot_be_undone_is_refused(image: Image) -> None:
    for kind in (torch.Tensor, MetaTensor):
        with pytest.raises(ValueError, match="cannot be inverted"):
            MonaiStep(Halved(kind))({"image": image})


class Halved(MapTransform):
    """Every other row, and nothing that says so."""

    def __init__(self, kind: type) -> None:
        super().__init__("image")
        self.kind = kind

    def __call__(self, data: dict) -> dict:
        return {**data, "image": self.kind(data["image"].as_tensor()[:, ::2])}


def test_a_tensor_that_is_no_volume_passes(image: Image) -> None:
    study = run(image, Lambdad("image", func=lambda tensor: tensor * 2, overwrite="other"), lambda data: data)
    assert isinstance(study["other"], Image) and torch.is_tensor(torch.from_numpy(study["other"].array))
