"""The steps of a configured chain, ready to be called one by one."""

from __future__ import annotations

from typing import Protocol

from scanweave.pipeline.containers import Step


class Chain(Protocol):
    """MONAI's `Compose` or ours."""

    def flatten(self) -> Chain:
        """The same without a chain in the chain."""

    @property
    def transforms(self) -> object:
        """The steps, in order."""


def steps_of(chain: Chain) -> list[tuple[str, Step]]:
    """Name and step, in order: a MONAI transform among them is shown the study as MONAI has it.

    Steps are called one by one, not through `Compose`: a refusal reaches the caller as it is, where MONAI would wrap it
    in a RuntimeError, and each one's seconds can be told.
    """
    steps = chain.flatten().transforms
    return [(type(step).__name__.removesuffix("d"), _adapted(step)) for step in steps]  # type: ignore[attr-defined]


def _adapted(step: Step) -> Step:
    if not type(step).__module__.startswith("monai."):
        return step
    from scanweave.transforms.monai_steps import MonaiStep

    return MonaiStep(step)  # type: ignore[arg-type]
