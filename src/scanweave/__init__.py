"""scanweave: a brain MR study in, a segmentation in the study's own geometry out.

    from scanweave import segment
    done = segment("study", "results")
    print(done.volume_ml, done.mask.array.shape, done.warnings)

`inspect` says what `segment` would do. Research use only; not a medical device.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scanweave.errors import Code, EnvironmentFailure, InputRefused, Problem, ScanweaveError, UsageError
    from scanweave.pipeline.batch.batch import Batch, batch
    from scanweave.pipeline.batch.settings import BatchSettings
    from scanweave.pipeline.evaluation.evaluate import evaluate
    from scanweave.pipeline.evaluation.evaluation import Evaluation
    from scanweave.pipeline.inspection import Inspection
    from scanweave.pipeline.network_settings import NetworkSettings
    from scanweave.pipeline.progress import Stage
    from scanweave.pipeline.segment_settings import SegmentSettings
    from scanweave.pipeline.segmented import SegmentedStudy
    from scanweave.pipeline.study import inspect, segment
    from scanweave.pipeline.training.train import Training, train
    from scanweave.pipeline.training.train_settings import TrainSettings
    from scanweave.transforms.geometry import Volume
    from scanweave.transforms.io.series import Series

__version__ = "0.1.0"

RESEARCH_NOTICE = "Research use only, not a medical device"
"""Stands wherever results are shown."""

__all__ = [
    "RESEARCH_NOTICE",
    "Batch",
    "BatchSettings",
    "Code",
    "EnvironmentFailure",
    "Evaluation",
    "InputRefused",
    "Inspection",
    "NetworkSettings",
    "Problem",
    "ScanweaveError",
    "SegmentSettings",
    "SegmentedStudy",
    "Series",
    "Stage",
    "TrainSettings",
    "Training",
    "UsageError",
    "Volume",
    "__version__",
    "batch",
    "evaluate",
    "inspect",
    "segment",
    "train",
]

_HOMES = {
    "Batch": "scanweave.pipeline.batch.batch",
    "BatchSettings": "scanweave.pipeline.batch.settings",
    "Code": "scanweave.errors",
    "EnvironmentFailure": "scanweave.errors",
    "Evaluation": "scanweave.pipeline.evaluation.evaluation",
    "InputRefused": "scanweave.errors",
    "Inspection": "scanweave.pipeline.inspection",
    "NetworkSettings": "scanweave.pipeline.network_settings",
    "Problem": "scanweave.errors",
    "ScanweaveError": "scanweave.errors",
    "SegmentSettings": "scanweave.pipeline.segment_settings",
    "SegmentedStudy": "scanweave.pipeline.segmented",
    "Series": "scanweave.transforms.io.series",
    "Stage": "scanweave.pipeline.progress",
    "TrainSettings": "scanweave.pipeline.training.train_settings",
    "Training": "scanweave.pipeline.training.train",
    "UsageError": "scanweave.errors",
    "Volume": "scanweave.transforms.geometry",
    "batch": "scanweave.pipeline.batch.batch",
    "evaluate": "scanweave.pipeline.evaluation.evaluate",
    "inspect": "scanweave.pipeline.study",
    "segment": "scanweave.pipeline.study",
    "train": "scanweave.pipeline.training.train",
}
"""Public names are imported when they are asked for (PEP 562): `import scanweave` costs nothing."""

if not TYPE_CHECKING:  # a type checker would take it for an attribute of any name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        globals()[name] = value = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})
