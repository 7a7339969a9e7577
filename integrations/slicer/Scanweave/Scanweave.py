"""3D Slicer's module "Scanweave": a thin shell around ScanweaveLib. Research use only, not a medical device."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from ScanweaveLib.environment import OwnEnvironment
from ScanweaveLib.panel import Panel
from ScanweaveLib.scene import SlicerScene
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin


class Scanweave(ScriptedLoadableModule):
    """As Slicer lists it."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "Scanweave"
        parent.categories = ["Segmentation"]
        parent.dependencies = []
        parent.contributors = ["the scanweave founders"]
        parent.helpText = (
            "Segments the FLAIR abnormality in a brain MR study: T1 before contrast, FLAIR and T1 after contrast, in "
            "any geometry, are registered and segmented by scanweave, in an environment of its own. Research use "
            "only, not a medical device."
        )
        parent.acknowledgementText = "https://github.com/scanweave/scanweave"


class ScanweaveWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Loads the form and gives it to the `Panel`."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def setup(self) -> None:
        """As Slicer calls it, once."""
        ScriptedLoadableModuleWidget.setup(self)
        form = slicer.util.loadUI(self.resourcePath("UI/Scanweave.ui"))
        self.layout.addWidget(form)
        settings = Path(slicer.app.slicerUserSettingsFilePath).parent
        own = OwnEnvironment(settings / "scanweave-environment")
        self.panel = Panel(
            ui=slicer.util.childWidgetVariables(form),
            scene=SlicerScene(),
            own=own,
            system=dict(slicer.util.startupEnvironment()),
            new_combo=qt.QComboBox,
            every=_every,
            extra_pythons=_slicers_python(),
            temporary=Path(slicer.app.temporaryPath),
        )
        for event in (slicer.mrmlScene.NodeAddedEvent, slicer.mrmlScene.NodeRemovedEvent):
            self.addObserver(slicer.mrmlScene, event, self._changed)

    def enter(self) -> None:
        """The module is shown."""
        self.panel.show_volumes()

    def cleanup(self) -> None:
        """The module goes."""
        self.removeObservers()
        self.panel.close()

    def _changed(self, caller: Any, event: Any) -> None:
        if not slicer.mrmlScene.IsBatchProcessing():
            qt.QTimer.singleShot(0, self.panel.show_volumes)


def _slicers_python() -> list[str]:
    """Its own launcher; sys.executable may be Slicer itself, which would open another window."""
    found = shutil.which("PythonSlicer")
    return [] if found is None else [found]


def _every(milliseconds: int, function: Callable[[], None]) -> Any:
    timer = qt.QTimer()
    timer.setInterval(milliseconds)
    timer.timeout.connect(function)
    timer.start()
    return timer
