"""`from scanweave import segment, inspect`: light to import, the command's own results, typed, and nothing kept."""

import ast
import dataclasses
import gc
import json
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from conftest import REPOSITORY
from studies import SECRETS, UID, run, tree

import scanweave
from scanweave import Code, InputRefused, SegmentedStudy, SegmentSettings, Stage, UsageError, inspect, segment
from scanweave.transforms.image import Image

pytest_plugins = ["study_fixtures"]

OF_THE_RUN = {"seconds", "peak_memory_mb"}
"""What differs between two runs that give one result."""


def lasting(record: dict) -> dict:
    """A record without what its run alone decides, as JSON gives it back."""
    return {key: value for key, value in json.loads(json.dumps(record)).items() if key not in OF_THE_RUN}


@pytest.fixture(scope="module")
def settings(small_bundle: Path) -> SegmentSettings:
    return SegmentSettings(bundle=small_bundle, outputs=("nifti", "probability"))


@pytest.fixture(scope="module")
def written(small_study: Path, settings: SegmentSettings, tmp_path_factory: pytest.TempPathFactory) -> SegmentedStudy:
    """The small study by the quick bundle: paths as a user at home writes them."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCANWEAVE_SITE_KEY", "tests")
        patch.setenv("HOME", str(home))
        patch.chdir(small_study.parent)
        done = segment(small_study.name, "~/results", settings=settings)
    assert done.folder is not None and done.folder.parent == home / "results"
    return done


def python(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout.strip()


# --- names ----------------------------------------------------------------------------------------------------------


def test_importing_costs_nothing() -> None:
    code = """
import sys
before = set(sys.modules)
import scanweave
print(sorted(name for name in set(sys.modules) - before if name.partition(".")[0] not in sys.stdlib_module_names))
"""
    assert python(code) == "['scanweave']"
    code = "import sys; from scanweave import *; print(sorted({'torch', 'monai', 'SimpleITK'} & set(sys.modules)))"
    assert python(code) == "[]"


def test_every_name_is_there_and_is_what_type_checkers_see() -> None:
    assert set(scanweave.__all__) <= set(dir(scanweave))
    assert all(getattr(scanweave, name) is not None for name in scanweave.__all__)
    with pytest.raises(AttributeError, match="no attribute 'segmnt'"):
        _ = scanweave.segmnt
    module = ast.parse((REPOSITORY / "src/scanweave/__init__.py").read_text())
    checked = next(node for node in module.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in checked.body for alias in node.names}
    assert seen == scanweave._HOMES
    assert set(seen) == set(scanweave.__all__) - {"RESEARCH_NOTICE", "__version__"}


@pytest.mark.parametrize("function", [segment, inspect])
def test_help_names_every_argument(function) -> None:
    said = function.__doc__
    for name in re.findall(r"(\w+):", str(__import__("inspect").signature(function)).split(" -> ")[0]):
        assert re.search(rf"^ +(\w+, )*{name}(, \w+)*$", said, re.MULTILINE), name


def test_a_mistyped_path_is_refused_before_anything_is_loaded() -> None:
    code = """
import sys, scanweave
try:
    scanweave.segment("/nowhere/study", "/nowhere/out")
except scanweave.InputRefused as refusal:
    print(refusal.code, "torch" in sys.modules)
