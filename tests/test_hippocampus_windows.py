"""The hippocampus bundle in windows, by MONAI: as without them within 64 mm, and beyond."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hippocampus_scans import BUNDLE, contrast_bundle, two_balls
from monai.bundle import ConfigParser
from studies import run

from scanweave.errors import InputRefused
from scanweave.pipeline.bundle import INFERENCE_CONFIG, METADATA_FILE, refusal_within
from scanweave.pipeline.phantom import make_phantom

WINDOWS = INFERENCE_CONFIG.with_name("inference_windows.json")


def in_windows(root: Path, image: Path, out: Path) -> Path:
    """The folder of the results, by what `monai.bundle run` builds of both files."""
    parser = ConfigParser()
    parser.read_config([str(root / INFERENCE_CONFIG), str(root / WINDOWS)])
    parser.read_meta(str(root / METADATA_FILE))
    parser.update({"bundle_root": str(root), "dataset_dir": str(image), "output_dir": str(out), "device": "cpu"})
    parser.get_parsed_content("evaluator").run()
    return out / image.name.removesuffix(".nii.gz")


def labels_of(folder: Path) -> np.ndarray:
    return np.asarray(nib.load(folder / "segmentation.nii.gz").dataobj)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return contrast_bundle(tmp_path_factory.mktemp("bundle") / "contrast")


@pytest.mark.parametrize("shape", [(80, 72, 16), (126, 40, 20)])  # balls over 1 %, or they are clipped
def test_a_plane_larger_than_the_network_s(shape: tuple[int, int, int], bundle: Path, tmp_path: Path) -> None:
    """Both segments, each in its place."""
    values, labels = two_balls(shape, (1.0, 1.0, 1.0), along=0)
    nib.save(nib.Nifti1Image(values.astype(np.int16), np.eye(4)), tmp_path / "t1.nii.gz")
    ran = run("segment", tmp_path / "t1.nii.gz", "-o", tmp_path / "plain", "--bundle", bundle)
    assert (ran.exit_code, ran.codes) == (3, ["REGION_TOO_LARGE"]) and "64 pixels across" in ran.lines[0]
    folder = in_windows(bundle, tmp_path / "t1.nii.gz", tmp_path / "out")
    assert np.array_equal(labels_of(folder), labels)
    record = json.loads((folder / "result.json").read_text())
    assert all(record["segments"][name]["volume_ml"] > 1 for name in ("anterior", "posterior"))


def test_a_whole_head_stays_refused(bundle: Path, tmp_path: Path) -> None:
    head = make_phantom(1).series["pre"]
    nib.save(nib.Nifti1Image(head.array, head.affine), tmp_path / "t1.nii.gz")
    with pytest.raises(Exception, match="128 pixels across") as caught:
        in_windows(bundle, tmp_path / "t1.nii.gz", tmp_path / "out")
    refusal = refusal_within(caught.value)
    assert isinstance(refusal, InputRefused) and refusal.code == "REGION_TOO_LARGE"
    assert not (tmp_path / "out").exists()


def test_within_64_mm_it_is_the_same_by_the_card_s_command(data_dir: Path, tmp_path: Path) -> None:
    split = json.loads((BUNDLE.root / "configs" / "split.json").read_text())
    image = data_dir / "hippocampus" / "images" / f"{split['test'][0]}.nii.gz"
    ran = run("segment", image, "-o", tmp_path / "plain", "--bundle", BUNDLE.name, "--outputs", "nifti,probability")
    assert ran.exit_code == 0, ran.lines
    files = [f"configs/{name}" for name in (INFERENCE_CONFIG.name, WINDOWS.name)]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", repr(files), "--bundle_root", ".",
               "--dataset_dir", str(image), "--output_dir", str(tmp_path / "windows"), "--outputs",
               "nifti,probability"]  # fmt: skip
    subprocess.run(command, check=True, cwd=BUNDLE.root, capture_output=True)
    (plain,), (windows,) = ((tmp_path / name).iterdir() for name in ("plain", "windows"))
    assert np.array_equal(labels_of(windows), labels_of(plain)) and set(np.unique(labels_of(plain))) == {0, 1, 2}
    ours, theirs = (nib.load(folder / "probability.nii.gz").get_fdata() for folder in (plain, windows))
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
