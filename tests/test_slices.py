"""2-D slices in, masks, overlays and Dice out; what cannot be taken as it is, refused with its code."""

import json
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import tifffile
from PIL import Image
from slice_folders import PATIENT, bright_masks, phantom_slices, stacked_masks, write_lgg, write_pairs
from studies import Trial, write_nifti_study

from scanweave.errors import InputRefused
from scanweave.pipeline.bundle import INFERENCE_CONFIG, METADATA_FILE
from scanweave.pipeline.save_slices import overlay
from scanweave.transforms.io.slice_files import read_slice
from scanweave.transforms.io.slice_index import missing_numbers
from scanweave.transforms.io.slice_names import stack_slices

pytest_plugins = ["study_fixtures"]

RESULT = {"masks", "overlay", "report.html", "result.json"}
ONLY_PNG = ("--outputs", "png")
PNG_RESULT = RESULT - {"report.html"}
PUBLISHED = "TCGA_CS_4942_19970222"


@pytest.fixture(scope="module")
def slices(small_study: Path) -> np.ndarray:
    """Nine RGB slices of the phantom (slice, row, column, channel), uint8. Tests do not change them."""
    found = phantom_slices(small_study)
    found.setflags(write=False)
    return found


def segmented(trial: Trial, source: Path, *more: object, name: str = "out") -> tuple[Path, dict]:
    """The results' folder and the content of result.json."""
    folder = trial.done(source, *ONLY_PNG, *more, out=trial.root / "results" / name, files=PNG_RESULT)
    return folder, json.loads((folder / "result.json").read_text())


