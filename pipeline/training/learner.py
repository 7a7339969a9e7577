"""What learns: network, loss and optimizer, one step at a time, and the moving average of the weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.inferers import Inferer
from torch.nn.parallel import DistributedDataParallel

from scanweave.networks.weights import Weights, load_weights
from scanweave.pipeline.device import autocast_dtype
from scanweave.pipeline.training.average import Average
from scanweave.pipeline.training.ranks import Ranks

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Optimizer = Callable[..., torch.optim.Optimizer]


def initial(network: torch.nn.Module, weights: Path | None, seed: int) -> torch.nn.Module:
    """`network` with the weights of a file, or with random ones that the seed decides; in training mode."""
    if weights is not None:
        return load_weights(network, Weights.of_file(Path(weights))).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None)
            if reset is not None:
                reset()
    return network.train()


def training_precision(precision: str, device: torch.device) -> str:
    """`auto` is bf16 on a GPU, fp32 on a CPU: only few of these compute bf16 faster."""
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" else "fp32"


class Learner:
    """Trains `network`, whose `logits` give the values before its sigmoid (or softmax), by `loss` of logits and target.

    `ema` is the decay, per step, of the moving average of the weights, which is what is validated and kept;
    `gradient_clip` the largest norm of a gradient. `settings` has all of it for the record.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        loss: Loss,
        optimizer: Optimizer,
        inferer: Inferer,
        device: torch.device | str,
        precision: str = "auto",
        ema: float = 0.998,
        gradient_clip: float = 1.0,
        ranks: Ranks | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.network, ema)
        logits = _Logits(self.network)
        self.model = DistributedDataParallel(logits) if ranks and ranks.count > 1 else logits
        self.loss, self.inferer, self.gradient_clip = loss, inferer, gradient_clip
        self.optimizer = optimizer(self.network.parameters())
        self.settings = {
            "loss": _name_of(loss),
            "optimizer": {"name": type(self.optimizer).__name__, **_plain(self.optimizer.defaults)},
            "ema": ema,
            "gradient_clip": gradient_clip,
        }
        dtype = autocast_dtype(training_precision(precision, self.device))
        self.autocast = torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype == torch.float16)

    def step(self, image: torch.Tensor, target: torch.Tensor, rate: float, number: int) -> torch.Tensor:
        """One step, the training's `number`th, at a learning rate; the loss, on the device.

        `image` is (B, C, rows, columns), `target` (B, any, rows, columns), as the augmentation makes both.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        with self.autocast:
            logits = self.inferer(image.contiguous(memory_format=torch.channels_last), self.model)
        loss = self.loss(logits.float(), target)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.average.update(self.network, number)
        return loss.detach()

    @torch.inference_mode()
    def check_size(self, channels: int, size: tuple[int, int]) -> None:
        """Whether the network can take such windows: RuntimeError or ValueError where it cannot."""
        self.average.network(torch.zeros(1, channels, *size, device=self.device))

    def state(self) -> dict[str, dict[str, Any]]:
        """Everything that a step changes."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def fingerprint(self) -> str:
        """SHA-256 of the network's weights, as they are now."""
        digest = hashlib.sha256()
        for key, value in self.network.state_dict().items():
            digest.update(key.encode())
            digest.update(value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def finite(self) -> bool:
        """Whether the moving average still is: what is not finite in it once stays so."""
        weights = [value for value in self.average.network.state_dict().values() if value.is_floating_point()]
        return all(bool(torch.isfinite(value).all()) for value in weights)

    def restore(self, state: dict[str, dict[str, Any]]) -> None:
        """What `state` gave."""
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler.is_enabled() and state["scaler"]:  # begun at another precision, there is none
            self.scaler.load_state_dict(state["scaler"])


def _name_of(loss: Loss) -> str:
    inner = getattr(loss, "loss", None)
    return type(loss).__name__ + (f" of {type(inner).__name__}" if inner is not None else "")


def _plain(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's settings that a record can hold; its learning rate is the recipe's business."""
    return {
        key: value for key, value in defaults.items() if key != "lr" and isinstance(value, bool | int | float | tuple)
    }


class _Logits(torch.nn.Module):
    """The network without its sigmoid: the cross-entropy of logits does not overflow in half precision."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network.logits(image)  # type: ignore[operator]
        return logits
