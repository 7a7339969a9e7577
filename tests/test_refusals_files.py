"""Where a study is read from: zips, DICOMDIRs, odd files and odd names, each good one beside its bad ones."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from pydicom.fileset import FileSet
from studies import SECRETS, Trial, console_script, edit, run, tree, without_privilege

from scanweave.transforms.io import zip_archive

pytest_plugins = ["study_fixtures"]

LONG = "x" * 300
HANG_S = 60


# --- folders --------------------------------------------------------------------------------------------------------


def test_empty_folder_is_refused_and_a_study_deep_inside_is_found(trial: Trial) -> None:
    empty = trial.root / "empty"
    (empty / "a" / "bä ß").mkdir(parents=True)
    (empty / "README.txt").write_text("no study")
    trial.refused_by_header("EMPTY_INPUT", empty)
    shutil.move(trial.study, empty / "a" / "bä ß" / "c")
    trial.done(empty)


@pytest.mark.parametrize("path", ["absent", LONG, f"absent/{LONG}", "study/flair_00.dcm/below", "a\0b", "circle"])
def test_path_that_is_not_there_is_refused(trial: Trial, path: str) -> None:
    (trial.root / "circle").symlink_to("circle")
    trial.refused_by_header("INPUT_NOT_FOUND", trial.root / path)
    trial.refused_by_header("INPUT_NOT_FOUND", "--flair", trial.root / path)
    trial.refused_by_header("INPUT_NOT_FOUND", trial.study, "--flair", trial.root / path)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """A block that waits for ever fails."""

    def give_up(*_: object) -> None:
        pytest.fail(f"still waiting after {seconds} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_pipes_and_sockets_are_not_opened(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a pipe waits for somebody to write to it."""
    monkeypatch.chdir(trial.study)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener, within(HANG_S):
        listener.bind("socket.dcm")
        os.mkfifo("pipe.dcm")
        os.mkfifo("DICOMDIR")
        os.mkfifo("pipe.nii.gz")
        Path("up").symlink_to("..")
        Path("self").symlink_to("self")
        trial.inspected(trial.study)
        for special in ("pipe.dcm", "socket.dcm", "DICOMDIR", "pipe.nii.gz"):
            trial.refused_by_header("UNREADABLE", trial.study / special)
            trial.refused_by_header("UNREADABLE", "--flair", trial.study / special)
    trial.refused_by_header("UNREADABLE", "/dev/zero")


def test_linked_series_are_found_and_circles_of_links_end(trial: Trial) -> None:
    """A series behind a link would otherwise be missing without a word, and the FLAIR stand in for it."""
    elsewhere = trial.root / "elsewhere" / "T1"
    elsewhere.mkdir(parents=True)
    for path in trial.slices("pre"):
        path.rename(elsewhere / path.name)
    before = trial.inspected(trial.study / "..")  # the parent holds both
    (trial.study / "linked T1").symlink_to(elsewhere)
    (trial.study / "twice").symlink_to(elsewhere.parent)
    (elsewhere / "back").symlink_to(trial.study)
    (elsewhere / "up").symlink_to("../..")
    (trial.study / "root").symlink_to("/")
    with within(HANG_S):
        found = trial.inspected(trial.study)
    assert found["roles"] == before["roles"] and found["roles"]["pre"]["series"]


def test_link_to_nothing_that_is_named_as_an_image_is_refused(trial: Trial) -> None:
    """As where the content of an annexed repository was not fetched."""
    (trial.study / ".#lock").symlink_to("nobody@nowhere")
    trial.inspected(trial.study)
    (trial.study / "lost.dcm").symlink_to("/nowhere/lost.dcm")
    trial.refused_by_header("UNREADABLE", trial.study)


def test_much_junk_is_passed_over(trial: Trial) -> None:
    for n in range(2000):
        (trial.study / f"junk{n}.tmp").write_bytes(bytes(200))
    with within(HANG_S):
        trial.inspected(trial.study)


