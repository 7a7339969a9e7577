"""The index: which studies lie below a folder, in whatever mix, and that it looks at no file twice."""

import csv
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from batch_rooms import add_patient
from PIL import Image
from studies import SECRETS, run, uid_of, without_privilege, write_nifti, write_nifti_study

from scanweave.errors import EnvironmentFailure, InputRefused
from scanweave.pipeline.batch import look_around
from scanweave.pipeline.batch.entry import Entry
from scanweave.pipeline.batch.index import index
from scanweave.pipeline.batch.ledger import Ledger
from scanweave.pipeline.identity import pseudonym
from scanweave.pipeline.progress import Stage
from scanweave.transforms.io.find_study import find_study, one_study

pytest_plugins = ["study_fixtures"]
ROLES = ("pre", "flair", "post")


class Indexed:
    """A ROOT, and the ledger of its index."""

    def __init__(self, folder: Path) -> None:
        self.root, self.out = folder / "root", folder / "out"
        self.root.mkdir()
        self.out.mkdir()
        self.ledger = Ledger(self.out, writing=True)
        self.stages: list[Stage] = []

    def __call__(self, root: Path | None = None, processes: int = 1) -> dict[str, Entry]:
        index(root or self.root, self.ledger, ROLES, leave_out=self.out, temporary=self.out, phi=False,
              processes=processes, progress=self.stages.append)  # fmt: skip
        return {row.entry.name: row.entry for row in self.ledger.rows()}


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Indexed]:
    indexed = Indexed(tmp_path)
    yield indexed
    indexed.ledger.close()


def key_of(file: Path) -> str:
    return pseudonym(uid_of(file, "StudyInstanceUID"))


def series_of(entry: Entry) -> list[int]:
    """How many slices each of its series has, as the chain would find them."""
    with find_study(entry.request, ROLES) as found:
        study = one_study(found, entry.request.study_uid)
        return [len(series.files) for series in study.series]


def test_folders_are_studies_by_the_hash_of_their_uid(room: Indexed, small_study: Path) -> None:
    files = [add_patient(small_study, room.root / "Hidden^Person" / f"ID-4711-{n}" / "scans", n) for n in range(3)]
    found = room()
    assert set(found) == {key_of(items[0]) for items in files}
    assert not any(secret in name for secret in SECRETS for name in found)
    for items in files:
        entry = found[key_of(items[0])]
        assert (entry.path, entry.files) == (str(items[0].parent), ()), (
            "a folder of its own is taken as segment takes it"
        )
        assert series_of(entry) == [9, 9, 9]


def test_one_folder_with_the_files_of_many(room: Indexed, small_study: Path) -> None:
    files = [add_patient(small_study, room.root, n, flat=True) for n in range(3)]
    found = room()
    assert set(found) == {key_of(items[0]) for items in files}
    for items in files:
        entry = found[key_of(items[0])]
        assert set(entry.files) == {path.name for path in items}
        assert series_of(entry) == [9, 9, 9]


def test_a_study_whose_series_lie_apart(room: Indexed, small_study: Path) -> None:
    add_patient(small_study, room.root / "other", 0)
    files = add_patient(small_study, room.root / "all", 1)
    for path in files:
        place = room.root / "all" / path.name.partition("_")[0]
        place.mkdir(exist_ok=True)
        path.rename(place / path.name)
    found = room()
    assert len(found) == 2
    assert series_of(found[key_of(place / path.name)]) == [9, 9, 9]


