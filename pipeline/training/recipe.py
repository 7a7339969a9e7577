"""How a network is trained: numbers only, so that a run can be compared with its record and repeated."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scanweave.errors import Code, Problem, UsageError

ROUNDING = 1e-9
"""Of a fraction of epochs: 0.55 of 100 are 55, though the product is a little more."""


@dataclass(frozen=True)
class Phase:
    """A part of the training at one resolution.

    It lasts until the fraction `until` of all epochs. Samples are windows of `size` (rows, columns) pixels, each
    `pixel` whole pixels of the model space wide: (128, 128) at 2.0 is the whole plane at half resolution.
    """

    until: float
    size: tuple[int, int]
    pixel: float
    batch: int

    def __post_init__(self) -> None:
        if self.pixel < 1 or self.pixel != int(self.pixel) or self.batch < 1 or min(self.size) < 1:
            message = f"a phase needs whole pixels, a batch and a size of 1 or more, got {self}"
            raise UsageError(Problem(Code.USAGE, message))


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training.

    Attributes
    ----------
    epochs, epoch_slices
        An epoch draws `epoch_slices` slices; None draws as many as there are.
    phases
        Resolutions and batch sizes, one after the other.
    learning_rate, warmup
        The largest rate, reached after the fraction `warmup` of the training and lowered along a cosine to zero.
    lesion_weight
        How much more often the slice with the largest lesion is drawn than one without; between them as the square
        root of the area.
    validate_every, patience
        Epochs between validations, and how many without a better Dice end the last phase; None never does.
    checkpoint_seconds
        Between two writings of the state from which a killed training goes on.
    seed
        Of order and augmentation; the split has its own.
    """

    epochs: int
    phases: tuple[Phase, ...]
    epoch_slices: int | None = None
    learning_rate: float = 1e-3
    warmup: float = 0.03
    lesion_weight: float = 4.0
    validate_every: int = 1
    patience: int | None = None
    checkpoint_seconds: float = 120.0
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(self.phases))  # a configuration holds lists
        if self.epochs < 1:
            raise UsageError(Problem(Code.USAGE, f"--epochs: expected at least 1, got {self.epochs}"))
        ends = [phase.until for phase in self.phases]
        if not ends or ends != sorted(ends) or ends[-1] != 1:
            raise UsageError(Problem(Code.USAGE, f"the recipe's phases have to end in order and at 1.0, not at {ends}"))

    def phase(self, epoch: int) -> Phase:
        """That of an epoch, which counts from 0."""
        return next(phase for phase in self.phases if epoch < math.ceil(phase.until * self.epochs - ROUNDING))

    def work(self, epochs: float) -> float:
        """The part of all computing that so many epochs take, 0..1: of their pixels."""
        costs = [math.prod(self.phase(epoch).size) for epoch in range(self.epochs)]
        whole = int(epochs)
        begun = (epochs - whole) * costs[whole] if whole < self.epochs else 0.0
        return (sum(costs[:whole]) + begun) / sum(costs)

    def rate(self, done: float) -> float:
        """The learning rate after the fraction `done` of the training (Loshchilov and Hutter 2017, no restarts)."""
        if done < self.warmup:
            return self.learning_rate * max(done / self.warmup, 0.01)
        return self.learning_rate * (1 + math.cos(math.pi * (done - self.warmup) / (1 - self.warmup))) / 2
