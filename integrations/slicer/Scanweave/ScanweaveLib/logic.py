"""From volumes in a scene to a segmentation in it. `Scene` is what this needs of Slicer; tests have a small one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ScanweaveLib.problems import Problem
from ScanweaveLib.process import Process
from ScanweaveLib.task import Task

NOTICE = "Research use only, not a medical device"


@dataclass(frozen=True)
class SceneVolume:
    """A scalar volume: the key of its node, its name, and the DICOM files that it was read from, if any."""

    key: str
    name: str
    files: tuple[str, ...] = ()
    series: str = ""
    """SeriesInstanceUID."""


class Scene(Protocol):
    """What is needed of Slicer; keys are MRML node IDs."""

    def volumes(self) -> Sequence[SceneVolume]:
        """All scalar volumes."""

    def save_volume(self, key: str, path: Path) -> None:
        """As NIfTI, on its own grid."""

    def add_segmentation(self, path: Path, name: str, reference: str, description: str) -> str:
        """Load a .seg.nrrd; the volume `reference` gives its geometry, its study, and the transform it is under."""

    def add_registered(self, key: str, name: str, matrix: np.ndarray, reference: str) -> tuple[str, str]:
        """A copy of a volume under a new transform: `matrix` (4x4, RAS mm) takes its points to those of `reference`."""


@dataclass(frozen=True)
class Settings:
    """As the options of `scanweave segment`; `keep` is a folder that gets all results, else nothing stays on disk.

    A result that is there already is never replaced: scanweave refuses, for names of volumes say little.
    """

    bundle: str = "flair_abnormality"
    device: str = "auto"
    keep: str = ""


@dataclass(frozen=True)
class Found:
    """Which volume has which role, and which evidence."""

    roles: Mapping[str, str]
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Segmented:
    """What has arrived in the scene."""

    segmentation: str
    volumes: Mapping[str, str]
    transforms: Mapping[str, str]
    volume_ml: float | None
    warnings: tuple[str, ...]


class Logic:
    """`command` starts scanweave (`environment.OwnEnvironment.command`), in `environment`."""

    def __init__(
        self, scene: Scene, command: Sequence[str], environment: Mapping[str, str], temporary: Path | None = None
    ) -> None:
        self.scene, self.command, self.environment = scene, tuple(command), environment
        self.temporary = temporary

    def find_roles(self, bundle: str) -> Task:
        """Have scanweave say which of the scene's volumes has which role; the task's result is a `Found`.

        Volumes from DICOM are judged by their headers, and where there are any, the others are left out.
        """
        volumes = self.scene.volumes()
        from_dicom = [volume for volume in volumes if volume.files]
        by_name: dict[str, str] = {}

        def fill(folder: Path) -> Sequence[str]:
            for number, volume in enumerate(from_dicom or volumes):
                if from_dicom:
                    by_name[volume.series] = volume.key
                    _gather(volume.files, folder / f"{number}")
                else:
                    name = f"{_plain(volume.name)}_{number}.nii"
                    by_name[name] = volume.key
                    self.scene.save_volume(volume.key, folder / name)
            return (*self.command, "inspect", str(folder), "--bundle", bundle, "--json")

        def use(process: Process, folder: Path) -> Found:
            record = _document(process)
            named = {role: by_name.get(said["series"]) for role, said in record.get("roles", {}).items()}
            evidence = {role: "; ".join(said["evidence"]) for role, said in record.get("roles", {}).items()}
            return Found({role: key for role, key in named.items() if key}, evidence)

        return Task(fill, use, self.environment, self.temporary)

    def segment(self, roles: Mapping[str, str], settings: Settings) -> Task:
        """Segment the volumes of `roles` (role to key); the task's result is a `Segmented`.

        Nothing is resampled here, whatever the volumes' geometries: scanweave registers them. Series from DICOM go as
        DICOM, so that those of different patients are refused.
        """
        chosen = {role: volume for role, key in roles.items() for volume in self.scene.volumes() if volume.key == key}
        before: set[Path] = set()

        def fill(folder: Path) -> Sequence[str]:
            out = Path(settings.keep) if settings.keep else folder / "out"
            before.update(_masks(out))
            options = []
            for role, volume in chosen.items():
                if all(one.files for one in chosen.values()):
                    place = folder / role
                    _gather(volume.files, place)
                else:
                    place = folder / role / f"{_plain(volume.name)}.nii"  # a result has the name of its file
                    place.parent.mkdir()
                    self.scene.save_volume(volume.key, place)
                options += ["--input", f"{role}={place}"]
            kept = ("--outputs", "nifti,seg-nrrd,report") if settings.keep else ("--outputs", "seg-nrrd")
            return (
                *(*self.command, "segment", *options, *kept, "-o", str(out)),
                *("--bundle", settings.bundle, "--device", settings.device, "--json", "--progress", "tags"),
            )

        def use(process: Process, folder: Path) -> Segmented | None:
            if process.exit_code != 0:
                return None
            (mask,) = _masks(Path(settings.keep) if settings.keep else folder / "out") - before
            return self._arrive(_document(process), mask, chosen)

        return Task(fill, use, self.environment, self.temporary)

    def _arrive(self, record: Mapping[str, Any], mask: Path, chosen: Mapping[str, SceneVolume]) -> Segmented:
        # Whatever the bundle calls it: the one series that was registered to no other.
        (reference,) = (volume for role, volume in chosen.items() if role not in record["registration"])
        warnings = tuple(record["warnings"])
        name = f"{reference.name} segmentation" + (" (review)" if warnings else "")
        description = "\n".join([f"{NOTICE}.", *warnings])
        segmentation = self.scene.add_segmentation(mask, name, reference.key, description)
        volumes, transforms = {}, {}
        for role, registered in record["registration"].items():
            # result.json has reference to series; a transform node takes what is under it the other way.
            to_reference = np.linalg.inv(np.asarray(registered["matrix_ras"], dtype=float))
            volumes[role], transforms[role] = self.scene.add_registered(
                chosen[role].key, f"{chosen[role].name} registered", to_reference, reference.key
            )
        return Segmented(segmentation, volumes, transforms, record["volume_ml"], warnings)


def missing_roles(wanted: Sequence[str], roles: Mapping[str, str]) -> tuple[Problem, ...]:
    """A line for each role that must have a volume and has none, and for each volume that has two roles."""
    problems = [Problem("", f"choose the volume for {name}") for name in wanted if not roles.get(name)]
    taken = [key for key in roles.values() if key]
    if len(set(taken)) < len(taken):
        problems.append(Problem("", "one volume cannot have two roles"))
    return tuple(problems)


def _document(process: Process) -> Any:
    return json.loads(process.out)


def _masks(folder: Path) -> set[Path]:
    return set(folder.glob("*/segmentation.seg.nrrd"))


def _gather(files: Sequence[str], folder: Path) -> None:
    """The files of a series side by side; links where the disk allows them."""
    folder.mkdir()
    for number, file in enumerate(files):
        target = folder / f"{number:05d}.dcm"
        try:
            os.link(file, target)
        except OSError:
            shutil.copyfile(file, target)


def _plain(name: str) -> str:
    """Of a node's name what may stand in a file's: its words say which role it has."""
    return "".join(letter if letter.isalnum() or letter in "-_ +" else "_" for letter in name)[:80] or "volume"