def test_names_of_any_bytes(room: Indexed, small_study: Path) -> None:
    """Disks of other systems have names that are no UTF-8."""
    folder = Path(os.fsdecode(os.fsencode(room.root) + b"/M\xfcller"))
    files = add_patient(small_study, folder, 0)
    (folder / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    found = room()
    assert set(found) == {key_of(files[0]), pseudonym(str(folder / "broken.zip"))}
    assert series_of(found[key_of(files[0])]) == [9, 9, 9]
    assert room() == found


def test_archives(room: Indexed, small_study: Path, tmp_path: Path) -> None:
    one, many = room.root / "one.zip", room.root / "Person Hidden.zip"
    files = add_patient(small_study, tmp_path / "one", 0)
    with zipfile.ZipFile(one, "w") as archive:
        for path in files:
            archive.write(path, path.name)
    keys = []
    with zipfile.ZipFile(many, "w") as archive:
        for n in (1, 2):
            items = add_patient(small_study, tmp_path / f"many-{n}", n)
            keys.append(key_of(items[0]))
            for path in items:
                archive.write(path, f"{n}/{path.name}")
    (room.root / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    found = room()
    broken = pseudonym(str(room.root / "broken.zip"))
    assert set(found) == {key_of(files[0]), *keys, broken}, "no file's name is a study's: it may be a patient's"
    for key in (key_of(files[0]), *keys):
        assert series_of(found[key]) == [9, 9, 9]
    with pytest.raises(InputRefused, match="BAD_ARCHIVE"):
        series_of(found[broken])


def test_the_same_study_twice_is_two_entries(room: Indexed, small_study: Path) -> None:
    """In a folder and in an archive: nobody knows whether they are alike, so neither is dropped."""
    files = add_patient(small_study, room.root / "folder", 0)
    with zipfile.ZipFile(room.root / "same.zip", "w") as archive:
        for path in files:
            archive.write(path, path.name)
    assert set(room()) == {key_of(files[0]), f"{key_of(files[0])}-2"}


def test_nifti_folders_and_files_of_several_volumes(room: Indexed, small_study: Path) -> None:
    for name in ("a", "b/anat"):
        (room.root / name).parent.mkdir(exist_ok=True)
        write_nifti_study(small_study, room.root / name)
    write_nifti(room.root / "c.nii.gz", np.ones((12, 12, 12, 3), np.float32), np.diag([2.0, 2, 2, 1]))
    found = room()
    assert set(found) == {"a", "b_anat", "c"}
    assert (found["c"].path, found["c"].files) == (str(room.root / "c.nii.gz"), ())
    assert found["a"].files == ("flair.nii.gz", "post.nii.gz", "pre.nii.gz")


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(path)


def test_pictures_are_slices_only_where_there_are_no_scans(room: Indexed, small_study: Path) -> None:
    add_patient(small_study, room.root / "study", 0)
    picture(room.root / "study" / "previews" / "shot_1.png")
    for patient in ("p1", "p2"):
        for n in (1, 2):
            picture(room.root / "slices" / patient / f"{patient}_{n}.tif")
            picture(room.root / "slices" / patient / f"{patient}_{n}_mask.tif")
    found = room()
    assert set(found) - {"slices_p1", "slices_p2"} == {key_of(next((room.root / "study").glob("*.dcm")))}
    entry = found["slices_p1"]
    assert entry.study == "p1" and len(entry.files) == 4
    assert [len(series.masks) for series in _found(entry)] == [2, 2, 2]


def _found(entry: Entry) -> Sequence:
    with find_study(entry.request, ROLES) as found:
        return one_study(found, entry.study).series


def test_a_damaged_file_counts_to_the_study_that_has_its_folder(room: Indexed, small_study: Path) -> None:
    alone = add_patient(small_study, room.root / "alone", 0)
    for n in (1, 2):
        add_patient(small_study, room.root / "shared", n, flat=True)
    for folder, name in (("alone", "damaged.dcm"), ("shared", "damaged.dcm")):
        (room.root / folder / name).write_bytes(alone[0].read_bytes()[:400])
    found = room()
    unreadable = f"{pseudonym(str(room.root / 'shared'))}_unreadable"
    assert len(found) == 4
    for name in (key_of(alone[0]), unreadable):
        with pytest.raises(InputRefused, match="TRUNCATED"):
            series_of(found[name])
    whole = [name for name in found if name not in (unreadable, key_of(alone[0]))]
    assert [series_of(found[name]) for name in whole] == [[9, 9, 9]] * 2, "the others' slices are counted all the same"


def test_results_and_the_out_folder_are_no_input(room: Indexed, small_study: Path) -> None:
    add_patient(small_study, room.root / "study", 0)
    inside = room.root / "results"
    write_nifti(_made(inside / "s1") / "segmentation.nii.gz", np.ones((12, 12, 12), np.uint8), np.eye(4))
    (inside / "s1" / "result.json").write_text("{}")
    assert len(room()) == 1
    room.out = _made(room.root / "out")
    write_nifti(_made(room.out / "s2") / "flair.nii.gz", np.ones((12, 12, 12), np.uint8), np.eye(4))
    assert len(room()) == 1


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_only_what_is_new_or_changed_is_looked_at(
    room: Indexed, small_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    look_at = look_around.look_at

    def counted(paths, temporary, *, phi):  # type: ignore[no-untyped-def]
        looked.extend(paths)
        return look_at(paths, temporary, phi=phi)

    monkeypatch.setattr(look_around, "look_at", counted)
    files = add_patient(small_study, room.root / "a", 0)
    room()
    assert len(looked) == 27
    before = room.ledger.row(key_of(files[0]))
    looked.clear()
    room()
    assert looked == []
    os.utime(files[0], ns=(1, 1))
    add_patient(small_study, room.root / "b", 1)
    found = room()
    assert len(looked) == 28
    assert before and found[key_of(files[0])].fingerprint != before.entry.fingerprint
    shutil.rmtree(room.root / "b")
    assert set(room()) == {key_of(files[0])}, "what is gone is no longer queued"


def test_an_index_that_was_killed_goes_on(room: Indexed, small_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(4):
        add_patient(small_study, room.root / f"{n}", n)
    monkeypatch.setattr(look_around, "CHUNK_FILES", 20)
    look_at, calls = look_around.look_at, []

    def dies(paths, temporary, *, phi):  # type: ignore[no-untyped-def]
        calls.append(len(paths))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return look_at(paths, temporary, phi=phi)

    monkeypatch.setattr(look_around, "look_at", dies)
    with pytest.raises(KeyboardInterrupt):
        room()
    assert len(room()) == 4
    assert sum(calls) - calls[3] == 4 * 27, "sixty files were known"


def test_archives_weigh_by_their_size() -> None:
    files = [(f"{n}.dcm", 400_000, 1) for n in range(300)]
    archives = [(f"{n}.ZIP", 30_000_000, 1) for n in range(3)]
    nowhere = ("link.zip", -1, -1)
    chunks = look_around.chunks_of([*files, *archives, nowhere])
    assert [len(chunk) for chunk in chunks] == [200, 101, 1, 1, 1]
    assert [item for chunk in chunks for item in chunk] == [*files, *archives, nowhere]
    assert look_around.chunks_of([]) == []


def test_a_disk_too_small_for_an_archive_is_no_property_of_the_archive(
    room: Indexed, small_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it noted as one that cannot be unpacked, it would be refused for ever."""
    with zipfile.ZipFile(room.root / "a.zip", "w") as archive:
        for path in sorted(small_study.glob("*.dcm")):
            archive.write(path, path.name)
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(100, 100, 0))
        with pytest.raises(EnvironmentFailure, match="DISK_FULL"):
            room()
    (entry,) = room().values()
    assert series_of(entry) == [9, 9, 9]


def test_in_several_processes(room: Indexed, small_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        add_patient(small_study, room.root / f"{n}", n)
    here = room()
    monkeypatch.setattr(look_around, "FEW_FILES", 0)
    monkeypatch.setattr(look_around, "CHUNK_FILES", 10)
    room.ledger.forget_files(-1)
    room.stages.clear()
    assert room(processes=2) == here
    numbers = [stage.number for stage in room.stages]
    assert numbers[0] == 0 and numbers[-1] == 81 and numbers == sorted(numbers) and len(numbers) == 10
    room.stages.clear()
    assert room(processes=2) == here
    assert room.stages[-1].number == 81, "what is known counts as looked at"


def test_bids(room: Indexed) -> None:
    shape, affine = (12, 12, 12), np.diag([2.0, 2, 2, 1])
    (room.root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.8.0"}))
    for session in ("sub-01/ses-a", "sub-01/ses-b", "sub-02"):
        stem = session.replace("/", "_")
        for suffix in ("FLAIR", "T1w", "ce-gadolinium_T1w", "T2w"):
            write_nifti(_made(room.root / session / "anat") / f"{stem}_{suffix}.nii.gz", np.ones(shape), affine)
        write_nifti(_made(room.root / session / "dwi") / f"{stem}_dwi.nii.gz", np.ones(shape), affine)
    write_nifti(_made(room.root / "derivatives/x/sub-01/anat") / "sub-01_FLAIR.nii.gz", np.ones(shape), affine)
    write_nifti(room.root / "sub-02/anat/sub-02_run-2_FLAIR.nii.gz", np.ones(shape), affine)
    found = room()
    assert set(found) == {"sub-01_ses-a", "sub-01_ses-b", "sub-02"}
    inputs = {role: Path(path).name for role, path in found["sub-01_ses-a"].inputs.items()}
    assert inputs == {
        "flair": "sub-01_ses-a_FLAIR.nii.gz",
        "pre": "sub-01_ses-a_T1w.nii.gz",
        "post": "sub-01_ses-a_ce-gadolinium_T1w.nii.gz",
    }
    assert found["sub-01_ses-a"].derivative == "sub-01/ses-a/anat/sub-01_ses-a"
    assert not found["sub-02"].inputs and len(found["sub-02"].files) == 4, "two FLAIRs: segment decides, or refuses"


def worklist(folder: Path, *rows: dict[str, str], name: str = "list.csv") -> Path:
    path = folder / name
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_worklist(room: Indexed, small_study: Path) -> None:
    files = add_patient(small_study, room.root / "Hidden Person", 0)
    nifti = write_nifti_study(small_study, room.root / "n")
    uid = uid_of(files[0], "StudyInstanceUID")
    path = worklist(
        room.root,
        {"input": "Hidden Person", "study": uid},
        {"name": "second", "flair": "n/flair.nii.gz", "pre": str(nifti["pre"])},
        {"name": "third", "input": "Hidden Person", "flair": uid_of(files[0])},
        {"input": ""},
    )
    found = room(path)
    assert len(found) == 3 and {"second", "third"} < set(found)
    assert found["second"].inputs == {"flair": str(nifti["flair"]), "pre": str(nifti["pre"])}
    assert found["third"].inputs == {"flair": uid_of(files[0])}, "a UID stays a UID"
    hashed = next(iter(set(found) - {"second", "third"}))
    assert found[hashed].study == uid and len(hashed) == 16 and hashed.isalnum()
    assert series_of(found[hashed]) == [9, 9, 9]
    os.utime(files[0], ns=(1, 1))
    assert room(path)[hashed].fingerprint != found[hashed].fingerprint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input,colour\nx,red\n", "colour"),
        ("input\n", "expected rows, found none"),
        ("", "expected columns"),
        ("input,name\na,x\nb,X\n", "1 studies stand in several rows"),
        ("input,name\na,../x\n", "row 2: expected the name of a folder"),
        ("name,flair\nx,\n", "row 2 names neither"),
        ("input,name\na\n", "line 2 has not 2 columns"),
    ],
)
def test_worklists_that_are_refused(room: Indexed, text: str, message: str) -> None:
    path = room.root / "list.csv"
    path.write_text(text)
    with pytest.raises(InputRefused, match="WORKLIST_INVALID") as refusal:
        room(path)
    assert message in str(refusal.value)


def test_nothing_there(room: Indexed) -> None:
    (room.root / "notes.txt").write_text("nothing")
    with pytest.raises(InputRefused, match="EMPTY_INPUT"):
        room()


def test_a_folder_that_may_not_be_listed(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    """It may hold a study: it is an entry, refused, and the others are done."""
    root = tmp_path / "root"
    add_patient(small_study, root / "good", 0)
    _made(root / "closed").chmod(0)
    import subprocess
    import sys

    command = [sys.executable, "-m", "scanweave", "batch", str(root), "-o", str(tmp_path / "out"), "--json",
               "--bundle", str(small_bundle), "--workers", "1"]  # fmt: skip
    ran = subprocess.run(without_privilege(*command), capture_output=True, text=True, check=False)
    (root / "closed").chmod(0o755)
    assert ran.returncode == 4, ran.stderr
    record = json.loads(ran.stdout)
    assert (record["done"], record["refused"]) == (1, 1)
    listed = run("ledger", tmp_path / "out", "--failed")
    assert "_unlisted  refused  UNREADABLE" in listed.out and "closed" not in listed.out


def test_links_lead_to_studies(room: Indexed, small_study: Path, tmp_path: Path) -> None:
    files = add_patient(small_study, tmp_path / "elsewhere", 0)
    (room.root / "link").symlink_to(tmp_path / "elsewhere")
    found = room()
    assert set(found) == {key_of(files[0])}
    assert series_of(found[key_of(files[0])]) == [9, 9, 9]


def test_an_archive_is_a_root(room: Indexed, small_study: Path, tmp_path: Path) -> None:
    keys = []
    with zipfile.ZipFile(room.root / "export.zip", "w") as archive:
        for n in (1, 2):
            items = add_patient(small_study, tmp_path / f"many-{n}", n)
            keys.append(key_of(items[0]))
            for path in items:
                archive.write(path, f"{n}/{path.name}")
    assert set(room(room.root / "export.zip")) == set(keys)