ODD_NAMES = [
    "ünï cödé ß", "new\nline", "-o", "study #1", "a@::b", "@device", "%x",
    "$__import__('pathlib').Path('pwned').touch()", os.fsdecode(b"latin\xfc\x1b[31m"),
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_name_of_a_folder_is_only_a_name(trial: Trial, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths, as MONAI's configuration would take them for code, references or macros."""
    monkeypatch.chdir(trial.root)
    trial.study.rename(trial.root / name)
    argument, out = Path(name), Path(f"{name}.out")
    prefix = "./" if name.startswith("-") else ""
    ran = trial.segment(f"{prefix}{argument}", out=f"{prefix}{out}")
    assert ran.exit_code == 0 and all(line.startswith("scanweave: ") for line in ran.lines), ran.lines
    assert sorted(path.name for path in trial.root.iterdir()) == sorted([name, f"{name}.out", "tmp"])
    assert len(list((trial.root / out).glob("*/segmentation.dcm"))) == 1


def test_control_characters_of_names_do_not_reach_the_terminal(trial: Trial) -> None:
    (trial.study / "\x1b[2J\x07clear.dcm").write_bytes(b"")
    ran = trial.refused_by_header("TRUNCATED", trial.study)
    assert ran.lines[0].isprintable()


def test_what_may_not_be_read_is_refused_not_passed_over(trial: Trial) -> None:
    """A folder that cannot be listed may hold the T1 that would otherwise be substituted."""
    locked = trial.study / "locked"
    locked.mkdir()
    for path in trial.slices("pre"):
        path.rename(locked / path.name)
    file = next(locked.iterdir())
    for path, mode in ((locked, 0), (locked, stat.S_IRUSR), (file, 0)):
        before = path.stat().st_mode
        path.chmod(mode)
        command = without_privilege(*console_script("inspect", trial.study))
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        path.chmod(before)
        assert (ran.returncode, ran.stdout) == (3, "") or path == file, ran
        assert ran.stderr.startswith("error[UNREADABLE]: ") and ran.stderr.count("\n") == 1, ran.stderr
    trial.inspected(trial.study)


# --- zip ------------------------------------------------------------------------------------------------------------


def zipped(path: Path, members: dict[str, Path | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content if isinstance(content, bytes) else content.read_bytes())
    return path


def study_members(trial: Trial) -> dict[str, Path | bytes]:
    """The study as an export packs it: nested folders, and what others put among them."""
    members: dict[str, Path | bytes] = {f"DICOM/ST 1/{path.name}": path for path in sorted(trial.study.iterdir())}
    stray = {"autorun.inf": b"[autorun]", "__MACOSX/._flair_00.dcm": b"\0\5\x16\7", "viewer/read me.pdf": b"%PDF"}
    return {**members, **stray}


def test_zip_of_a_study_is_segmented(trial: Trial) -> None:
    archive = zipped(trial.root / "a study.zip", study_members(trial))
    trial.done(archive)


def test_zip_gives_what_its_folder_gives(trial: Trial) -> None:
    archive = zipped(trial.root / "study.zip", study_members(trial))
    assert trial.inspected(archive) == trial.inspected(trial.study)


def flagged(archive: bytes) -> bytes:
    """The first member says that it is encrypted."""
    changed = bytearray(archive)
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        changed[archive.index(mark) + offset] |= 1
    return bytes(changed)


def patched(archive: bytes, offset: int, new: bytes) -> bytes:
    """Other bytes in the directory's entry of every member."""
    changed = bytearray(archive)
    start = archive.index(b"PK\1\2")
    while start >= 0:
        changed[start + offset : start + offset + len(new)] = new
        start = archive.find(b"PK\1\2", start + 1)
    return bytes(changed)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda whole: b"", id="empty"),
        pytest.param(lambda whole: whole[:-30], id="end cut"),
        pytest.param(lambda whole: whole[: len(whole) // 2], id="half"),
        pytest.param(lambda whole: whole[2000:], id="beginning cut"),
        pytest.param(lambda whole: whole[:300] + b"\xff" * 60 + whole[360:], id="damaged"),
        pytest.param(lambda whole: patched(whole, 10, b"\x63\0"), id="unknown compression"),
        pytest.param(flagged, id="encrypted"),
    ],
)
def test_damaged_or_encrypted_zip_is_refused(trial: Trial, damage: Callable[[bytes], bytes]) -> None:
    archive = zipped(trial.root / "study.zip", study_members(trial))
    archive.write_bytes(damage(archive.read_bytes()))
    trial.refused_by_header("BAD_ARCHIVE", archive)


def test_zip_larger_than_any_study_or_than_the_disk_is_not_unpacked(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each member claims four gigabytes; some kilobytes can hold as many as it takes."""
    claim = 0xFFFFFFFE
    members = max(shutil.disk_usage(trial.root).free, zip_archive.MAX_UNPACKED_BYTES) // claim + 2
    archive = zipped(trial.root / "study.zip", {f"{n}.dcm": b"x" for n in range(members)})
    archive.write_bytes(patched(archive.read_bytes(), 24, claim.to_bytes(4, "little")))
    trial.refused_by_header("TOO_LARGE", archive)
    monkeypatch.setattr(zip_archive, "MAX_UNPACKED_BYTES", 1 << 60)
    trial.refused("DISK_FULL", archive, exit_code=5)


def test_zip_of_too_many_files_is_not_unpacked(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(trial.root / "study.zip", study_members(trial))
    monkeypatch.setattr(zip_archive, "MAX_MEMBERS", len(study_members(trial)) - 1)
    trial.refused_by_header("TOO_LARGE", archive)


def test_zip_within_a_zip_is_refused(trial: Trial) -> None:
    """It may hold the T1 that would otherwise be replaced. Beside the files of a folder it is one more stray file."""
    inner = zipped(trial.root / "T1.zip", {path.name: path for path in trial.slices("pre")})
    members = study_members(trial)
    trial.refused_by_header("BAD_ARCHIVE", zipped(trial.root / "study.zip", {**members, "more/T1.ZIP": inner}))
    trial.inspected(zipped(trial.root / "study.zip", {**members, "__MACOSX/._T1.zip": b"x"}))
    inner.rename(trial.study / "T1.zip")
    trial.inspected(trial.study)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_in_which_a_file_would_be_lost_is_refused(trial: Trial) -> None:
    """A lost slice at an end leaves no gap. The same file twice is none the less whole."""
    first, second, *_ = (path for path in trial.study.iterdir())
    archive = zipped(trial.root / "study.zip", study_members(trial))
    with zipfile.ZipFile(archive, "a") as again:
        again.write(first, f"DICOM/ST 1/{first.name}")
    trial.inspected(archive)
    for name in (f"DICOM/ST 1/{first.name}", f"/DICOM/./ST 1/{first.name}"):
        archive = zipped(trial.root / "study.zip", study_members(trial))
        with zipfile.ZipFile(archive, "a") as again:
            again.write(second, name)
        with zipfile.ZipFile(archive) as written:
            assert len(written.namelist()) == len(study_members(trial)) + 1
        trial.refused_by_header("BAD_ARCHIVE", archive)


def test_members_of_a_zip_stay_in_its_folder(trial: Trial) -> None:
    """Absolute names, drives and links are names like any other."""
    study = study_members(trial)
    odd = {"/etc/scanweave-escaped": b"x", "C:\\escaped.txt": b"x", "C:/escaped": b"x", "a//b": b"x", "./c": b"x"}
    archive = zipped(trial.root / "study.zip", {**study, **odd})
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(link, "/etc")
    trial.inspected(archive)
    assert not Path("/etc/scanweave-escaped").exists() and not list(trial.root.rglob("*escaped*"))


@pytest.mark.parametrize("name", ["../escaped.dcm", "a/../../escaped.dcm", "..\\escaped.dcm"])
def test_zip_cannot_write_outside_its_folder(trial: Trial, name: str) -> None:
    image = trial.slices("flair")[0]
    archive = zipped(trial.root / "study.zip", {**study_members(trial), name: image})
    trial.refused_by_header("BAD_ARCHIVE", archive)
    assert not list(trial.root.rglob("escaped*"))


def test_zip_whose_names_no_disk_holds_is_refused(trial: Trial) -> None:
    for extra in ({LONG: b"x"}, {"a": b"x", "a/b": b"y"}):
        archive = zipped(trial.root / "study.zip", {**study_members(trial), **extra})
        trial.refused_by_header("BAD_ARCHIVE", archive)


def test_zip_without_a_study_is_refused(trial: Trial) -> None:
    trial.refused_by_header("EMPTY_INPUT", zipped(trial.root / "none.zip", {}))
    trial.refused_by_header("EMPTY_INPUT", zipped(trial.root / "none.zip", {"a/b.txt": b"hello", "c": bytes(500)}))


# --- DICOMDIR -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pressed_disc(small_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DICOMDIR and the files that it refers to, as on a CD from a hospital."""
    folder = tmp_path_factory.mktemp("pressed") / "disc"
    files = FileSet()
    for path in sorted(small_study.iterdir()):
        files.add(path)
    files.write(folder)
    return folder


@pytest.fixture
def disc(trial: Trial, pressed_disc: Path) -> Path:
    """The DICOMDIR of a copy of the disc."""
    shutil.copytree(pressed_disc, trial.root / "disc")
    return trial.root / "disc" / "DICOMDIR"


def test_study_is_found_by_its_dicomdir(trial: Trial, disc: Path) -> None:
    (disc.parent / "NOTLISTED.dcm").write_bytes(b"garbage that the DICOMDIR does not name")
    trial.done(disc)


def test_dicomdir_in_capitals_finds_files_that_lost_theirs(trial: Trial, disc: Path) -> None:
    """A disc is in capitals; some systems copy its files in small letters."""
    folder = disc.parent
    for path in sorted(folder.rglob("*"), key=lambda path: -len(path.parts)):
        if path != disc:
            path.rename(path.with_name(path.name.lower()))
    assert (folder / "pt000000").is_dir()
    trial.inspected(disc)


def test_dicomdir_that_names_a_missing_file_is_refused(trial: Trial, disc: Path) -> None:
    lost = sorted(path for path in disc.parent.rglob("*") if path.is_file() and path != disc)[7]
    aside = lost.rename(trial.root / "aside")
    trial.refused_by_header("INPUT_NOT_FOUND", disc)
    aside.rename(lost)
    trial.inspected(disc)


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
@pytest.mark.parametrize("reference", [["..", "study", "flair_00.dcm"], ["/", "etc", "passwd"]])
def test_dicomdir_that_refers_outside_its_folder_is_refused(trial: Trial, disc: Path, reference: list[str]) -> None:
    dataset = pydicom.dcmread(disc)
    images = [record for record in dataset.DirectoryRecordSequence if "ReferencedFileID" in record]
    images[0].ReferencedFileID = reference
    dataset.save_as(disc)
    trial.refused_by_header("BAD_ARCHIVE", disc)


def test_dicomdir_in_circles_or_without_references_is_refused(trial: Trial, disc: Path) -> None:
    dataset = pydicom.dcmread(disc)
    images = [record for record in dataset.DirectoryRecordSequence if "ReferencedFileID" in record]
    (disc.parent / "CIRCLE").symlink_to("CIRCLE")
    images[0].ReferencedFileID = "CIRCLE"
    dataset.save_as(disc)
    trial.refused_by_header("BAD_ARCHIVE", disc)
    images[0].ReferencedFileID = ""
    dataset.save_as(disc)
    trial.refused_by_header("BAD_ARCHIVE", disc)


def test_damaged_dicomdir_is_refused(trial: Trial, disc: Path) -> None:
    whole = disc.read_bytes()
    last_name = whole.rindex(b"IM0000")
    for size in (0, 200, *range(500, last_name, 500), last_name):
        disc.write_bytes(whole[:size])
        seen = run("inspect", disc, "--bundle", trial.bundle)
        assert seen.exit_code == 3 and seen.codes[0] in ("BAD_ARCHIVE", "INPUT_NOT_FOUND"), f"cut to {size} bytes"
    disc.write_bytes(b"junk" * 100)
    trial.refused_by_header("BAD_ARCHIVE", disc)
    disc.write_bytes(whole)
    trial.inspected(disc)


# --- what the streams show, through the console script --------------------------------------------------------------


def test_console_script_says_one_line_of_a_refusal(trial: Trial) -> None:
    """Libraries warn of odd headers and quote them, names included: nothing of that reaches stderr."""
    odd = {"PatientBirthDate": "Hidden", "AccessionNumber": "ID-4711" * 20}
    with pytest.warns(UserWarning):
        edit(trial.slices("*"), **odd, SpecificCharacterSet="UNHEARD OF")
    trial.slices("flair")[4].unlink()
    ran = subprocess.run(console_script("inspect", trial.study), capture_output=True, text=True, check=False)
    assert ran.returncode == 3
    assert ran.stderr.startswith("error[MISSING_SLICE]: ") and ran.stderr.count("\n") == 1
    assert not any(secret in ran.stdout + ran.stderr for secret in SECRETS)


def test_console_script_prints_one_document_of_a_success(trial: Trial) -> None:
    with pytest.warns(UserWarning):
        edit(trial.slices("*"), PatientBirthDate="Hidden")
    command = console_script("segment", trial.study, "-o", trial.out, "--bundle", trial.bundle, "--json")
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["volume_ml"] > 0
    assert not any(secret in text for text in (ran.stdout, *tree(trial.out)) for secret in SECRETS)


def test_debug_shows_where_a_refusal_comes_from(trial: Trial) -> None:
    ran = run("inspect", trial.root / "absent", "--debug")
    assert ran.exit_code == 3 and ran.lines[0].startswith("Traceback")
    assert ran.lines[-1].startswith("error[INPUT_NOT_FOUND]: ")
