"""NIfTI input that must not be segmented, each with its code, and beside it the nearest input that must."""

import gzip
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from studies import ROLES, Trial, run, write_nifti, write_nifti_study

from scanweave.transforms.io import nifti_guard, volume_limits

pytest_plugins = ["study_fixtures"]

NIFTI_RESULT = {"segmentation.nii.gz", "report.html", "result.json"}
GZIP_END_BYTES = 8
"""Checksum and length (RFC 1952 2.3.1), after the last voxel."""


@dataclass(frozen=True)
class NiftiTrial:
    """The small study as one NIfTI file a role."""

    trial: Trial
    files: dict[str, Path]

    @property
    def flair(self) -> Path:
        return self.files["flair"]

    def voxels(self, role: str = "flair") -> np.ndarray:
        return np.asarray(nib.load(self.files[role]).dataobj)

    def rewrite(self, array: np.ndarray, role: str = "flair", **header: Any) -> None:
        """Other voxels, or other fields of the header, under the same name."""
        write_nifti(self.files[role], array, nib.load(self.files[role]).affine, **header)

    @property
    def roles(self) -> list[object]:
        return [word for role, path in self.files.items() for word in (f"--{role}", path)]

    def refused(self, code: str) -> None:
        self.trial.refused(code, *self.roles)

    def refused_by_header(self, code: str) -> None:
        self.trial.refused_by_header(code, *self.roles)

    def inspected(self) -> None:
        self.trial.inspected(*self.roles)

    def done(self) -> Path:
        folder = self.trial.done(*self.roles, files=NIFTI_RESULT)
        mask = nib.load(folder / "segmentation.nii.gz")
        assert mask.shape == nib.load(self.flair).shape[:3]
        assert np.allclose(mask.affine, nib.load(self.flair).affine)
        return folder


@pytest.fixture
def nifti(trial: Trial) -> NiftiTrial:
    return NiftiTrial(trial, write_nifti_study(trial.study, trial.root / "nifti"))


def test_one_file_a_role_is_segmented_under_its_name(nifti: NiftiTrial) -> None:
    folder = nifti.done()
    assert folder.name == "flair"
    result = json.loads((folder / "result.json").read_text())
    assert {role: result["roles"][role]["series"] for role in ROLES} == {
        role: path.name for role, path in nifti.files.items()
    }


# --- voxels ---------------------------------------------------------------------------------------------------------


