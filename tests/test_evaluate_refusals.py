"""What `scanweave evaluate` refuses: told for every case, before anything is computed where headers tell it."""

from pathlib import Path

import numpy as np
import pytest
from labelled_folders import AFFINE, bright_bundle, head, square, write_nifti_case, write_patient
from PIL import Image
from studies import Ran, run, tree, write_nifti

from scanweave.errors import InputRefused
from scanweave.pipeline.evaluation.evaluate import evaluate
from scanweave.pipeline.network_settings import NetworkSettings
from scanweave.pipeline.progress import Stage
from scanweave.pipeline.progress_course import CASE


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_bundle(tmp_path_factory.mktemp("bundle") / "bright")


def refused(root: Path, bundle: Path, *arguments: object, exit_code: int = 3) -> Ran:
    """Assert that nothing is written or said but the refusal."""
    before = tree(root)
    out = root / "new" / "out"
    ran = run("evaluate", "--images", root / "in", "--bundle", bundle, "--out", out, "--json", *arguments)
    assert (ran.exit_code, ran.out) == (exit_code, ""), ran
    assert tree(root) == before, "something was left behind"
    return ran


def test_all_cases_are_checked_before_one_is_computed(bundle: Path, tmp_path: Path) -> None:
    """One line for each case that cannot be taken, with its name; good ones do not hide them."""
    root = tmp_path / "in"
    for name in ("a_good", "b_lacks", "c_size", "d_pixels"):
        write_patient(root, name, square(), square())
    (root / "b_lacks" / "b_lacks_3_mask.tif").unlink()
    Image.fromarray(np.zeros((64, 64), dtype=np.uint8)).save(root / "c_size" / "c_size_2_mask.tif")
    (root / "d_pixels" / "d_pixels_4.tif").write_bytes(b"")
    ran = refused(tmp_path, bundle)
    assert ran.codes == ["MISSING_LABEL", "WRONG_SHAPE", "TRUNCATED"]
    for name, line in zip(("b_lacks", "c_size", "d_pixels"), ran.lines, strict=True):
        assert f"case {name}" in line
    assert "3 of 4" in ran.lines[0]

    def must_not_begin(stage: Stage) -> None:
        assert stage.step != CASE

    with pytest.raises(InputRefused):
        evaluate(root, settings=NetworkSettings(bundle), progress=must_not_begin)


def test_masks_that_do_not_lie_on_the_reference(bundle: Path, tmp_path: Path) -> None:
    root = tmp_path / "in"
    for name in ("a_moved", "b_short", "c_text"):
        write_nifti_case(root, name, square(), square())
    moved = AFFINE.copy()
    moved[2, 3] += 5.0
    write_nifti(root / "a_moved" / "label.nii.gz", square().astype(np.uint8), moved)
    write_nifti(root / "b_short" / "label.nii.gz", square()[..., :3].astype(np.uint8), AFFINE)
    (root / "c_text" / "label.nii.gz").write_text("no mask")
    ran = refused(tmp_path, bundle)
    assert ran.codes == ["LABEL_MISMATCH", "LABEL_MISMATCH", "UNREADABLE"]
    assert "another affine" in ran.lines[0] and "case a_moved" in ran.lines[0]
    assert "256 x 256 x 3" in ran.lines[1]


def test_headers_and_chain_agree_on_the_grid(bundle: Path, tmp_path: Path) -> None:
    """An affine that another program has rounded is the same grid to both."""
    rounded = AFFINE + 5e-4
    rounded[3] = AFFINE[3]
    write_nifti_case(tmp_path, "p", square(), square())
    write_nifti(tmp_path / "p" / "label.nii.gz", square().astype(np.uint8), rounded)
    assert evaluate(tmp_path, settings=NetworkSettings(bundle)).cases[0].dice == 1


def test_picture_pairs(bundle: Path, tmp_path: Path) -> None:
    for name in ("image", "label"):
        (tmp_path / "in" / name).mkdir(parents=True)
    for n in (1, 2):
        Image.fromarray(head(square())[:, :, n]).save(tmp_path / "in" / "image" / f"{n}.png")
    Image.fromarray(np.zeros((128, 256), dtype=np.uint8)).save(tmp_path / "in" / "label" / "1.png")
    assert refused(tmp_path, bundle).codes == ["MISSING_LABEL"]
    Image.fromarray(np.zeros((256, 256), dtype=np.uint8)).save(tmp_path / "in" / "label" / "2.png")
    ran = refused(tmp_path, bundle)
    assert ran.codes == ["LABEL_MISMATCH"] and "128 x 256 x 1" in ran.lines[0] and "case 1" in ran.lines[0]
    Image.fromarray(np.zeros((256, 256), dtype=np.uint8)).save(tmp_path / "in" / "label" / "1.png")
    Image.fromarray(head(square())[:, :, 1]).save(tmp_path / "in" / "image" / "1.tif")
    ran = refused(tmp_path, bundle)
    assert ran.codes == ["DUPLICATE_POSITION"] and "case 1" in ran.lines[0]