"""
    assert python(code) == "INPUT_NOT_FOUND False"


# --- segment --------------------------------------------------------------------------------------------------------


def test_arrays_are_the_files(written: SegmentedStudy) -> None:
    assert set(written.files) == {"result", "nifti", "probability"}
    for name, volume, kind in (("nifti", written.mask, np.uint8), ("probability", written.probability, np.float32)):
        image = nib.load(written.files[name])
        assert volume.array.dtype == kind
        assert np.array_equal(np.asarray(image.dataobj), volume.array)
        assert np.allclose(image.affine, volume.affine, atol=1e-4)
    assert 0 <= written.probability.array.min() < written.probability.array.max() <= 1
    assert set(np.unique(written.mask.array)) == {0, 1} or written.mask.array.all()


def test_attributes_are_the_record(written: SegmentedStudy, small_study: Path) -> None:
    record = json.loads(written.files["result"].read_text())
    assert record == json.loads(json.dumps(written.record))
    volume = int((written.mask.array > 0).sum()) * written.mask.grid.voxel_ml
    assert written.volume_ml == record["volume_ml"] == pytest.approx(volume, abs=1e-3)
    assert list(written.warnings) == record["warnings"]
    assert written.seconds == record["seconds"]
    assert written.components.count == record["components"]["count"]
    assert set(written.registration) == set(record["registration"]) == {"pre", "post"}
    for role, found in written.registration.items():
        assert np.array_equal(found.matrix_ras, record["registration"][role]["matrix_ras"])
        assert found.displacement_mm == pytest.approx(record["registration"][role]["displacement_mm"], abs=1e-3)
        assert found.flagged is record["registration"][role]["flagged"]
    assert {role: set(series.files) for role, series in written.roles.items()} == {
        role: {path.relative_to(small_study.parent) for path in small_study.glob(f"{role}_*")}
        for role in ("pre", "flair", "post")
    }


def test_a_result_is_a_value(written: SegmentedStudy) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        written.volume_ml = 0.0  # type: ignore[misc]
    shown = repr(written)
    assert "ml" in shown and len(shown) < 400
    assert not UID.search(shown) and not any(secret in shown for secret in SECRETS)


def test_without_a_folder_nothing_is_written(
    written: SegmentedStudy, small_study: Path, settings: SegmentSettings, tmp_path: Path, monkeypatch
) -> None:
    """The same result, no file, no remark of a library; and nothing of the chain is kept but the two arrays."""
    monkeypatch.chdir(tmp_path)
    before = tree(small_study)
    gc.collect()
    alive = living(Image, pydicom.Dataset)
    stages: list[Stage] = []
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        done = segment(small_study, settings=settings, progress=stages.append)
    assert (done.folder, done.files) == (None, {})
    assert not any(tmp_path.iterdir()) and tree(small_study) == before
    assert lasting(done.record) == lasting(written.record)
    assert np.array_equal(done.mask.array, written.mask.array)
    assert np.array_equal(done.probability.array, written.probability.array)
    assert not [str(remark.message) for remark in remarks]
    assert [stage.step for stage in stages if stage.part == 0][:2] == ["LoadStudy", "ReserveResult"]
    assert {stage.count for stage in stages} == {len(done.seconds) + 1}, "the last step writes nothing and its own time"
    gc.collect()
    assert living(Image, pydicom.Dataset) == alive


def living(*kinds: type) -> int:
    return sum(issubclass(type(item), kinds) for item in gc.get_objects())


def test_the_command_gives_the_same(
    written: SegmentedStudy, small_study: Path, small_bundle: Path, tmp_path: Path
) -> None:
    ran = run("segment", small_study, "-o", tmp_path, "--bundle", small_bundle, "--json",
              "--outputs", "nifti,probability")  # fmt: skip
    assert lasting(json.loads(ran.out)) == lasting(written.record)


def test_what_progress_raises_ends_the_run(small_study: Path, settings: SegmentSettings, tmp_path: Path) -> None:
    def stop(stage: Stage) -> None:
        if stage.step == "SaveStudy":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment(small_study, tmp_path / "out", settings=settings, progress=stop)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ({}, {}),
        ({"study": ""}, {}),
        ({"study": "STUDY", "out": ""}, {}),
        ({"study": "STUDY", "inputs": {"flair": ""}}, {}),
        ({"study": "STUDY", "inputs": {"t3": "x.nii"}}, {}),
        ({"study": "STUDY"}, {"precision": "int4"}),
        ({"study": "STUDY"}, {"device": "tpu"}),
        ({"study": "STUDY"}, {"outputs": "jpeg"}),
        ({"study": "STUDY"}, {"components": "some"}),
        ({"study": "STUDY"}, {"weights": ""}),
    ],
)
def test_a_call_without_meaning(arguments: dict, settings: dict, small_study: Path, tmp_path: Path) -> None:
    given = {key: small_study if value == "STUDY" else value for key, value in arguments.items()}
    with pytest.raises(UsageError) as refusal:
        segment(**{"out": tmp_path / "out", **given}, settings=SegmentSettings(**settings))
    assert refusal.value.code is Code.USAGE
    assert not any(tmp_path.iterdir())


# --- inspect --------------------------------------------------------------------------------------------------------


def test_inspect_is_the_command(small_study: Path) -> None:
    found = inspect(small_study)
    assert found.error is None and found.problems == () and found.warnings == ()
    assert list(found.roles) == ["pre", "flair", "post"]
    assert json.loads(run("inspect", small_study, "--json").out) == found.record
    shown = repr(found)
    assert "pre, flair, post" in shown and not UID.search(shown)


def test_inspect_says_why_a_study_would_be_refused(small_study: Path, tmp_path: Path) -> None:
    for path in small_study.glob("p*.dcm"):
        shutil.copy(path, tmp_path)
    found = inspect(tmp_path)
    assert found.error is Code.NO_FLAIR and len(found.series) == 2 and not found.roles
    assert [problem.code for problem in found.problems] == [Code.NO_FLAIR]
    assert "error NO_FLAIR" in repr(found) and found.record["error"] == "NO_FLAIR"
    with pytest.raises(InputRefused) as refusal:
        segment(tmp_path)
    assert refusal.value.problems == found.problems
    # By hand it is not refused: the label of a series is the name to give.
    chosen = inspect(tmp_path, inputs={"flair": found.series[0].label})
    assert chosen.error is None and chosen.roles["flair"] == found.series[0]


def test_paths_as_notebooks_write_them(small_study: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(small_study.parent))
    monkeypatch.chdir(small_study)
    for path in (".", Path(), "~/study", Path("~/study"), str(small_study), "../study/"):
        assert inspect(path).error is None
    with pytest.raises(InputRefused):
        inspect("~nobody-of-that-name/study")


def test_inspect_is_quiet(small_study: Path, tmp_path: Path, capfd) -> None:
    """pydicom quotes headers in its remarks, names included."""
    shutil.copytree(small_study, tmp_path / "study")
    for path in (tmp_path / "study").glob("pre_*.dcm"):
        path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"NO_SUCH_CH"))
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        inspect(tmp_path / "study")
    assert not remarks and capfd.readouterr() == ("", "")


# --- the typed example ----------------------------------------------------------------------------------------------


def test_measure_example_runs(tmp_path: Path) -> None:
    """Its other branch is held by the types: scripts/mypy-wheel checks it."""
    command = [sys.executable, str(REPOSITORY / "docs" / "examples" / "measure.py"), str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["study,volume_ml,moved_mm,warnings,refused", "1,,0.0,0,INPUT_NOT_FOUND"]