def dice(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a > 0, b > 0
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


# --- what comes out -------------------------------------------------------------------------------------------------


def test_a_patient_of_the_published_layout(trial: Trial, slices: np.ndarray) -> None:
    """More than nine slices, so that sorting by text would put 10 before 2."""
    pixels = np.concatenate([slices, slices[::-1]])
    masks = bright_masks(pixels)
    source = write_lgg(trial.root / PATIENT, pixels, masks)
    folder = trial.done(source, files=RESULT)
    result = json.loads((folder / "result.json").read_text())
    found = stacked_masks(folder, len(pixels))
    assert folder.name == PATIENT
    assert found.shape == masks.shape and set(np.unique(found)) == {0, 255}
    assert result["dice"] == pytest.approx(dice(found, masks), abs=1e-4)
    assert result["dice_slices"] == len(pixels)
    assert result["volume_ml"] is None and result["components"]["discarded_ml"] is None
    assert result["volume_voxels"] == (found > 0).sum()
    assert result["registration"] == {} and result["warnings"] == []
    assert [record["evidence"] for record in result["roles"].values()] == [
        [f"channel {n} of 3 of the slices"] for n in (1, 2, 3)
    ]
    assert {path.stem for path in (folder / "overlay").iterdir()} == {
        f"{PATIENT}_{n}" for n in range(1, len(pixels) + 1)
    }
    page = (folder / "report.html").read_text()
    assert not re.search(r"\d (mm|ml)\b", page) and str(result["volume_voxels"]) in page.replace(",", "")


def test_slices_of_the_published_data_go_the_published_way(data_dir: Path, tmp_path: Path) -> None:
    """Probabilities of the whole chain against scikit-image's preprocessing and the bare network."""
    import torch
    from skimage.transform import resize
    from test_preprocessing import published, read_lgg

    from scanweave import segment
    from scanweave.networks.bn_unet import BNUNet
    from scanweave.pipeline.bundle import find_bundle
    from scanweave.pipeline.segment_settings import SegmentSettings

    patient = data_dir / "lgg" / "original" / PUBLISHED
    few = tmp_path / PUBLISHED
    few.mkdir()
    for n in range(10, 13):
        shutil.copy(patient / f"{PUBLISHED}_{n}.tif", few)
        shutil.copy(patient / f"{PUBLISHED}_{n}_mask.tif", few)
    volume = read_lgg(few)
    done = segment(few, tmp_path / "out", settings=SegmentSettings(precision="fp32", components="all"))
    network = BNUNet()
    root = find_bundle().root / "models" / "model.pt"
    network.load_state_dict({k: v.float() for k, v in torch.load(root, weights_only=True).items()})
    with torch.inference_mode():
        batch = torch.from_numpy(published(volume).transpose(0, 3, 1, 2).astype(np.float32))
        answer = network.eval()(batch)[:, 0].numpy()
    kept = np.argwhere((volume >= volume.max() * 0.1).any(axis=-1))
    (_, y0, x0), (_, y1, x1) = kept.min(axis=0), kept.max(axis=0) + 1
    side = max(y1 - y0, x1 - x0)
    top, left = (side - (y1 - y0)) // 2, (side - (x1 - x0)) // 2
    expected = np.zeros(volume.shape[:3])
    for n, plane in enumerate(answer):
        square = resize(plane, (side, side), order=1, mode="edge", anti_aliasing=False)
        expected[n, y0:y1, x0:x1] = square[top : top + y1 - y0, left : left + x1 - x0]
    ours = done.probability.array.transpose(2, 0, 1)
    assert np.abs(ours - expected).max() < 0.02
    assert np.array_equal(stacked_masks(done.folder, 3) > 0, done.mask.array.transpose(2, 0, 1) > 0)
    assert dice(done.mask.array.transpose(2, 0, 1), expected >= 0.5) > 0.998
    assert done.record["dice"] > 0.9 and done.volume_ml is None


def test_the_monai_bundle_gives_the_same_masks(trial: Trial, slices: np.ndarray) -> None:
    source = write_lgg(trial.root / PATIENT, slices, bright_masks(slices))
    folder, result = segmented(trial, source)
    config, metadata = str(trial.bundle / INFERENCE_CONFIG), str(trial.bundle / METADATA_FILE)
    paths = {"bundle_root": trial.bundle, "dataset_dir": source, "output_dir": trial.root / "monai"}
    monai.bundle.run(config_file=config, meta_file=metadata, **{name: str(path) for name, path in paths.items()})
    theirs = trial.root / "monai" / PATIENT
    assert np.array_equal(stacked_masks(folder, len(slices)), stacked_masks(theirs, len(slices)))
    assert json.loads((theirs / "result.json").read_text())["dice"] == result["dice"]


def test_outlines_are_red_green_and_yellow_on_gray() -> None:
    gray = np.full((20, 20), 90, dtype=np.uint8)
    found, true = np.zeros((2, 20, 20), dtype=bool)
    found[2:10, 2:10] = True
    true[2:14, 6:14] = True
    drawn = overlay(gray, found, true)
    assert drawn[5, 2].tolist() == [255, 0, 0] and drawn[13, 10].tolist() == [0, 255, 0]
    assert drawn[2, 8].tolist() == [255, 255, 0]
    untouched = (drawn == 90).all(axis=-1)
    assert untouched[4, 4] and untouched[0, 0] and untouched[16:].all()
    assert (~untouched).sum() < (found | true).sum()


# --- how they may lie -----------------------------------------------------------------------------------------------


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder.parent))
    shutil.rmtree(folder)
    return path