def test_no_cases(bundle: Path, tmp_path: Path) -> None:
    assert refused(tmp_path, bundle).codes == ["INPUT_NOT_FOUND"]
    (tmp_path / "in").write_text("no folder")
    assert refused(tmp_path, bundle).codes == ["INPUT_NOT_FOUND"], "a file holds no cases"
    (tmp_path / "in").unlink()
    (tmp_path / "in").mkdir()
    assert refused(tmp_path, bundle).codes == ["EMPTY_INPUT"]
    write_patient(tmp_path / "in", "p", square(), square())
    for mask in (tmp_path / "in" / "p").glob("*_mask.tif"):
        mask.unlink()
    assert refused(tmp_path, bundle).codes == ["EMPTY_INPUT"], "slices without a single mask are no case"


def test_what_only_the_pixels_tell_ends_the_run(bundle: Path, tmp_path: Path) -> None:
    """The case is named, and the figures of the others are not told as those of all."""
    root = tmp_path / "in"
    for name in ("a_good", "b_damaged", "c_good"):
        write_patient(root, name, square(), square())
    damaged = root / "b_damaged" / "b_damaged_2.tif"
    Image.fromarray(head(square())[:, :, 1]).save(damaged, compression="tiff_lzw")
    damaged.write_bytes(_with_holes(damaged.read_bytes()))
    ran = refused(tmp_path, bundle)
    assert ran.codes == ["TRUNCATED"] and "case b_damaged" in ran.lines[0]


def _with_holes(content: bytes) -> bytes:
    """The header, which Pillow puts first or last, is left alone."""
    third = len(content) // 3
    return content[:third] + b"\xff" * third + content[2 * third :]


def test_existing_output_is_kept(bundle: Path, tmp_path: Path) -> None:
    write_patient(tmp_path / "in", "p", square(), square())
    out = tmp_path / "out"
    arguments = ("evaluate", "--images", tmp_path / "in", "--bundle", bundle, "--out", out, "--json")
    out.mkdir()
    assert run(*arguments).exit_code == 0, "an empty folder was made to be filled"
    before = tree(out)
    assert run(*arguments).codes == ["OUTPUT_EXISTS"] and tree(out) == before
    assert run(*arguments, "--overwrite", "--components", "all").exit_code == 0
    assert '"components": "all"' in (out / "evaluation.json").read_text()
    (out / "evaluation.json").unlink()
    assert run(*arguments, "--overwrite").codes == ["OUTPUT_EXISTS"], "no evaluation, but somebody's data"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("--weights", "nowhere.pt"), 5, "WEIGHTS_MISSING"),
        (("--device", "cuda:99"), 5, "DEVICE_UNAVAILABLE"),
        (("--device", "abacus"), 2, "USAGE"),
        (("--components", "none"), 2, "USAGE"),
        (("--bundle", "nowhere"), 5, "BUNDLE_INVALID"),
    ],
    ids=lambda value: str(value),
)
def test_calls_without_a_meaning(
    bundle: Path, tmp_path: Path, arguments: tuple[str, str], exit_code: int, code: str
) -> None:
    write_patient(tmp_path / "in", "p", square(), square())
    assert refused(tmp_path, bundle, *arguments, exit_code=exit_code).codes == [code]


def test_nothing_typed_is_evaluated(bundle: Path, tmp_path: Path) -> None:
    """A folder and a patient whose names MONAI's parser would run are names."""
    trap = tmp_path / "sprung"
    evil = f"$open({str(trap)!r}, 'w')".replace("/", "_")
    write_patient(tmp_path / evil, evil, square(), square())
    done = evaluate(tmp_path / evil, tmp_path / "@out", settings=NetworkSettings(bundle))
    assert [case.name for case in done.cases] == [evil] and (tmp_path / "@out" / "evaluation.json").is_file()
    assert not trap.exists()


def test_monais_run_without_a_folder_says_so(bundle: Path) -> None:
    from scanweave.errors import UsageError
    from scanweave.pipeline.bundle import build_part, find_bundle
    from scanweave.pipeline.evaluation.evaluate import EVALUATE_CONFIG

    evaluator = build_part(find_bundle(str(bundle)), "evaluator", {"output_dir": None}, EVALUATE_CONFIG)
    with pytest.raises(UsageError, match="dataset_dir"):
        evaluator.run()
