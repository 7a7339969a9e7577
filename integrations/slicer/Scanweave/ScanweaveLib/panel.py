"""What the panel does: widgets of Scanweave.ui on one side, the logic on the other.

Written so that PythonQt (Slicer) and PySide6 (tests) both run it: properties are read by `value`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ScanweaveLib.environment import SIZE, OwnEnvironment, Source, clean, pythons
from ScanweaveLib.installation import Installation
from ScanweaveLib.logic import NOTICE, Logic, Scene, Segmented, Settings, missing_roles
from ScanweaveLib.problems import Problem
from ScanweaveLib.roles import SHIPPED, roles_of

NONE = "(none)"
POLL_MS = 200


class Panel:
    """`ui` holds the widgets by their names; `new_combo` makes a QComboBox, `every` calls a function every so many ms.

    `system` are the variables of the environment from which Slicer was started.
    """

    def __init__(
        self,
        ui: Any,
        scene: Scene,
        own: OwnEnvironment,
        system: dict[str, str],
        new_combo: Callable[[], Any],
        every: Callable[[int, Callable[[], None]], Any],
        extra_pythons: Sequence[str] = (),
        temporary: Path | None = None,
    ) -> None:
        self.ui, self.scene, self.own, self.system = ui, scene, own, system
        self.new_combo, self.temporary = new_combo, temporary
        self.combos: dict[str, Any] = {}
        self._keys: list[str] = []
        self._task: Any = None
        self._then: Callable[[Any], None] = lambda result: None
        for bundle in SHIPPED:
            ui.modelCombo.addItem(bundle)
        for device in ("auto", "cpu", "cuda:0"):
            ui.deviceCombo.addItem(device)
        ui.noticeLabel.setText(f"{NOTICE}.")
        ui.sizeLabel.setText(SIZE)
        ui.modelCombo.currentTextChanged.connect(self.choose_model)
        ui.findButton.clicked.connect(self.find_roles)
        ui.applyButton.clicked.connect(self.apply)
        ui.cancelButton.clicked.connect(self.cancel)
        ui.installButton.clicked.connect(self.install)
        ui.removeButton.clicked.connect(self.remove)
        self.choose_model()
        for python in pythons(system, extra_pythons):
            ui.pythonCombo.addItem(python)
        self._show_idle("")
        self.timer = every(POLL_MS, self.poll)

    # what is shown

    def choose_model(self, *_: object) -> None:
        """A selector for each role of the bundle."""
        layout = self.ui.rolesLayout
        while value(layout.rowCount):
            layout.removeRow(0)
        self.combos = {}
        try:
            roles = roles_of(value(self.ui.modelCombo.currentText))
        except ValueError as error:
            self._show_problems((Problem("", str(error)),))
            return
        for role in roles:
            combo = self.combos[role.name] = self.new_combo()
            combo.setObjectName(f"role_{role.name}")
            layout.addRow(role.label if role.required else f"{role.label} (optional)", combo)
        self.show_volumes()

    def show_volumes(self) -> None:
        """The scene has changed: what was chosen stays chosen."""
        volumes = self.scene.volumes()
        chosen = self.chosen()
        self._keys = ["", *(volume.key for volume in volumes)]
        for role, combo in self.combos.items():
            combo.clear()
            for name in (NONE, *(volume.name for volume in volumes)):
                combo.addItem(name)
            key = chosen.get(role, "")
            combo.setCurrentIndex(self._keys.index(key) if key in self._keys else 0)

    def chosen(self) -> dict[str, str]:
        """Role to key, of those that have one."""
        found = {role: value(combo.currentIndex) for role, combo in self.combos.items()}
        return {role: self._keys[index] for role, index in found.items() if 0 < index < len(self._keys)}

    def show_environment(self) -> None:
        """Whether scanweave is installed, and what can be done then."""
        ready = self.own.is_there
        self.ui.environmentLabel.setText(f"Installed in {self.own.folder}" if ready else "Not installed yet.")
        self.ui.removeButton.setEnabled(ready)
        self.ui.findButton.setEnabled(ready)
        self.ui.applyButton.setEnabled(ready)

    # what the buttons do

    def find_roles(self, *_: object) -> None:
        """Fill the selectors by scanweave's selection rules."""
        self._begin("looking at the series", lambda: self._logic.find_roles(self._bundle), self._take_roles)

    def apply(self, *_: object) -> None:
        """Segment what was chosen."""
        wanted = [role.name for role in roles_of(self._bundle) if role.required]
        roles = self.chosen()
        if problems := missing_roles(wanted, roles):
            self._show_problems(problems)
            return
        keep = value(self.ui.keepEdit.text).strip()
        settings = Settings(bundle=self._bundle, device=value(self.ui.deviceCombo.currentText), keep=keep)
        self._begin("segmenting", lambda: self._logic.segment(roles, settings), self._arrived)

    def cancel(self, *_: object) -> None:
        """End what runs; nothing of it stays."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            self._show_idle("Cancelled.")

    def install(self, *_: object) -> None:
        """Make scanweave's own environment."""
        python = value(self.ui.pythonCombo.currentText)
        if not python:
            self._show_problems((Problem("", "no Python 3.11 or later was found: install one from python.org"),))
            return
        source = Source(
            wheelhouse=value(self.ui.wheelhouseEdit.text).strip(),
            proxy=value(self.ui.proxyEdit.text).strip(),
            certificates=value(self.ui.certificatesEdit.text).strip(),
            cpu_only=value(self.ui.cpuOnlyBox.checked) if hasattr(self.ui.cpuOnlyBox, "checked")
            else self.ui.cpuOnlyBox.isChecked(),
        )  # fmt: skip
        self._begin("installing", lambda: Installation(self.own, python, source, self.system), self._installed)

    def remove(self, *_: object) -> None:
        """Take the environment away."""
        self.own.remove()
        self._show_idle("Removed.")

    # what runs

    def poll(self) -> None:
        """Called now and then, in the thread that may change the scene."""
        task = self._task
        if task is None:
            return
        self._log(task.process.new_lines())
        self.ui.progressBar.setValue(round(100 * task.progress))
        if task.process.words:
            self.ui.standingLabel.setText(task.process.words)
        try:
            if not task.poll():
                return
        except Exception as error:
            task.problems = (Problem("", f"the result could not be taken ({error})"),)
        self._task = None
        self._log([*task.process.new_lines(), *(f"{problem}" for problem in task.problems)])
        self._show_idle("")
        self._show_problems(task.problems)
        if task.result is not None:
            self._then(task.result)

    def close(self) -> None:
        """The module goes: so does what runs."""
        self.cancel()

    @property
    def _bundle(self) -> str:
        return str(value(self.ui.modelCombo.currentText))

    @property
    def _logic(self) -> Logic:
        return Logic(self.scene, self.own.command, clean(self.system), self.temporary)

    def _begin(self, words: str, start: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self._show_busy(words)
        try:
            self._task, self._then = start(), then
        except Exception as error:
            self._show_idle("")
            self._show_problems((Problem("", str(error)),))

    def _installed(self, _: bool) -> None:
        self.ui.standingLabel.setText("Installed.")

    def _take_roles(self, found: Any) -> None:
        for role, combo in self.combos.items():
            key = found.roles.get(role, "")
            combo.setCurrentIndex(self._keys.index(key) if key in self._keys else 0)
            combo.setToolTip(found.evidence.get(role, ""))

    def _arrived(self, done: Segmented) -> None:
        volume = "" if done.volume_ml is None else f", {done.volume_ml:.2f} ml"
        self.ui.standingLabel.setText(f"Done{volume}. {NOTICE}.")
        self.ui.warningsLabel.setText("\n".join(["Review before use:", *done.warnings]) if done.warnings else "")
        self.ui.warningsLabel.setVisible(bool(done.warnings))
        self.show_volumes()

    def _show_busy(self, words: str) -> None:
        for name in ("applyButton", "findButton", "installButton", "removeButton"):
            getattr(self.ui, name).setEnabled(False)
        self.ui.cancelButton.setEnabled(True)
        self.ui.warningsLabel.setVisible(False)
        self.ui.progressBar.setValue(0)
        self.ui.standingLabel.setText(words)

    def _show_idle(self, words: str) -> None:
        self.show_environment()
        self.ui.cancelButton.setEnabled(False)
        self.ui.installButton.setEnabled(True)
        self.ui.progressBar.setValue(0)
        self.ui.standingLabel.setText(words)

    def _show_problems(self, problems: Sequence[Problem]) -> None:
        self.ui.warningsLabel.setText("\n".join(map(str, problems)))
        self.ui.warningsLabel.setVisible(bool(problems))

    def _log(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.ui.logText.appendPlainText(line)


def value(read: Any) -> Any:
    """Of a property: PythonQt has the value itself, PySide6 a method."""
    return read() if callable(read) else read
