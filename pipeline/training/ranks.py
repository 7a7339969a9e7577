"""Several processes that train one network together (torch.distributed), or one that is alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

PATIENCE = timedelta(days=1)
"""While the first process preprocesses and validates, the others wait; one that fails ends all by torchrun."""


@dataclass(frozen=True)
class Ranks:
    """This process's number among `count`; the first validates and writes."""

    rank: int = 0
    count: int = 1

    @classmethod
    def join(cls, device: torch.device) -> Ranks:
        """The group that torchrun has started (gloo on CPUs, NCCL on GPUs); alone without torchrun."""
        if "RANK" not in os.environ:
            return cls()
        if not distributed.is_initialized():
            if device.type == "cuda":
                torch.cuda.set_device(device)  # barriers would all use the first GPU
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this process validates and writes."""
        return self.rank == 0

    def agree(self, value: bool, device: torch.device) -> bool:
        """The first process's word, for all."""
        if self.count == 1:
            return value
        word = torch.tensor([int(value)], device=device)
        distributed.broadcast(word, 0)
        return bool(word.item())

    def wait(self) -> None:
        """For the others."""
        if self.count > 1:
            distributed.barrier()

    def leave(self) -> None:
        """The group, where there is one."""
        if self.count > 1:
            distributed.destroy_process_group()


def local_device() -> str:
    """The GPU of this process by torchrun's LOCAL_RANK where there are GPUs, else the CPU."""
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