LAYOUTS: dict[str, Callable[[Path, np.ndarray, np.ndarray], Path]] = {
    "tif": lambda folder, slices, masks: write_lgg(folder, slices, masks),
    "png": lambda folder, slices, masks: write_lgg(folder, slices, masks, ".PNG"),
    "zip": lambda folder, slices, masks: zipped(write_lgg(folder, slices, masks)),
    "images and labels": lambda folder, slices, masks: write_pairs(folder, slices, masks, ("images", "labels")),
    "img and mask": lambda folder, slices, masks: write_pairs(folder, slices, masks, ("img", "Mask")),
    "zip of pairs": lambda folder, slices, masks: zipped(write_pairs(folder, slices, masks, ("image", "masks"))),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_result(trial: Trial, slices: np.ndarray, layout: str) -> None:
    masks = bright_masks(slices)
    source = LAYOUTS[layout](trial.root / PATIENT, slices, masks)
    folder, result = segmented(trial, source)
    assert folder.name == PATIENT and result["warnings"] == []
    assert result["dice"] == pytest.approx(dice(stacked_masks(folder, len(slices)), masks), abs=1e-4)
    seen = trial.inspected(source)
    assert [item["role"] for item in seen["series"]] == ["pre", "flair", "post"]
    assert [item["shape"] for item in seen["series"]] == [[*slices.shape[1:3], len(slices)]] * 3
    assert {item["name"] for item in seen["series"]} == {PATIENT}


@pytest.mark.parametrize(
    "names, stacks",
    [
        ("p_1.tif p_2.tif p_10.tif", {"root": "p_1 p_2 p_10"}),
        ("p_10_mask.png p_9.png p_10.png p_9_mask.tif", {"root": "p_9 p_10"}),
        ("b.png a.png c.jpg", {"root": "a b c"}),
        ("10.jpeg 7.jpeg 08.jpeg", {"root": "7 08 10"}),
        ("x_1_of_3.png x_3_of_3.png x_2_of_3.png", {"root": "x_1_of_3 x_2_of_3 x_3_of_3"}),
        ("s_2_z7.5.png s_10_z-4.png s_1_z9.25.png", {"root": "s_1_z9.25 s_2_z7.5 s_10_z-4"}),
        ("p1_1.png p1_2.png p2_1.png p2_2.png", {"p1": "p1_1 p1_2", "p2": "p2_1 p2_2"}),
        ("s_1.png s_2.png preview.png", {"s": "s_1 s_2", "preview": "preview"}),
        ("A/A_1.tif A/A_1_mask.tif B/B_1.tif", {"A": "A_1", "B": "B_1"}),
        ("u/images/1.png u/masks/1.png v/images/1.png v/masks/1.png", {"u": "1", "v": "1"}),
        ("u/p/1.png v/p/1.png", {"u_p": "1", "v_p": "1"}),
        ("1.png old/result.json old/masks/1_mask.png old/overlay/1.png", {"root": "1"}),
        ("masks/1.png masks/2.png 1.png 2.png", {"root": "1 2"}),
    ],
)
def test_names_say_what_belongs_together(names: str, stacks: dict[str, str]) -> None:
    """No file is opened."""
    files = sorted(Path("root", name) for name in names.split())
    found = stack_slices(files, Path("root"), "root")
    assert {stack.name: " ".join(path.stem for path in stack.slices) for stack in found} == stacks
    assert not any(stack.problems for stack in found)


@pytest.mark.parametrize(
    "numbers, missing",
    [((1, 2, 3), []), ((2, 4, 6), []), ((1, 2, 4, 7), [3, 5, 6]), ((), []), ((5,), []), ((3, 90, 4711), [])],
)
def test_gaps_in_the_numbering(numbers: tuple[int, ...], missing: list[int]) -> None:
    assert missing_numbers(numbers) == missing


def test_scans_win_over_pictures(trial: Trial, slices: np.ndarray) -> None:
    """Previews beside DICOM, or beside NIfTI given by hand, change nothing."""
    before = trial.inspected(trial.study)
    write_lgg(trial.study / "previews", slices)
    Image.fromarray(slices[0]).save(trial.study / "flair_00.png")
    assert trial.inspected(trial.study) == before
    files = write_nifti_study(trial.study, trial.root / "nifti")
    Image.fromarray(slices[0]).save(trial.root / "nifti" / "flair.png")
    seen = trial.inspected(trial.root / "nifti")
    assert {item["name"] for item in seen["series"]} == {path.name for path in files.values()}


def test_one_of_several_patients(trial: Trial, slices: np.ndarray) -> None:
    root = trial.root / "patients"
    for name in ("A", "B"):
        write_lgg(root / name, slices[:3])
    ran = trial.refused_by_header("MULTIPLE_STUDIES", root)
    assert "A, B" in ran.lines[0] and "--study NAME" in ran.lines[0]
    trial.refused_by_header("INPUT_NOT_FOUND", root, "--study", "C")
    folder, _ = segmented(trial, root, "--study", "B")
    assert folder.name == "B"
    # Results that lie in the input are no slices.
    folder, _ = segmented(trial, root / "A", name="in.A")
    shutil.move(folder, root / "A" / "results")
    trial.inspected(root / "A")


# --- what they may hold ---------------------------------------------------------------------------------------------


def test_forms_that_hold_the_same_pixels_give_the_same_mask(trial: Trial, slices: np.ndarray) -> None:
    """Opaque alpha, palettes and RGB without colour are gray levels; a gray slice among RGB ones is one of them."""
    gray = np.repeat(slices[..., 1:2], 3, axis=-1)
    plain, result = segmented(trial, write_lgg(trial.root / "plain", gray), name="plain")
    assert [role["substituted"] for role in result["roles"].values()] == [True, False, True]
    assert len([text for text in result["warnings"] if "stands in" in text]) == 2
    folder = write_lgg(trial.root / "forms", gray)
    kinds = ("RGBA", "P", "L", "RGB")
    for n, file in enumerate(sorted(folder.iterdir())):
        picture = Image.open(file).convert("L")
        picture = picture.convert(kinds[n % 4])
        file.unlink()
        picture.save(file.with_suffix((".png", ".tiff")[n // 4 % 2] if picture.mode != "RGBA" else ".png"))
    forms, _ = segmented(trial, folder, name="forms")
    assert np.array_equal(stacked_masks(plain, len(gray)), stacked_masks(forms, len(gray)))
    drawn = [np.asarray(Image.open(next(f.glob("overlay/*_5.png")))) for f in (plain, forms)]
    assert np.array_equal(*drawn)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32], ids=lambda kind: np.dtype(kind).name)
def test_gray_slices_are_the_flair_whatever_their_scale(trial: Trial, slices: np.ndarray, kind: type) -> None:
    factor = {np.uint8: 1, np.uint16: 200, np.float32: 0.01}[kind]
    gray = (slices[..., 1] * np.float32(factor)).astype(kind)
    folder, result = segmented(trial, write_lgg(trial.root / "gray", gray))
    assert [role["substituted"] for role in result["roles"].values()] == [True, False, True]
    assert result["volume_voxels"] > 0 and "dice" not in result
    shown = np.asarray(Image.open(folder / "overlay" / "gray_5.png"))
    assert 100 < np.percentile(shown[..., 2], 99) <= 255


def test_masks_of_labels_and_of_some_slices(trial: Trial, slices: np.ndarray) -> None:
    """Label numbers count above 0; soft edges by half; slices without a mask are left out, and that is said."""
    masks = bright_masks(slices)
    folder = write_lgg(trial.root / "some", slices)
    for n in (4, 5, 6):
        labels = np.where(masks[n - 1] > 0, n % 2 + 1, 0).astype(np.uint8)
        Image.fromarray(labels).save(folder / f"some_{n}_mask.png")
    result, record = segmented(trial, folder)
    found = stacked_masks(result, len(slices))
    assert record["dice"] == pytest.approx(dice(found[3:6], masks[3:6]), abs=1e-4)
    assert record["dice_slices"] == 3 and any("3 of 9 slices have a mask" in text for text in record["warnings"])
    for n in (4, 5, 6):
        soft = np.where(masks[n - 1] > 0, 200, 60).astype(np.uint8)
        Image.fromarray(soft).save(folder / f"some_{n}_mask.png")
    assert segmented(trial, folder, name="soft")[1]["dice"] == record["dice"]


def test_remarks_on_what_is_there(trial: Trial, slices: np.ndarray) -> None:
    folder = write_lgg(trial.root / "gap", slices)
    (folder / "gap_4.tif").unlink()
    assert any(text.startswith("1 slice(s) missing") and "4" in text for text in trial.inspected(folder)["warnings"])
    single = trial.root / "one.png"
    Image.fromarray(slices[4]).save(single)
    results, record = segmented(trial, single)
    assert results.name == "one" and any("single slice" in text for text in record["warnings"])
    masks = np.zeros_like(slices[..., 0])
    blank = write_lgg(trial.root / "blank", slices, masks)
    assert segmented(trial, blank, name="blank")[1]["dice"] == 0


# --- what is refused ------------------------------------------------------------------------------------------------


def save(path: Path, picture: Image.Image, **settings: object) -> None:
    path.unlink(missing_ok=True)
    picture.save(path, **settings)


def cut(path: Path, part: float = 0.5) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])


