"""One contender on one study, measured, and its result looked at: without one there is no number."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench_studies import Study
from contenders import TRANSFORMS, Contender, Task
from environments import BENCHMARKS, CHECKOUT, Environment, without_python_settings
from machine import available_mb
from measure import Limits, Measured, measure

MEMORY_SHARE = 0.75
"""Of the memory available before a run; beyond it the run is ended, before the system ends something else."""
LONGEST_REASON = 160
"""Characters of a program's last line that a table shows."""
GRID_TOLERANCE_MM = 0.01
"""NIfTI holds a grid in single precision, and some libraries rebuild it from quaternions."""
PROBES_MM = 70.0
"""From the FLAIR's centre to the points at which two transforms are compared: about a head's surface."""


@dataclass(frozen=True)
class Run:
    """One try. `measured` is None where it failed, and `failure` says why; `figures` are of the result."""

    study: str
    contender: str
    round: int
    measured: Measured | None = None
    failure: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


def take_turns(
    contenders: Iterable[Contender],
    study: Study,
    environments: Mapping[str, Environment | str],
    rounds: int,
    work: Path,
    limit_s: float,
) -> Iterator[Run]:
    """A B C, A B C: what the machine does besides meets all alike. Who fails is not tried again.

    `environments` holds, by requirements file, an environment, or the reason why there is none.
    """
    failed: set[str] = set()
    shutil.rmtree(work / study.name, ignore_errors=True)
    for number in range(1, rounds + 1):
        for contender in contenders:
            if contender.name in failed:
                continue
            place = environments[contender.requirements]
            if isinstance(place, str):
                run = Run(
                    study.name, contender.name, number, failure=_without_paths(f"no environment: {place}", work, study)
                )
            else:
                run = _try(contender, study, place, number, work, limit_s)
            if run.failure:
                failed.add(contender.name)
            yield run


def _try(contender: Contender, study: Study, place: Environment, number: int, work: Path, limit_s: float) -> Run:
    """In an empty folder, with this shell's environment but for what belongs to another Python."""
    folder = work / study.name / contender.name.replace(" ", "-").replace("(", "").replace(")", "")
    shutil.rmtree(folder, ignore_errors=True)
    out = folder / "out"
    out.mkdir(parents=True)
    fields = {"bin": place.bin, "recipes": BENCHMARKS / "recipes", "checkout": CHECKOUT, "folder": study.folder}
    words = contender.words(fields | dict(study.series) | {"out": out})
    log = folder / "log.txt"
    environment = without_python_settings() | {"SCANWEAVE_SITE_KEY": "benchmarks"}
    limits = Limits(limit_s, MEMORY_SHARE * available_mb())
    measured = measure(words, folder=folder, log=log, environment=environment, limits=limits)
    failure = _failure(measured, log)
    figures: Mapping[str, float] = {}
    if not failure:
        try:
            figures = _figures(contender, study, out)
        except (OSError, ValueError, KeyError) as error:
            failure = f"no result: {error}"
    if failure:
        return Run(study.name, contender.name, number, failure=_without_paths(failure, work, study))
    return Run(study.name, contender.name, number, measured, figures=figures)


def _failure(measured: Measured, log: Path) -> str:
    """Why there can be no result; empty where there should be one."""
    if measured.stopped:
        return measured.stopped
    if measured.exit_code:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] or ["no output"]
        return f"exit code {measured.exit_code}: {lines[-1].strip()[:LONGEST_REASON]}"
    return ""


def _figures(contender: Contender, study: Study, out: Path) -> dict[str, float]:
    """Of the result; ValueError or OSError where it is none."""
    found = sorted(out.glob(contender.result))
    if len(found) != 1:
        raise ValueError(f"expected one {contender.result}, found {len(found)}")
    if contender.task is Task.STUDY:
        return _of_mask(found[0], study.series["flair"])
    done = json.loads(found[0].read_text())
    figures = {"pairs_cpu_s": float(done["pairs_cpu_s"])}
    if study.motion is not None:
        figures["error_mm"] = distance_mm(done, json.loads(study.motion.read_text()))
    reference = out.parent.parent / "scanweave-registration" / "out" / TRANSFORMS  # of this round: it goes first
    if contender.requirements != "scanweave.txt" and reference.is_file():
        figures["from_scanweave_mm"] = distance_mm(done, json.loads(reference.read_text()))
    return figures


def _of_mask(path: Path, flair: Path) -> dict[str, float]:
    """Its volume; ValueError where it does not lie on the FLAIR's grid (of a DICOM series: has not as many slices)."""
    import nibabel as nib
    import numpy as np

    try:
        image = nib.load(path)
        mask = np.asarray(image.dataobj)
        if flair.is_dir():
            expected = (*mask.shape[:2], len(list(flair.iterdir())))
            placed = True
        else:
            grid = nib.load(flair)
            expected = grid.shape
            placed = np.allclose(image.affine, grid.affine, atol=GRID_TOLERANCE_MM)
    except nib.filebasedimages.ImageFileError as error:
        raise ValueError(str(error)) from None
    if mask.shape != expected or not placed:
        raise ValueError(f"expected a mask on the FLAIR's grid {expected}, found {mask.shape} or other axes")
    voxel_ml = abs(float(np.linalg.det(image.affine[:3, :3]))) / 1000
    return {"volume_ml": float(np.count_nonzero(mask)) * voxel_ml}


def distance_mm(one: Mapping[str, object], other: Mapping[str, object]) -> float:
    """Mean distance between where two results (4x4 RAS mm under `pre` and `post`) take six points about the head."""
    import numpy as np

    steps = np.vstack([np.eye(3), -np.eye(3)]) * PROBES_MM
    points = np.hstack([steps + np.asarray(one["centre_ras"], dtype=float), np.ones((6, 1))])
    apart = [
        np.linalg.norm((points @ (np.asarray(one[role], float) - np.asarray(other[role], float)).T)[:, :3], axis=1)
        for role in ("pre", "post")
    ]
    return float(np.mean(apart))


def _without_paths(text: str, work: Path, study: Study) -> str:
    """A published reason names no folder of the machine that it was measured on."""
    for path in (*study.series.values(), study.folder, work.parent, BENCHMARKS, CHECKOUT, Path.home()):
        text = text.replace(f"{path}", "..")
    return text
