"""The documentation is true: its Python runs and prints what it says, its tables are the code's, its links lead on."""

import contextlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import REPOSITORY
from labelled_folders import square, write_patient

from scanweave import inspect
from scanweave.pipeline.bundle import build_evaluator, find_bundle
from scanweave.pipeline.progress import silent
from scanweave.transforms.io.find_study import StudyRequest

pytest_plugins = ["study_fixtures"]

DOCS = REPOSITORY / "docs"
PAGES = sorted([REPOSITORY / "README.md", *DOCS.rglob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@dataclass(frozen=True)
class Block:
    """A fenced Python block, and the text block that follows it at once: what it prints."""

    name: str
    code: str
    printed: str | None


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        fences = list(FENCE.finditer(text))
        for number, fence in enumerate(fences):
            if fence[1] != "python":
                continue
            after = fences[number + 1] if number + 1 < len(fences) else None
            shown = after and after[1] == "text" and not text[fence.end() : after.start()].strip()
            line = text[: fence.start()].count("\n") + 2
            yield Block(f"{page.relative_to(REPOSITORY)}:{line}", fence[2], after[2] if after and shown else None)


BLOCKS = list(blocks())


FIRST = next(block for block in BLOCKS if "segment(STUDY, OUT)" in block.code)
"""Its result serves the blocks that begin with one; the README has it too."""
OTHERS = [block for block in BLOCKS if block.code != FIRST.code]


def run_block(block: Block, **names: Path) -> str:
    """What it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.code, block.name, "exec"), dict(names))
    return printed.getvalue()


@pytest.fixture(scope="module")
def first(small_study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the first example prints, and the folder of its result."""
    out = tmp_path_factory.mktemp("docs") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCANWEAVE_SITE_KEY", "tests")
        printed = run_block(FIRST, STUDY=small_study, OUT=out)
    (folder,) = out.iterdir()
    return printed, folder


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients with masks."""
    root = tmp_path_factory.mktemp("cases")
    for number in range(3):
        write_patient(root, f"patient_{number}", square(down=8 * number), square(down=8 * number))
    return root


@pytest.mark.parametrize("block", OTHERS, ids=lambda block: block.name)
def test_block_runs(
    block: Block, small_study: Path, cases: Path, first: tuple[str, Path], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = run_block(block, STUDY=small_study, CASES=cases, OUT=tmp_path / "out", RESULT=first[1])
    if block.printed is not None:
        assert printed == block.printed
    assert "False" not in printed.split(), "what an example compares holds"
    for picture in tmp_path.glob("*.png"):
        assert_coloured_in_part(picture)


def test_first_block_runs(first: tuple[str, Path]) -> None:
    printed, folder = first
    assert re.match(r"\d+ ml, series: pre, flair, post, files: result, nifti, dicom-seg", printed)
    assert (folder / "result.json").is_file()


def assert_coloured_in_part(picture: Path) -> None:
    """The largest slice of the lesion: some pixels are green, not many, most are grey."""
    red, green, _ = np.moveaxis(sitk.GetArrayFromImage(sitk.ReadImage(picture)).astype(int), -1, 0)
    assert 0.01 < (green > red + 20).mean() < 0.2


def test_blocks_are_short_and_there() -> None:
    assert len(BLOCKS) >= 10
    longest = max(BLOCKS, key=lambda block: block.code.strip().count("\n"))
    assert longest.code.strip().count("\n") < 12, longest.name


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(REPOSITORY)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_index_names_every_page() -> None:
    linked = {(DOCS / target).resolve() for target in LINK.findall((DOCS / "README.md").read_text())}
    tops = {path for path in DOCS.iterdir() if path.suffix == ".md" or path.is_dir()} - {DOCS / "README.md"}
    assert not sorted(str(path) for path in tops if path.resolve() not in linked)


# --- the way of a study ---------------------------------------------------------------------------------------------


def documented_steps() -> list[tuple[str, set[str], set[str]]]:
    """Name, keys added and keys removed of each row."""
    page = (DOCS / "data-flow.md").read_text()
    rows = re.findall(r"^\| \[?(\w+)\]?(?:\([^)]*\))? \|(.*?)\|(.*?)\|.*\|$", page, re.MULTILINE)
    found = [(name, *(set(re.findall(r"`(\w+)`", cell)) for cell in cells)) for name, *cells in rows]
    return [row for row in found if row[0] != "step"]


def test_steps_are_those_of_the_bundle() -> None:
    config = json.loads((find_bundle().root / "configs" / "inference.json").read_text())
    chain = [*config["preprocessing"]["transforms"], config["evaluator"], *config["postprocessing"]["transforms"]]
    assert [name for name, _, _ in documented_steps()] == [step["_target_"].split(".")[-1] for step in chain]


def test_steps_add_and_remove_what_is_said(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    evaluator = build_evaluator(find_bundle(str(small_bundle)), {"dataset::data": [], "output_dir": tmp_path})
    before, after = (chain.flatten().transforms for chain in (evaluator.dataset.transform, evaluator.postprocessing))
    steps = [*before, evaluator._inferring(silent, 1, 1), *after]
    study = {"study": StudyRequest.of(small_study), "seconds": {}}
    seen = []
    for step in steps:
        old = set(study)
        study = step(study)
        seen.append((set(study) - old, old - set(study)))
        if "image" in study:
            assert study["image"].array.shape[0] == 3
    documented = documented_steps()
    assert [(name, *keys) for (name, _, _), keys in zip(documented, seen, strict=True)] == documented
    assert study["pred"].array.shape == study["segmentation"].array.shape == (1, *study["loaded"].grid.shape)


# --- axes -----------------------------------------------------------------------------------------------------------


def head_overlap(matrix_ras: np.ndarray, fixed: sitk.Image, moving: sitk.Image) -> float:
    """Dice of the heads after `sitk.Resample(moving, fixed)` by the matrix as docs/axes-and-units.md converts it."""
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    lps = flip @ matrix_ras @ flip
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(lps[:3, :3].ravel().tolist())
    transform.SetTranslation(lps[:3, 3].tolist())
    heads = [sitk.GetArrayFromImage(image) for image in (fixed, sitk.Resample(moving, fixed, transform))]
    a, b = (head > 0.15 * np.percentile(head, 99) for head in heads)
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_matrix_takes_flair_points_to_the_t1(phantom_study: Path, segmented_phantom: Path) -> None:
    """By an independent reader and resampler; with the inverse, or with none at all, the heads match worse."""
    roles = inspect(phantom_study).roles
    reader = sitk.ImageSeriesReader
    images = {
        role: sitk.ReadImage(reader.GetGDCMSeriesFileNames(str(phantom_study), series.name), sitk.sitkFloat32)
        for role, series in roles.items()
    }
    record = json.loads((segmented_phantom / "result.json").read_text())
    for role in ("pre", "post"):
        matrix = np.array(record["registration"][role]["matrix_ras"])
        right, wrong, none = (
            head_overlap(candidate, images["flair"], images[role])
            for candidate in (matrix, np.linalg.inv(matrix), np.eye(4))
        )
        assert right > 0.93
        assert right > none + 0.02
        assert right > wrong + 0.02


def test_voxel_axes_of_dicom(phantom_study: Path) -> None:
    """i runs along a row of pixels, j down a column, k with row x column; spacing names the columns' distance first."""
    import pydicom

    done = inspect(phantom_study)
    flair = done.roles["flair"]
    header = pydicom.dcmread(flair.files[0], stop_before_pixels=True)
    assert flair.shape == (header.Columns, header.Rows, len(flair.files))
    assert flair.spacing is not None
    assert flair.spacing[:2] == (header.PixelSpacing[1], header.PixelSpacing[0])


def test_columns_of_the_summary_are_the_codes() -> None:
    from scanweave.pipeline.batch.summary import COLUMNS

    text = (DOCS / "batch.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", text.partition("## summary.csv")[2], re.MULTILINE)
    assert dict(rows) == COLUMNS


def test_every_code_is_explained() -> None:
    from scanweave.errors import Code

    rows = re.findall(r"^\| ([A-Z_]+) \|", (DOCS / "errors.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(Code)
