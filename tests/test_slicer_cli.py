"""The command-line module of Slicer: its description, its progress, its result."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from studies import console_script, run, write_nifti_study

from scanweave.cli import _parser
from scanweave.commands.arguments import ROLE_ALIASES
from scanweave.slicer_description import slicer_description

pytest_plugins = ["study_fixtures"]


@pytest.fixture
def nifti_study(small_study: Path, tmp_path: Path) -> Path:
    """<role>.nii.gz"""
    return next(iter(write_nifti_study(small_study, tmp_path / "nifti").values())).parent


def test_the_description_is_valid(data_dir: Path) -> None:
    from lxml import etree

    schema = (data_dir.parent / "schemas" / "ctkCmdLineModule.xsd").read_text()
    # XML Schema's regular expressions know no (?:, which the schema itself has.
    rules = etree.XMLSchema(etree.fromstring(schema.replace("(?:", "(").encode()))
    document = etree.fromstring(slicer_description().encode())
    assert rules.validate(document), rules.error_log
    assert "Research use only" in document.findtext("description")


def test_every_parameter_is_an_option() -> None:
    flags = re.findall(r"<longflag>(--\w+)</longflag>", slicer_description())
    assert set(flags) == {"--pre", "--flair", "--post", "--segmentation", "--device", "--precision", "--components"}
    values = {"--precision": "fp32", "--components": "all"}
    words = [word for flag in flags for word in (flag, values.get(flag, "x.nii"))]
    options = _parser().parse_args(["slicer-cli", *words, "--returnparameterfile", "y"])
    assert {flag[2:] for flag in flags} <= vars(options).keys()
    assert ROLE_ALIASES == ("pre", "flair", "post")


def test_the_same_mask_as_segment(nifti_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    roles = [word for role in ROLE_ALIASES for word in (f"--{role}", nifti_study / f"{role}.nii.gz")]
    target, said = tmp_path / "mask of Zoë.nii.gz", tmp_path / "said.txt"
    ran = run("slicer-cli", *roles, "--segmentation", target, "--returnparameterfile", said, "--bundle", small_bundle)
    assert ran.exit_code == 0, ran.lines
    record = run("segment", *roles, "-o", tmp_path / "out", "--outputs", "nifti", "--bundle", small_bundle, "--json")
    assert record.exit_code == 0
    (expected,) = (tmp_path / "out").glob("*/segmentation.nii.gz")
    one, other = nib.load(target), nib.load(expected)
    assert np.array_equal(one.get_fdata(), other.get_fdata()) and np.allclose(one.affine, other.affine)
    assert re.fullmatch(r"volume_ml = \d+\.\d{3}\nwarnings = \S.*\n", said.read_text())
    told = [float(text) for text in re.findall(r"<filter-progress>([\d.]+)</filter-progress>", ran.out)]
    assert told == sorted(told) and told[0] < 0.2 and told[-1] == 1
    assert ran.out.startswith("<filter-start>") and ran.out.rstrip().endswith("</filter-end>")


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        ([], "USAGE", 2),
        (["--segmentation", "mask.mha"], "USAGE", 2),
        (["--segmentation", "mask.nii", "--flair", "missing.nii"], "INPUT_NOT_FOUND", 3),
        (["--segmentation", "mask.nii"], "USAGE", 2),
    ],
)
def test_refusals(words: list[str], code: str, exit_code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("slicer-cli", *words)
    assert (ran.exit_code, ran.codes) == (exit_code, [code])
    assert not [path for path in tmp_path.iterdir() if "mask" in path.name]


def test_progress_for_programs(nifti_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    """`segment --json --progress tags`: one document on stdout, tags on stderr."""
    import json
    import subprocess

    roles = [word for role in ROLE_ALIASES for word in (f"--{role}", nifti_study / f"{role}.nii.gz")]
    call = console_script("segment", *roles, "-o", tmp_path / "out", "--bundle", small_bundle, "--json",
                          "--progress", "tags", "--outputs", "nifti")  # fmt: skip
    ran = subprocess.run(call, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)["volume_ml"] > 0
    assert all(line.startswith("<filter-") for line in ran.stderr.splitlines()), ran.stderr
