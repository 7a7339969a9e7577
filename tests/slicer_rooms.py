"""Slicer's place is taken by a small scene, and PythonQt's by PySide6: the module's own code is what runs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from conftest import IN_CI, REPOSITORY
from ScanweaveLib.logic import SceneVolume


def require_qt() -> None:
    """PySide6, which needs some of the system's libraries; missing is a failure in CI."""
    try:
        importlib.import_module("PySide6.QtUiTools")
    except ImportError as error:
        reason = f"PySide6 cannot be used ({error}): run scripts/install-test-tools"
        pytest.fail(reason) if IN_CI else pytest.skip(reason)


MODULE = REPOSITORY / "integrations" / "slicer" / "Scanweave"


@dataclass
class FakeScene:
    """Volumes from DICOM folders or NIfTI files; it keeps what arrives."""

    loaded: list[SceneVolume] = field(default_factory=list)
    nifti: dict[str, Path] = field(default_factory=dict)
    segmentations: dict[str, dict[str, Any]] = field(default_factory=dict)
    registered: dict[str, dict[str, Any]] = field(default_factory=dict)

    def load_dicom(self, files: Sequence[Path]) -> None:
        """A volume for each series, as Slicer's DICOM module makes them."""
        series: dict[str, list[Path]] = {}
        names = {}
        for file in files:
            header = pydicom.dcmread(file, stop_before_pixels=True)
            series.setdefault(header.SeriesInstanceUID, []).append(file)
            words = {"Ax T1": "Ax T1 before"}.get(header.SeriesDescription, header.SeriesDescription)
            names[header.SeriesInstanceUID] = f"{header.get('SeriesNumber', 0)}: {words}"
        for uid, found in series.items():
            key = f"vtkMRMLScalarVolumeNode{len(self.loaded) + 1}"
            self.loaded.append(SceneVolume(key, names[uid], tuple(map(str, found)), uid))

    def load_nifti(self, path: Path, name: str) -> None:
        key = f"vtkMRMLScalarVolumeNode{len(self.loaded) + 1}"
        self.loaded.append(SceneVolume(key, name))
        self.nifti[key] = path

    def key(self, word: str) -> str:
        """Of the volume whose name has `word`."""
        (found,) = [volume.key for volume in self.loaded if word in volume.name]
        return found

    def volumes(self) -> Sequence[SceneVolume]:
        return self.loaded

    def save_volume(self, key: str, path: Path) -> None:
        import nibabel as nib

        nib.save(nib.load(self.nifti[key]), path)

    def add_segmentation(self, path: Path, name: str, reference: str, description: str) -> str:
        import nrrd

        array, header = nrrd.read(str(path))
        self.segmentations[f"vtkMRMLSegmentationNode{len(self.segmentations) + 1}"] = {
            "array": array, "header": header, "name": name, "reference": reference, "description": description,
        }  # fmt: skip
        return f"vtkMRMLSegmentationNode{len(self.segmentations)}"

    def add_registered(self, key: str, name: str, matrix: np.ndarray, reference: str) -> tuple[str, str]:
        self.registered[key] = {"name": name, "matrix": matrix, "reference": reference}
        return f"copy-of-{key}", f"transform-of-{key}"


def own_environment(folder: Path) -> Any:
    """One that leads to the scanweave under test."""
    from ScanweaveLib.environment import OwnEnvironment

    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "installed").touch()

    class OfThisTest(OwnEnvironment):
        @property
        def command(self) -> tuple[str, ...]:
            return (sys.executable, "-m", "scanweave")

    return OfThisTest(folder)


@contextmanager
def panel(scene: FakeScene, folder: Path, own: Any) -> Iterator[tuple[Any, Any]]:
    """The form by QUiLoader, without a screen, with the panel that runs it."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtCore import QTimer
    from PySide6.QtUiTools import QUiLoader
    from PySide6.QtWidgets import QApplication, QComboBox, QLayout, QWidget
    from ScanweaveLib.panel import Panel

    application = QApplication.instance() or QApplication([])
    form = QUiLoader().load(str(MODULE / "Resources" / "UI" / "Scanweave.ui"))

    class Widgets:
        def __getattr__(self, name: str) -> Any:
            found = form.findChild(QWidget, name) or form.findChild(QLayout, name)
            if found is None:
                raise AttributeError(name)
            return found

    def every(milliseconds: int, function: Callable[[], None]) -> Any:
        timer = QTimer()
        timer.setInterval(milliseconds)
        timer.timeout.connect(function)
        timer.start()
        return timer

    system = {"SCANWEAVE_SITE_KEY": "tests", **os.environ}
    temporary = folder / "tempörary files"
    temporary.mkdir(exist_ok=True)
    made = Panel(Widgets(), scene, own, system, QComboBox, every, (sys.executable,), temporary)
    form.resize(560, 1000)
    form.show()
    try:
        yield made, form
        assert not list(temporary.iterdir()), "what was temporary is gone"
    finally:
        made.close()
        made.timer.stop()
        form.close()
        application.processEvents()


def run_until(condition: Callable[[], bool], seconds: float = 600.0) -> None:
    """Let Qt work until then."""
    import time

    from PySide6.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        QApplication.processEvents()
        time.sleep(0.02)