def with_voxel(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.astype(np.float32)
    changed[10, 10, 4] = value
    return changed


VOXELS: list[tuple[str, str, Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = [
    ("NaN", "NOT_FINITE", lambda a: with_voxel(a, np.nan), lambda a: with_voxel(a, 5000)),
    ("infinite", "NOT_FINITE", lambda a: with_voxel(a, -np.inf), lambda a: with_voxel(a, -5)),
    ("too large for float32", "NOT_FINITE", lambda a: a.astype(float) * 1e300, lambda a: a.astype(float) * 1e30),
    ("all zero", "EMPTY_VOLUME", lambda a: a * 0, lambda a: with_voxel(a * 0, 1)),
    ("all seven", "EMPTY_VOLUME", lambda a: a * 0 + 7, lambda a: with_voxel(a * 0 + 7, 8)),
    ("nothing above zero", "EMPTY_VOLUME", lambda a: -a, lambda a: a - 1),
]


@pytest.mark.parametrize(("bad", "code", "good"), [row[2:0:-1] + row[3:] for row in VOXELS], ids=[r[0] for r in VOXELS])
def test_voxels_that_are_no_image_are_refused(
    nifti: NiftiTrial,
    bad: Callable[[np.ndarray], np.ndarray],
    code: str,
    good: Callable[[np.ndarray], np.ndarray],
) -> None:
    array = nifti.voxels()
    nifti.rewrite(bad(array))
    nifti.refused(code)
    nifti.rewrite(good(array))
    nifti.done()


def test_empty_optional_series_is_refused_too(nifti: NiftiTrial) -> None:
    array = nifti.voxels("pre")
    nifti.rewrite(array * 0, "pre")
    nifti.refused("EMPTY_VOLUME")
    nifti.rewrite(with_voxel(array * 0, 1), "pre")
    result = json.loads((nifti.done() / "result.json").read_text())
    assert result["registration"]["pre"]["flagged"], "one bright voxel cannot be aligned, and the result says so"
    assert any("registration of pre" in warning for warning in result["warnings"])


def test_voxels_that_are_no_numbers_are_refused(nifti: NiftiTrial) -> None:
    array = nifti.voxels()
    nifti.rewrite(array.astype(np.complex64))
    nifti.refused_by_header("UNREADABLE")
    nifti.rewrite(np.zeros(array.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]))
    nifti.refused_by_header("UNREADABLE")
    nifti.rewrite(array.astype(np.uint8))
    nifti.inspected()


# --- shapes ---------------------------------------------------------------------------------------------------------


def test_shape_that_is_no_volume_is_refused(nifti: NiftiTrial) -> None:
    array = nifti.voxels()
    for bad, code in (
        (array[:, :, 4], "WRONG_SHAPE"),
        (np.stack([array, array], axis=-1), "WRONG_SHAPE"),
        (np.stack([array, array], axis=-1)[:, :, :, None], "WRONG_SHAPE"),
        (array[:, :, :1], "TOO_FEW_SLICES"),
        (array[:, :, :2], "TOO_FEW_SLICES"),
    ):
        nifti.rewrite(bad)
        nifti.refused_by_header(code)
    for good in (array[:, :, :3], array[..., None], array[..., None, None]):
        nifti.rewrite(good)
        nifti.inspected()


def test_one_file_holds_all_roles(nifti: NiftiTrial) -> None:
    stack = np.stack([nifti.voxels(role) for role in ROLES], axis=-1)
    path = nifti.trial.root / "all.nii.gz"
    for volumes in (stack[..., :2], np.concatenate([stack, stack], axis=-1), stack[..., 0]):
        write_nifti(path, volumes, nib.load(nifti.flair).affine)
        nifti.trial.refused_by_header("WRONG_SHAPE", path)
    write_nifti(path, stack, nib.load(nifti.flair).affine)
    assert nifti.trial.done(path, files=NIFTI_RESULT).name == "all"


def test_file_that_cannot_be_used_does_not_stop_the_others(nifti: NiftiTrial) -> None:
    """A field of vectors, a cut file: what lies beside the three in real folders."""
    folder = nifti.flair.parent
    write_nifti(folder / "warp.nii.gz", np.zeros((4, 4, 4, 1, 3), np.float32), np.eye(4))
    (folder / "other.nii").write_bytes(nifti.flair.read_bytes()[:99])
    nifti.trial.inspected(folder)
    nifti.flair.write_bytes(b"")
    nifti.trial.refused_by_header("UNREADABLE", folder)


def test_folder_of_nifti_files_needs_a_name_for_each_role(nifti: NiftiTrial) -> None:
    """Nothing in a NIfTI header tells a FLAIR, and these names do not either."""
    folder = nifti.flair.parent
    renamed = {role: path.rename(folder / f"{n}.nii.gz") for n, (role, path) in enumerate(nifti.files.items())}
    assert "--flair FILE" in nifti.trial.refused_by_header("NO_FLAIR", folder).lines[0]
    named = [word for role, path in renamed.items() for word in (f"--{role}", path.name)]
    nifti.trial.inspected(folder, *named)


# --- geometry -------------------------------------------------------------------------------------------------------


def raw_affine(path: Path, rows: list[float], code: int = 1) -> None:
    """The sform's twelve numbers, and no qform, as bytes: nibabel would refuse to write some of them."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<2h", content, 252, 0, code)
    struct.pack_into("<12f", content, 280, *rows)
    path.write_bytes(gzip.compress(bytes(content)))


def test_affine_that_places_nothing_is_refused(nifti: NiftiTrial) -> None:
    rows = [float(value) for value in nib.load(nifti.flair).affine[:3].ravel()]
    collapsed = [*rows[:2], rows[1], rows[3], *rows[4:6], rows[5], rows[7], *rows[8:10], rows[9], rows[11]]
    for bad in ([0.0] * 12, collapsed, [np.nan, *rows[1:]], [np.inf, *rows[1:]]):
        raw_affine(nifti.flair, bad)
        nifti.refused_by_header("BAD_AFFINE")
    raw_affine(nifti.flair, rows, code=0)
    nifti.refused_by_header("MISSING_GEOMETRY")
    raw_affine(nifti.flair, rows)
    nifti.done()


def test_unit_must_be_millimetres(nifti: NiftiTrial) -> None:
    for unit, code in ((1, "BAD_AFFINE"), (3, "BAD_AFFINE")):
        nifti.rewrite(nifti.voxels(), xyzt_units=unit)
        nifti.refused_by_header(code)
    for unit in (0, 2):
        nifti.rewrite(nifti.voxels(), xyzt_units=unit)
        nifti.inspected()


# --- files ----------------------------------------------------------------------------------------------------------


def test_file_cut_anywhere_is_refused(nifti: NiftiTrial) -> None:
    whole = nifti.flair.read_bytes()
    for size in (len(whole) // 2, len(whole) - GZIP_END_BYTES - 1, len(whole) - GZIP_END_BYTES, len(whole) - 1):
        nifti.flair.write_bytes(whole[:size])
        nifti.refused("TRUNCATED")
    for size in (0, 5, 100):
        nifti.flair.write_bytes(whole[:size])
        nifti.refused_by_header("UNREADABLE")
    nifti.flair.write_bytes(whole)
    nifti.inspected()


def test_damaged_compressed_voxels_are_refused(nifti: NiftiTrial) -> None:
    """nibabel stops before the checksum: flipped bits would be other brightness, or a lesion."""
    whole = nifti.flair.read_bytes()
    for at in (len(whole) // 3, len(whole) // 2, len(whole) - GZIP_END_BYTES):
        nifti.flair.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        nifti.refused("TRUNCATED")


def test_uncompressed_file_cut_short_is_refused_by_its_header(nifti: NiftiTrial) -> None:
    path = nifti.flair.with_suffix("")
    path.write_bytes(gzip.decompress(nifti.flair.read_bytes()))
    nifti.files["flair"] = path
    nifti.inspected()
    path.write_bytes(path.read_bytes()[:-1000])
    nifti.refused_by_header("TRUNCATED")


def test_header_that_claims_more_than_any_machine_holds_is_refused(nifti: NiftiTrial) -> None:
    """Both compressed and not, before any memory is asked for."""
    content = bytearray(gzip.decompress(nifti.flair.read_bytes()))
    struct.pack_into("<3h", content, 42, 32000, 32000, 32000)
    nifti.flair.write_bytes(gzip.compress(bytes(content)))
    nifti.refused_by_header("TRUNCATED")
    nifti.files["flair"] = nifti.flair.with_suffix("")
    nifti.flair.write_bytes(bytes(content))
    nifti.refused_by_header("TRUNCATED")


def test_volume_larger_than_any_head_is_refused_by_its_header(
    nifti: NiftiTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    voxels = nifti.voxels().size
    monkeypatch.setattr(volume_limits, "MAX_VOXELS", voxels - 1)
    nifti.refused_by_header("TOO_LARGE")
    monkeypatch.setattr(volume_limits, "MAX_VOXELS", voxels)
    nifti.inspected()


def test_zeros_without_end_are_refused_by_their_header(nifti: NiftiTrial) -> None:
    """A gibibyte of zeros in a megabyte, and a header that says so."""
    content = bytearray(gzip.decompress(nifti.flair.read_bytes()))[:352]
    struct.pack_into("<3h", content, 42, 1024, 1024, 1024)
    struct.pack_into("<2h", content, 70, 2, 8)  # NIFTI_TYPE_UINT8
    with gzip.open(nifti.flair, "wb", compresslevel=9) as stream:
        stream.write(content)
        for _ in range(32):
            stream.write(bytes(1 << 24))
    nifti.refused_by_header("TRUNCATED")
    with gzip.open(nifti.flair, "ab", compresslevel=9) as stream:
        for _ in range(32):
            stream.write(bytes(1 << 24))
    nifti.refused_by_header("TOO_LARGE")


def test_far_more_than_the_voxels_is_refused(nifti: NiftiTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti_guard, "MAX_TRAILING_BYTES", 1000)
    with gzip.open(nifti.flair, "ab") as stream:
        stream.write(bytes(nifti_guard.MAX_EXTENSION_BYTES))
    nifti.inspected()
    with gzip.open(nifti.flair, "ab") as stream:
        stream.write(bytes(1001))
    nifti.refused("TRUNCATED")


def test_extension_of_impossible_size_is_refused_and_a_real_one_read(nifti: NiftiTrial) -> None:
    """nibabel asks for as many bytes as an extension claims."""
    image = nib.load(nifti.flair)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"seen by nobody"))
    nib.save(image, nifti.flair)
    nifti.done()
    whole = bytearray(gzip.decompress(nifti.flair.read_bytes()))
    for size in (-1, 0, 7, 1 << 30):
        struct.pack_into("<i", whole, 352, size)
        nifti.flair.write_bytes(gzip.compress(bytes(whole), 1))
        nifti.refused_by_header("UNREADABLE")


@pytest.mark.parametrize("name", ["x.nii.gz", "x.nii"])
def test_what_is_no_nifti_is_refused(nifti: NiftiTrial, name: str) -> None:
    nifti.files["flair"] = nifti.trial.root / name
    for content in (b"hello", b"hello" * 1000, gzip.compress(b"hello" * 1000), bytes(5000)):
        nifti.flair.write_bytes(content)
        nifti.refused_by_header("UNREADABLE")


def test_every_byte_of_the_header_can_be_garbage(nifti: NiftiTrial) -> None:
    """Whatever stands there, the answer is a result or a refusal, never a defect."""
    whole = gzip.decompress(nifti.flair.read_bytes())
    for at in range(0, 348, 2):
        nifti.flair.write_bytes(gzip.compress(whole[:at] + b"\xff\x7f" + whole[at + 2 :], 1))
        seen = run("inspect", *nifti.roles, "--json", "--bundle", nifti.trial.bundle)
        assert seen.exit_code in (0, 3), f"bytes {at} and {at + 1}: {seen.lines}"
        assert "INTERNAL" not in seen.codes
