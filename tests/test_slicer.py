"""Slicer's module: its logic on a small scene, its form in PySide6, its environment made for real."""

import ast
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_rooms import add_patient
from conftest import REPOSITORY
from slicer_rooms import MODULE, FakeScene, own_environment, panel, require_qt, run_until
from studies import run, write_nifti_study

from scanweave.pipeline.bundle import find_bundle

pytest_plugins = ["study_fixtures"]
SLICERS_PYTHON = (3, 9)
"""Of Slicer 5.8."""


@pytest.fixture(autouse=True)
def _qt() -> None:
    require_qt()


@pytest.fixture
def scene(small_study: Path, tmp_path: Path) -> FakeScene:
    made = FakeScene()
    made.load_dicom(add_patient(small_study, tmp_path / "a study's files", 1))
    return made


def warnings_of(form: Any) -> str:
    from PySide6.QtWidgets import QLabel

    label = form.findChild(QLabel, "warningsLabel")
    return str(label.text()) if label.isVisible() else ""


def test_from_the_scene_and_back(scene: FakeScene, small_bundle: Path, tmp_path: Path) -> None:
    with panel(scene, tmp_path, own_environment(tmp_path / "env")) as (shown, form):
        shown.ui.modelCombo.setEditText(str(small_bundle))
        shown.find_roles()
        run_until(lambda: shown._task is None)
        words = {"pre": "Ax T1 before", "flair": "FLAIR", "post": "+C"}
        assert shown.chosen() == {role: scene.key(word) for role, word in words.items()}, warnings_of(form)
        shown.apply()
        run_until(lambda: shown._task is None)
        call = ["segment", tmp_path / "a study's files", "-o", tmp_path / "out", "--bundle", small_bundle]
        assert run(*call, "--outputs", "seg-nrrd").exit_code == 0
        record = json.loads(next((tmp_path / "out").glob("*/result.json")).read_text())
        (arrived,) = scene.segmentations.values()
        assert arrived["reference"] == scene.key("FLAIR")
        assert "Research use only" in arrived["description"]
        header = arrived["header"]
        assert header["Segment0_Name"] == "FLAIR abnormality" and "SCT^301766008" in header["Segment0_Tags"]
        import nrrd

        expected, _ = nrrd.read(str(next((tmp_path / "out").glob("*/segmentation.seg.nrrd"))))
        assert np.array_equal(arrived["array"], expected) and expected.any()
        for role, word in (("pre", "Ax T1 before"), ("post", "+C")):
            moved = scene.registered[scene.key(word)]
            # A transform node takes what is under it to its parent: the series to the FLAIR.
            there = np.asarray(record["registration"][role]["matrix_ras"])
            assert np.allclose(moved["matrix"] @ there, np.eye(4), atol=1e-9)
            assert moved["reference"] == scene.key("FLAIR")
        for warning in record["warnings"]:
            assert warning in warnings_of(form), "shown where the user looks"