def flip_bytes(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(255 - value for value in content[middle : middle + 20])
    path.write_bytes(content)


def png_header(path: Path, width: int, height: int) -> None:
    """A PNG that claims another size: all that is known before its pixels are decoded."""
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


def rgb16(path: Path) -> None:
    """Sixteen bits a colour, of which Pillow would keep eight."""
    tifffile.imwrite(path.with_suffix(".tif"), np.full((64, 52, 3), 4000, dtype=np.uint16), photometric="rgb")
    path.unlink()


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    save(path, Image.open(path).copy(), exif=exif)


def transparent(path: Path) -> None:
    picture = Image.open(path).convert("RGBA")
    picture.putpixel((3, 3), (0, 0, 0, 0))
    save(path, picture)


def pages(path: Path) -> None:
    picture = Image.open(path).copy()
    save(path.with_suffix(".tif"), picture, save_all=True, append_images=[picture])
    path.unlink()


def again(path: Path) -> None:
    Image.open(path).save(path.with_suffix(".tif"))


BY_HEADER: dict[str, tuple[str, Callable[[Path], object]]] = {
    "another size": ("WRONG_SHAPE", lambda path: save(path, Image.open(path).resize((52, 60)))),
    "a thumbnail": ("WRONG_SHAPE", lambda path: save(path, Image.open(path).resize((16, 16)))),
    "a bomb": ("TOO_LARGE", lambda path: png_header(path, 60000, 60000)),
    "a long edge": ("TOO_LARGE", lambda path: png_header(path, 5000, 40)),
    "empty": ("TRUNCATED", lambda path: path.write_bytes(b"")),
    "text": ("UNREADABLE", lambda path: path.write_text("no picture")),
    "another format": ("UNREADABLE", lambda path: save(path, Image.open(path).copy(), format="GIF")),
    "16 bits a colour": ("UNSUPPORTED_FORM", rgb16),
    "CMYK": ("UNSUPPORTED_FORM", lambda path: save(path, Image.open(path).convert("CMYK"), format="JPEG")),
    "pages": ("UNSUPPORTED_FORM", pages),
    "turned": ("UNSUPPORTED_FORM", turned),
    "16-bit gray among RGB": ("UNSUPPORTED_FORM", lambda path: save(path, Image.new("I;16", (52, 64)))),
    "twice": ("DUPLICATE_POSITION", again),
    "another number for it": ("DUPLICATE_POSITION", lambda path: shutil.copy(path, path.with_stem("p_05"))),
    "a mask of another size": ("WRONG_SHAPE", lambda path: Image.new("L", (50, 64)).save(path.with_stem("p_5_mask"))),
    "a mask without slice": ("MISSING_SLICE", lambda path: Image.new("L", (52, 64)).save(path.with_stem("p_77_mask"))),
    "two masks": ("DUPLICATE_POSITION", lambda path: [
        Image.new("L", (52, 64)).save(path.with_name(f"p_5_mask.{ending}")) for ending in ("png", "tif")]),
    "a broken mask": ("UNREADABLE", lambda path: path.with_stem("p_5_mask").write_text("no picture")),
}  # fmt: skip
BY_PIXELS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "cut": ("TRUNCATED", cut),
    "the end cut": ("TRUNCATED", lambda path: path.write_bytes(path.read_bytes()[:-20])),
    "damaged": ("TRUNCATED", flip_bytes),
    "transparent": ("UNSUPPORTED_FORM", transparent),
    "a coloured mask": ("UNSUPPORTED_FORM", lambda path: shutil.copy(path, path.with_stem("p_5_mask"))),
}


