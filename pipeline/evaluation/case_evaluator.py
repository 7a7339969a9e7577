"""The engine of an evaluation: one case after the other, its figures kept, its arrays let go."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scanweave.errors import Code, Problem, ScanweaveError, UsageError
from scanweave.networks.weights import Weights
from scanweave.pipeline.evaluation.check_cases import check_cases, of_case
from scanweave.pipeline.evaluation.evaluation import (
    EVALUATION_FILE,
    CaseFigures,
    Evaluation,
    evaluation_record,
    summaries_of,
    worst_first,
)
from scanweave.pipeline.evaluation.overlays import Overlays
from scanweave.pipeline.evaluation.trained_on import seen_warnings
from scanweave.pipeline.evaluation.write_evaluation import write_evaluation
from scanweave.pipeline.evaluator import StudyEvaluator
from scanweave.pipeline.progress import Progress, Stage, silent
from scanweave.pipeline.progress_course import CASE, STUDY_STEPS, Course
from scanweave.pipeline.result_folder import check_place, staged
from scanweave.pipeline.switch import switch
from scanweave.transforms.io.labelled_cases import Case
from scanweave.transforms.selection.roles import Role

WRITE_STEP = "WriteEvaluation"


class CaseEvaluator:
    """Runs the chain of evaluate.json over the cases of its dataset and gathers the figures.

    With `output_dir` the files go there, whole or not at all; without it nothing is written. `seen` are the patients
    whom the weights were trained on.
    """

    def __init__(
        self,
        study_evaluator: StudyEvaluator,
        roles: Sequence[Role],
        reference: str,
        bundle: str | Path,
        metadata: Mapping[str, Any],
        weights: Weights,
        output_dir: str | Path | None = None,
        overwrite: bool = False,
        seen: Collection[str] = (),
    ) -> None:
        self.study_evaluator = study_evaluator
        self.roles = tuple(roles)
        self.reference = reference
        self.bundle = {"name": Path(bundle).resolve().name, "version": metadata.get("version", "")}
        self.weights = {"name": weights.name, "sha256": weights.sha256}
        self.folder = Path(output_dir) if output_dir else None
        self.overwrite = switch("overwrite", overwrite)
        self.seen = frozenset(seen)

    def run(self, progress: Progress = silent) -> Evaluation:
        """Check everything, then evaluate every case; the first refusal ends the run, with the case's name."""
        begin = time.perf_counter()
        items = self.study_evaluator.dataset.data
        if not items:
            raise UsageError(Problem(Code.USAGE, "--dataset_dir: expected a folder of cases, got none"))
        if self.folder is not None:
            check_place(self.folder, overwrite=self._may_replace(self.folder), mark=EVALUATION_FILE)
        check_cases([item["case"] for item in items], self.roles, self.reference, progress)
        with ExitStack() as closing:
            overlays = None
            if self.folder is not None:
                place = staged(self.folder, overwrite=self._may_replace(self.folder), mark=EVALUATION_FILE)
                stage = closing.enter_context(place)
                overlays = Overlays(stage, [role.name for role in self.roles].index(self.reference))
            cases, computed = self._evaluate(items, overlays, progress)
            ordered = worst_first(cases)
            summaries = summaries_of(ordered)
            warnings = seen_warnings([case.patient for case in ordered], self.seen)
            made_with = {
                "settings": computed,
                "weights": self.weights,
                "bundle": self.bundle,
                "warnings": list(warnings),
            }
            record = evaluation_record(ordered, summaries, made_with, time.perf_counter() - begin)
            done = Evaluation(ordered, summaries, record, self.folder)
            if overlays is not None:
                progress(Stage(WRITE_STEP))
                overlays.rank([case.name for case in ordered])
                write_evaluation(stage, done)
        return done

    def _evaluate(
        self, items: Sequence[Mapping[str, Any]], overlays: Overlays | None, progress: Progress
    ) -> tuple[list[CaseFigures], dict[str, str]]:
        """The figures of every case, and what the last one was computed with: nothing of it changes, but a device
        that runs out of memory hands over to the CPU."""
        cases: list[CaseFigures] = []
        computed: dict[str, str] = {}
        for number, item in enumerate(items, start=1):
            case: Case = item["case"]
            study = self._segment(item, case, _within(progress, number, len(items)))
            figures = CaseFigures(case.name, case.patient, study["figures"])
            cases.append(figures)
            computed = {"components": study["components"].rule, **study["computed"]}
            if overlays is not None:
                overlays.draw(study, figures)
            del study
        return cases, computed

    def _segment(self, item: Mapping[str, Any], case: Case, progress: Progress) -> dict[str, Any]:
        try:
            return self.study_evaluator.segment(item, progress)
        except ScanweaveError as refusal:
            raise type(refusal)([of_case(problem, case) for problem in refusal.problems]) from refusal

    def _may_replace(self, folder: Path) -> bool:
        """An empty folder was made to be filled."""
        try:
            return self.overwrite or (folder.is_dir() and not any(folder.iterdir()))
        except OSError:  # whoever may not list it may not replace it
            return False


def _within(progress: Progress, number: int, count: int) -> Progress:
    """The steps of a case as parts of it."""
    course = Course(STUDY_STEPS)

    def tell(stage: Stage) -> None:
        course.follow(stage)
        progress(Stage(CASE, number, count, course.fraction()))

    return tell
