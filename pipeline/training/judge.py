"""What an epoch was worth: validation, the best weights so far, and whether to go on."""

from __future__ import annotations

from pathlib import Path

from scanweave.pipeline.training.learner import Learner
from scanweave.pipeline.training.ranks import Ranks
from scanweave.pipeline.training.recipe import Recipe
from scanweave.pipeline.training.state import TrainingState, write_whole
from scanweave.pipeline.training.validation import Validation
from scanweave.pipeline.training.volumes import TrainingVolume

BEST_FILE = "best.pt"


class Judge:
    """Validates the moving average of the weights on `volumes`, and keeps the best in `folder`/best.pt.

    With nobody to validate, the last are the best. Dice at half resolution and at full do not compare: the phase of
    the last epoch alone chooses.
    """

    def __init__(
        self,
        learner: Learner,
        recipe: Recipe,
        volumes: tuple[TrainingVolume, ...],
        folder: Path,
        ranks: Ranks,
        validation: Validation | None = None,
    ) -> None:
        self.learner, self.recipe, self.volumes = learner, recipe, volumes
        self.validation = validation or Validation()
        self.folder = folder
        self.ranks = ranks

    def close(self, state: TrainingState) -> None:
        """End the state's epoch: its record goes to the history, and the next epoch is up, or the training finished."""
        recipe, epoch = self.recipe, state.epoch
        chooses = recipe.phase(epoch) is recipe.phase(recipe.epochs - 1)
        dice = self._dice(epoch)
        if chooses and self.ranks.first:
            self._keep(state, dice)
        last = epoch + 1 == recipe.epochs
        stop = last or (chooses and dice is not None and self._out_of_patience(state))
        state.history.append(self._record(state, dice))
        state.epoch, state.batch, state.losses = epoch + 1, 0, []
        state.finished = self.ranks.agree(stop, self.learner.device)

    def _dice(self, epoch: int) -> float | None:
        due = epoch + 1 == self.recipe.epochs or (epoch + 1) % self.recipe.validate_every == 0
        if not (due and self.volumes and self.ranks.first):
            return None
        phase, learner = self.recipe.phase(epoch), self.learner
        network = learner.average.network
        return self.validation.mean_dice(network, self.volumes, phase, learner.autocast, learner.device)

    def _keep(self, state: TrainingState, dice: float | None) -> None:
        better = not self.volumes if dice is None else dice > state.best_dice
        if better:
            state.best_dice, state.best_epoch = state.best_dice if dice is None else dice, state.epoch
            write_whole(self.learner.average.network.state_dict(), self.folder / BEST_FILE)

    def _out_of_patience(self, state: TrainingState) -> bool:
        patience = self.recipe.patience
        return bool(patience) and state.best_epoch >= 0 and state.epoch - state.best_epoch >= (patience or 0)

    def _record(self, state: TrainingState, dice: float | None) -> dict[str, float | int | None]:
        return {
            "epoch": state.epoch + 1,
            "loss": sum(state.losses) / max(len(state.losses), 1),
            "learning_rate": self.recipe.rate((state.epoch + 1) / self.recipe.epochs),
            "rows": self.recipe.phase(state.epoch).size[0],
            "dice": dice,
            "seconds": round(state.seconds, 1),
        }
