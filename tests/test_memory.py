"""A device runs out of memory: smaller batches, then the CPU, then a refusal; never another mask."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from monai.inferers import Inferer, SimpleInferer, SliceInferer, SlidingWindowInferer

from scanweave.errors import Code, EnvironmentFailure
from scanweave.networks.bn_unet import BNUNet
from scanweave.pipeline.inference import Inference, out_of_memory
from scanweave.transforms.image import Image

SLICES = 9
SMALL = torch.device("meta")
"""A device that can hold nothing: what reaches it is lost. With the hook below it stands for a GPU that is full."""


@pytest.fixture
def network() -> BNUNet:
    torch.manual_seed(0)
    return BNUNet(features=2).eval()


@pytest.fixture
def image() -> Image:
    voxels = np.random.default_rng(0).standard_normal((3, 32, 32, SLICES)).astype(np.float32)
    return Image(voxels, np.eye(4))


def slices(batch: int) -> SliceInferer:
    return without_weights(SliceInferer(roi_size=(32, 32), spatial_dim=2, sw_batch_size=batch), (32, 32, 1))


def without_weights(inferer: SlidingWindowInferer, window: tuple[int, int, int]) -> SlidingWindowInferer:
    """All voxels of a window count alike, as by default; said here because `SMALL` cannot compute it."""
    inferer.roi_weight_map = torch.ones(1, 1, *window)
    return inferer


@contextmanager
def memory_for(network: torch.nn.Module, windows: int, device: str) -> Iterator[list[int]]:
    """`device` holds so many windows; the sizes of the batches that reach the network, those that fail included."""
    batches: list[int] = []

    def check(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        batches.append(len(inputs[0]))
        if inputs[0].device.type == device and len(inputs[0]) > windows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    hook = network.register_forward_pre_hook(check)
    yield batches
    hook.remove()


def expected(network: BNUNet, image: Image) -> torch.Tensor:
    """The network slice by slice, without an inferer."""
    with torch.inference_mode():
        found = [network(torch.from_numpy(image.array)[None, ..., k]) for k in range(SLICES)]
    return torch.stack(found, dim=-1)[0]


def test_the_batch_is_halved_until_it_fits(network: BNUNet, image: Image) -> None:
    infer = Inference(network, slices(16), torch.device("cpu"), "fp32")
    with memory_for(network, 3, "cpu") as batches:
        done = infer(image)
        assert batches[:3] == [9, 8, 4], "16 windows asked for are the nine that there are"
        assert max(batches[3:]) == 2
        batches.clear()
        infer(image)
        assert max(batches) == 2, "the next study begins with what was learned"
    assert done.device == "cpu" and not done.remarks
    assert torch.allclose(torch.from_numpy(done.probabilities.array), expected(network, image), atol=1e-6)


def test_the_cpu_takes_over_from_a_device_that_is_too_small(network: BNUNet, image: Image) -> None:
    infer = Inference(network, slices(4), SMALL, "auto")
    with memory_for(network, 0, "meta") as batches:
        done = infer(image)
    assert batches[:3] == [4, 2, 1]
    assert done.device == "cpu" and done.precision == "fp32"
    assert "CPU took over" in done.remarks[0]
    assert torch.allclose(torch.from_numpy(done.probabilities.array), expected(network, image), atol=1e-6)
    assert not infer(image).remarks, "said once, of the study that it happened to"


WINDOWS = without_weights(SlidingWindowInferer((32, 32, 4), sw_batch_size=2), (32, 32, 4))


@pytest.mark.parametrize("inferer", [SimpleInferer(), WINDOWS])
def test_other_inferers_are_rescued_too(inferer: Inferer, image: Image) -> None:
    network = torch.nn.Conv3d(3, 1, 1)
    infer = Inference(network, inferer, SMALL, "fp32")
    with memory_for(network, 0, "meta"):
        done = infer(image)
    assert done.device == "cpu"
    with torch.inference_mode():
        assert torch.allclose(
            torch.from_numpy(done.probabilities.array), network(torch.from_numpy(image.array)[None])[0], atol=1e-5
        )


class Wrapping(torch.nn.Module):
    """Runs out of memory once, with an error that wraps another, and looks whether its tensors are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.held: weakref.ref[torch.Tensor] | None = None
        self.released = False

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        if self.held is None:
            try:
                self._run_out(batch)
            except torch.OutOfMemoryError as error:
                raise RuntimeError("seems to be OOM") from error
        self.released = self.held() is None
        return batch[:, :1]

    def _run_out(self, batch: torch.Tensor) -> None:
        features = batch.repeat(1, 8, 1, 1)
        self.held = weakref.ref(features)
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_what_did_not_fit_is_let_go_before_the_next_try(image: Image) -> None:
    network = Wrapping()
    Inference(network, slices(4), torch.device("cpu"), "fp32")(image)
    assert network.released


class Greedy(torch.nn.Module):
    """Asks the CPU's own allocator for more than any machine has."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.empty(1 << 60, dtype=torch.float32) + batch.sum()


def test_a_cpu_without_memory_is_an_environment_failure(image: Image) -> None:
    infer = Inference(Greedy(), slices(1), torch.device("cpu"), "fp32")
    with pytest.raises(EnvironmentFailure) as failure:
        infer(image)
    assert failure.value.code is Code.OUT_OF_MEMORY


class Broken(torch.nn.Module):
    """Fails as a defect does."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_a_defect_is_not_taken_for_lack_of_memory(image: Image) -> None:
    with pytest.raises(RuntimeError, match="mat1"):
        Inference(Broken(), slices(4), torch.device("cpu"), "fp32")(image)


@pytest.mark.parametrize("text", ["cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED"])
def test_libraries_below_pytorch_word_it_in_their_own_way(text: str) -> None:
    assert out_of_memory(RuntimeError(text))


def test_monai_wraps_it() -> None:
    wrapped = RuntimeError("patch size (32, 32, 4): seems to be")
    wrapped.__cause__ = torch.OutOfMemoryError("CUDA out of memory")
    assert out_of_memory(wrapped)


def test_progress_counts_slices(network: BNUNet, image: Image) -> None:
    heard: list[float] = []
    Inference(network, slices(2), torch.device("cpu"), "fp32")(image, heard.append)
    assert heard == sorted(heard) and heard[-1] == 1.0 and len(heard) == 5


@pytest.mark.gpu
def test_a_full_gpu_gives_the_same_mask(network: BNUNet, image: Image) -> None:
    """A real CUDA device, of whose memory this process may have next to nothing."""
    device = torch.device("cuda:0")
    torch.cuda.set_per_process_memory_fraction(1e-4, device)
    try:
        big = Image(np.tile(image.array, (1, 32, 32, 1)), image.affine)
        inferer = SliceInferer(roi_size=(1024, 1024), spatial_dim=2, sw_batch_size=SLICES)
        done = Inference(network.to(device), inferer, device, "fp32")(big)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    assert done.device == "cpu" and done.remarks
    assert torch.allclose(torch.from_numpy(done.probabilities.array), expected(network.cpu(), big), atol=1e-4)
