"""What is spoiled: small series of every form, real ones cut small where they are there, NIfTI files, zips, a disc."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from dicom_forms import enhanced, mr_slices, save, stored_as
from mutations import spoil_dicom, spoil_nifti, spoil_zip, zipped
from pydicom.fileset import FileSet
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

SIDE = 32
"""Real slices are cut to so many pixels: their headers stay as they are."""
SERIES = (
    "dicom-vendors/ge", "dicom-vendors/siemens", "dicom-vendors/philips", "dicom-vendors/hitachi",
    "dicom-vendors/generic", "dicom-vendors/philips_enhanced", "study-siemens/36468-FLAIRreg-58706",
)  # fmt: skip
MOST_SLICES = 5
DISC_UID = "1.2.9"
COMPRESSED = {
    "JPEG lossless": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "RLE": "1.2.840.10008.1.2.5",
}
NATIVE = {
    "implicit": ImplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}
ALL_ALIKE = 0.4
"""Share of changes that all files of a series get: an odd value in one of them is only told as a difference."""
Files = dict[str, bytes]
"""Contents by path below the input."""


@dataclass(frozen=True)
class Seed:
    """A whole input, and how one of its files is spoiled; `target` is the input's name below its folder, "" for it."""

    name: str
    files: Files
    target: str = ""
    spoil: Callable[[bytes, random.Random], bytes] = spoil_dicom
    victims: tuple[str, ...] = ()

    def spoiled(self, chance: random.Random) -> Files:
        """The files, of which one (seldom two) is not what it was, or all of a series alike: these still agree."""
        changed = dict(self.files)
        names = self.victims or tuple(self.files)
        for _ in range(chance.choice((1, 1, 1, 2))):
            first = chance.choice(names)
            together = chance.random() < ALL_ALIKE
            how = chance.getrandbits(32)
            for name in names:
                if name == first or (together and _shape(name) == _shape(first)):
                    changed[name] = self.spoil(changed[name], random.Random(how))
        return changed


def _shape(name: str) -> str:
    """Names of one series differ by numbers."""
    return re.sub(r"\d+", "#", name)


def make_seeds(folder: Path, data: Path | None) -> list[Seed]:
    """The seeds, made in `folder`; with the real scans below `data`."""
    plain = save(mr_slices()[:4], folder / "plain")
    seeds = [_dicom("plain", plain)]
    for name, syntax in NATIVE.items():

        def change(dataset: pydicom.Dataset, n: int, syntax: str = syntax) -> None:
            dataset.file_meta.TransferSyntaxUID = syntax

        seeds.append(_dicom(name, save(mr_slices()[:4], folder / name, change)))
    for name, syntax in COMPRESSED.items():
        made = [stored_as(item, syntax) for item in mr_slices()[:4]]
        seeds.append(_dicom(name, save(made, folder / name)))
    seeds.append(_dicom("enhanced", save([enhanced(mr_slices()[:4])], folder / "enhanced")))
    for series in SERIES if data else ():
        files = sorted(Path(data or "", series).rglob("*.dcm"), key=_number)[:MOST_SLICES]
        seeds.append(_dicom(series.rpartition("/")[2], _cut(files, folder / series)))
    seeds += [_zip(plain), _disc(plain, folder / "disc")]
    return seeds + _nifti(folder)


def _dicom(name: str, folder: Path) -> Seed:
    return Seed(name, {path.name: path.read_bytes() for path in sorted(folder.iterdir())})


def _number(path: Path) -> int:
    return int(pydicom.dcmread(path, specific_tags=["InstanceNumber"]).InstanceNumber)


def _cut(files: list[Path], folder: Path) -> Path:
    """Real slices with fewer pixels; compressed ones as they are."""
    folder.mkdir(parents=True)
    for n, path in enumerate(files):
        dataset = pydicom.dcmread(path)
        if not dataset.file_meta.TransferSyntaxUID.is_compressed:
            pixels = dataset.pixel_array[..., :SIDE, :SIDE]
            dataset.Rows = dataset.Columns = SIDE
            dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
        dataset.save_as(folder / f"{n}.dcm")
    return folder


def _zip(folder: Path) -> Seed:
    members = [(f"DICOM/ST 1/{path.name}", path.read_bytes()) for path in sorted(folder.iterdir())]
    return Seed("zip", {"study.zip": zipped([*members, ("autorun.inf", b"[autorun]")])}, "study.zip", spoil_zip)


def _disc(folder: Path, disc: Path) -> Seed:
    files = FileSet()
    files.UID = DISC_UID
    for path in sorted(folder.iterdir()):
        files.add(path)
    files.write(disc)
    found = {str(path.relative_to(disc)): path.read_bytes() for path in sorted(disc.rglob("*")) if path.is_file()}
    return Seed("DICOMDIR", found, "DICOMDIR", victims=("DICOMDIR",))


def _nifti(folder: Path) -> list[Seed]:
    """Three volumes in one file: unpacked, packed, with an extension, and NIfTI-2."""
    noise = np.random.default_rng(0).integers(0, 900, (12, 11, 10, 3))
    affine = np.diag([-1.0, -1.2, 3.0, 1.0])
    seeds = []
    for name, kind in (("a.nii", nib.Nifti1Image), ("b.nii", nib.Nifti2Image)):
        image = kind(noise.astype(np.int16), affine)
        image.set_sform(affine, code=1)
        image.set_qform(affine, code=1)
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a comment"))
        nib.save(image, folder / name)
        content = (folder / name).read_bytes()
        seeds.append(Seed(name, {name: content}, name, spoil_nifti))
        packed = f"{name}.gz"
        seeds.append(Seed(packed, {packed: gzip.compress(content, mtime=0)}, packed, spoil_nifti))
    return seeds
