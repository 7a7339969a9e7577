"""The README's first command: a phantom, its results, and nobody's data in the way."""

import json
from pathlib import Path

import pytest
from studies import run, tree

from scanweave.pipeline.demo import MARK, STUDY_FOLDER


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("demo") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCANWEAVE_SITE_KEY", "tests")
        ran = run("demo", "-o", out, "--json")
    assert (ran.exit_code, ran.lines) == (0, ())
    return out, json.loads(ran.out)


def test_the_lesion_and_the_motion_are_found(demo: tuple[Path, dict]) -> None:
    out, figures = demo
    assert figures["dice"] > 0.9 and max(figures["registration_error_mm"].values()) < 1.0
    assert {"segmentation.nii.gz", "segmentation.dcm", "report.html", "result.json"} <= set(figures["files"])
    assert {path.name for path in out.iterdir()} == {STUDY_FOLDER, Path(figures["results"]).name}
    assert Path(figures["study"]) == out / STUDY_FOLDER and (out / STUDY_FOLDER / MARK).is_file()


def test_an_earlier_demo_stays_when_the_next_is_refused(demo: tuple[Path, dict]) -> None:
    out, figures = demo
    before = tree(out)
    assert run("demo", "-o", out, "--json").codes == ["OUTPUT_EXISTS"]
    # With --overwrite too, where what lies in the place of the results is none.
    record = Path(figures["results"]) / "result.json"
    hidden = record.rename(record.with_name("moved.json"))
    try:
        ran = run("demo", "-o", out, "--overwrite", "--json")
    finally:
        hidden.rename(record)
    assert (ran.exit_code, ran.codes) == (3, ["OUTPUT_EXISTS"])
    assert tree(out) == before


def test_a_folder_that_is_no_phantom_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / STUDY_FOLDER).mkdir()
    (tmp_path / STUDY_FOLDER / "thesis.txt").write_text("precious")
    before = tree(tmp_path)
    ran = run("demo", "-o", tmp_path, "--overwrite", "--json")
    assert (ran.exit_code, ran.codes) == (3, ["OUTPUT_EXISTS"])
    assert tree(tmp_path) == before