def test_volumes_that_are_not_from_dicom(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    scene = FakeScene()
    for role, name in {"pre": "T1 vorher", "flair": "FLAIR müde", "post": "T1 c+"}.items():
        path = write_nifti_study(small_study, tmp_path / role)[role]
        scene.load_nifti(path, name)
    with panel(scene, tmp_path, own_environment(tmp_path / "env")) as (shown, form):
        shown.ui.modelCombo.setEditText(str(small_bundle))
        shown.find_roles()
        run_until(lambda: shown._task is None)
        assert shown.chosen().get("flair") == scene.key("FLAIR")
        for number, role in enumerate(("pre", "flair", "post"), 1):
            shown.combos[role].setCurrentIndex(number)
        shown.apply()
        run_until(lambda: shown._task is None)
        assert len(scene.segmentations) == 1 and len(scene.registered) == 2, warnings_of(form)


def test_what_is_kept_is_never_replaced(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    """Volumes of two patients may have the same name."""
    scene, keep = FakeScene(), tmp_path / "kept"
    (keep / "an older one").mkdir(parents=True)
    (keep / "an older one" / "segmentation.seg.nrrd").write_bytes(b"of somebody else")
    files = write_nifti_study(small_study, tmp_path / "study")
    for name in ("FLAIR", "FLAIR 2", "T1 c+"):
        scene.load_nifti(files["post" if name.startswith("T1") else "flair"], name)
    with panel(scene, tmp_path, own_environment(tmp_path / "env")) as (shown, form):
        shown.ui.modelCombo.setEditText(str(small_bundle))
        shown.ui.keepEdit.setText(str(keep))
        shown.combos["post"].setCurrentIndex(3)
        for number, refused in ((1, False), (1, True), (2, False)):
            shown.combos["flair"].setCurrentIndex(number)
            shown.apply()
            run_until(lambda: shown._task is None)
            assert ("OUTPUT_EXISTS" in warnings_of(form)) == refused, warnings_of(form)
        assert sorted(place.name for place in keep.iterdir()) == ["FLAIR", "FLAIR 2", "an older one"]
        assert [one["reference"] for one in scene.segmentations.values()] == [scene.loaded[0].key, scene.loaded[1].key]


def test_a_refusal_has_its_code_and_its_remedy(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    scene = FakeScene()
    scene.load_dicom([file for file in add_patient(small_study, tmp_path / "one", 1) if "flair" in file.name])
    scene.load_dicom([file for file in add_patient(small_study, tmp_path / "two", 2) if "pre" in file.name])
    with panel(scene, tmp_path, own_environment(tmp_path / "env")) as (shown, form):
        shown.ui.modelCombo.setEditText(str(small_bundle))
        shown.combos["flair"].setCurrentIndex(1)
        shown.combos["pre"].setCurrentIndex(2)
        shown.apply()
        run_until(lambda: shown._task is None)
        assert "PATIENT_MISMATCH" in warnings_of(form) and "they are never combined" in warnings_of(form)
        assert not scene.segmentations


def test_what_is_not_chosen_and_what_is_chosen_twice(scene: FakeScene, tmp_path: Path) -> None:
    with panel(scene, tmp_path, own_environment(tmp_path / "env")) as (shown, form):
        shown.apply()
        assert warnings_of(form) == "choose the volume for flair"
        for role in ("flair", "pre"):
            shown.combos[role].setCurrentIndex(1)
        shown.apply()
        assert warnings_of(form) == "one volume cannot have two roles"
        shown.ui.modelCombo.setEditText(str(tmp_path))
        assert "not a bundle" in warnings_of(form) and not shown.combos


def test_cancelled(scene: FakeScene, small_bundle: Path, tmp_path: Path) -> None:
    with panel(scene, tmp_path, own_environment(tmp_path / "env")) as (shown, _):
        shown.ui.modelCombo.setEditText(str(small_bundle))
        for number, role in enumerate(shown.combos, 1):
            shown.combos[role].setCurrentIndex(number)
        shown.apply()
        task = shown._task
        run_until(lambda: bool(task.process.words))
        shown.cancel()
        assert task.process.exit_code is not None and shown.ui.applyButton.isEnabled()
        assert not list((tmp_path / "tempörary files").iterdir()) and not scene.segmentations


def test_not_installed_is_said(scene: FakeScene, tmp_path: Path) -> None:
    from ScanweaveLib.environment import OwnEnvironment

    with panel(scene, tmp_path, OwnEnvironment(tmp_path / "nothing")) as (shown, form):
        assert not shown.ui.applyButton.isEnabled() and "Not installed" in shown.ui.environmentLabel.text()
        assert "GB" in shown.ui.sizeLabel.text()
        shown.find_roles()
        assert "install it first" in warnings_of(form)


def write_wheel(folder: Path) -> None:
    """A package of scanweave's name, with nothing in it."""
    folder.mkdir()
    files = {
        "scanweave.py": "print('scanweave 9')\n",
        "scanweave-9.dist-info/METADATA": "Metadata-Version: 2.1\nName: scanweave\nVersion: 9\n"
        "Provides-Extra: viewer\n",
        "scanweave-9.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files["scanweave-9.dist-info/RECORD"] = "".join(f"{name},,\n" for name in files)
    with zipfile.ZipFile(folder / "scanweave-9-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def test_an_environment_of_its_own(tmp_path: Path) -> None:
    """Made from a folder of wheels, with a proxy that is not asked, and removed; one that fails leaves nothing."""
    from ScanweaveLib.environment import OwnEnvironment

    wheels = tmp_path / "wheels of Zoë"
    write_wheel(wheels)
    own = OwnEnvironment(tmp_path / "Benutzer Zoë" / "env")
    with panel(FakeScene(), tmp_path, own) as (shown, form):
        shown.ui.wheelhouseEdit.setText(str(wheels))
        shown.ui.proxyEdit.setText("http://127.0.0.1:9")
        shown.install()
        run_until(lambda: shown._task is None)
        assert own.is_there and not warnings_of(form), warnings_of(form)
        said = subprocess.run(own.command, capture_output=True, text=True, check=True).stdout
        assert said == "scanweave 9\n"
        shown.remove()
        assert not own.folder.exists()
        (tmp_path / "empty").mkdir()
        shown.ui.wheelhouseEdit.setText(str(tmp_path / "empty"))
        shown.install()
        run_until(lambda: shown._task is None)
        assert "scanweave" in warnings_of(form) and not own.folder.exists()
        shown.ui.pythonCombo.addItem(str(tmp_path / "no python"))
        shown.ui.pythonCombo.setCurrentText(str(tmp_path / "no python"))
        shown.install()
        assert "cannot be started" in warnings_of(form) and shown.ui.installButton.isEnabled()


def test_slicers_variables_stay_with_slicer() -> None:
    from ScanweaveLib.environment import clean

    given = {"PYTHONHOME": "/slicer", "PYTHONPATH": "/slicer", "LD_LIBRARY_PATH": "/slicer", "QT_PLUGIN_PATH": "/x",
             "DYLD_LIBRARY_PATH": "/slicer", "HOME": "/home/zoë", "SCANWEAVE_SITE_KEY": "k"}  # fmt: skip
    kept = clean(given)
    assert kept["HOME"] == "/home/zoë" and kept["SCANWEAVE_SITE_KEY"] == "k" and kept["PYTHONUTF8"] == "1"
    assert not any("/slicer" in value for value in kept.values())


def test_no_python_of_slicer_is_too_old_for_it() -> None:
    for path in MODULE.rglob("*.py"):
        ast.parse(path.read_text(), feature_version=SLICERS_PYTHON)
        imports = re.findall(r"^(?:import|from) (\w+)", path.read_text(), re.M)
        if path.name not in ("Scanweave.py", "scene.py"):
            assert not {"slicer", "qt", "vtk", "ctk", "scanweave", "PySide6"} & set(imports), path.name


def test_what_the_extension_names_is_there() -> None:
    cmake = (MODULE / "CMakeLists.txt").read_text().replace("${MODULE_NAME}", "Scanweave")
    for name in re.findall(r"Resources/\S+", cmake):
        assert (MODULE / name).is_file()
    form = ElementTree.parse(MODULE / "Resources" / "UI" / "Scanweave.ui")
    named = {element.get("name") for element in form.iter() if element.tag in ("widget", "layout")}
    used = set(re.findall(r"\bui\.(\w+)", (MODULE / "ScanweaveLib" / "panel.py").read_text()))
    assert used <= named
    described = json.loads((MODULE.parent / "Scanweave.json").read_text())
    assert described["category"] == "Segmentation" and described["build_dependencies"] == []


def test_roles_and_remedies_are_those_of_scanweave(tmp_path: Path) -> None:
    from ScanweaveLib.roles import SHIPPED

    for name, roles in SHIPPED.items():
        declared = [(role.name, role.required) for role in find_bundle(name).roles]
        assert [(role.name, role.required) for role in roles] == declared
    kept = (MODULE / "Resources" / "remedies.json").read_text()
    made = subprocess.run(
        [sys.executable, "-c", f"import runpy, json; print(json.dumps(runpy.run_path("
         f"{str(REPOSITORY / 'scripts' / 'slicer-remedies')!r})['remedies']()))"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert json.loads(kept) == json.loads(made), "run scripts/slicer-remedies"