@pytest.fixture
def patient(trial: Trial, slices: np.ndarray) -> Path:
    return write_lgg(trial.root / "p", slices, suffix=".png")


@pytest.mark.parametrize("case", BY_HEADER)
def test_refused_by_header(trial: Trial, patient: Path, case: str) -> None:
    code, change = BY_HEADER[case]
    change(patient / "p_5.png")
    ran = trial.refused_by_header(code, patient)
    assert len(ran.lines) == 1, "one problem, one line, though there are three channels"


@pytest.mark.parametrize("case", BY_PIXELS)
def test_refused_by_pixels(trial: Trial, patient: Path, case: str) -> None:
    code, change = BY_PIXELS[case]
    change(patient / "p_5.png")
    trial.refused(code, patient)


@pytest.mark.parametrize("ending", [".tif", ".jpg", ".png"])
def test_a_cut_file_is_told_and_no_library_speaks(tmp_path: Path, capfd, slices: np.ndarray, ending: str) -> None:
    """libtiff writes to the process's stderr past Python."""
    path = tmp_path / f"slice{ending}"
    if ending == ".tif":  # its directory before its pixels, so that a cut file is still a TIFF
        tifffile.imwrite(path, slices[4], photometric="rgb", compression="zlib")
    else:
        Image.fromarray(slices[4]).save(path)
    assert ending == ".jpg" or np.array_equal(read_slice(path), slices[4])
    whole = path.read_bytes()
    for part in (0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(InputRefused) as refusal:
            read_slice(path)
        assert refusal.value.code in ("TRUNCATED", "UNREADABLE")
    assert capfd.readouterr().err == ""


def test_volumes_without_an_image_are_refused(trial: Trial, slices: np.ndarray) -> None:
    for name, pixels, code in (
        ("black", np.zeros_like(slices), "EMPTY_VOLUME"),
        ("one channel black", slices * np.array([0, 1, 1], dtype=np.uint8), "EMPTY_VOLUME"),
        ("nan", np.where(slices[..., 1] > 200, np.nan, slices[..., 1]).astype(np.float32), "NOT_FINITE"),
        ("negative", slices[..., 1].astype(np.float32) - 50, "NEGATIVE_VALUES"),
    ):
        trial.refused(code, write_lgg(trial.root / name, pixels))
    masks = trial.root / "masks only"
    write_lgg(masks, slices[..., 1] > 90)
    trial.refused_by_header("UNSUPPORTED_FORM", masks)
    for file in masks.iterdir():
        file.rename(file.with_stem(f"{file.stem}_mask"))
    assert "masks alone" in trial.refused_by_header("EMPTY_INPUT", masks).lines[0]


def test_what_slices_cannot_give_is_a_wrong_call(trial: Trial, patient: Path) -> None:
    for outputs in ("nifti", "png,probability", "dicom-seg"):
        trial.refused("USAGE", patient, "--outputs", outputs, exit_code=2)
    trial.refused("USAGE", trial.study, "--outputs", "png", exit_code=2)
    trial.refused_by_header("UNSUPPORTED_FORM", "--flair", patient)
    trial.refused_by_header("UNSUPPORTED_FORM", patient, "--flair", "p [channel 1 of 3]")
