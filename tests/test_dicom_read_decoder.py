"""A decoder that crashes, hangs or swells ends one process and not this one, which does not believe what that says."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_forms import mr_slices, only_series, pixels_of, save, stored_as
from pydicom.uid import JPEG2000Lossless, RLELossless

from scanweave.errors import EnvironmentFailure, InputRefused, ScanweaveError
from scanweave.transforms.io import pixel_decoder, worker_process
from scanweave.transforms.io.dicom_pixels import read_pixels
from scanweave.transforms.io.pixel_decoder import CompressedFile, PixelDecoder

WITHIN_S = 60
"""Wall clock, on a machine that does other things too; the processor time is a second."""
PLUGIN = """
import os, signal, time
import numpy as np
from pydicom.pixels.decoders import RLELosslessDecoder
from pydicom.uid import RLELossless

DECODER_DEPENDENCIES = {RLELossless: ()}

def is_available(uid):
    return True

def decode(src, runner):
    what = os.environ["DECODER_DOES"]
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "leave":
        os._exit(3)
    if what == "swell":
        return bytes(1 << 40)
    if what == "swell slowly":
        kept = []
        while True:
            kept.append(np.ones(1 << 20))
    if what == "fall silent":
        time.sleep(1000)
    if what == "chatter":
        os.write(1, b"noise" * 1000)
        print("noise", flush=True)
        return bytes(2 * runner.rows * runner.columns)
    while what == "hang":
        pass

RLELosslessDecoder.add_plugin("evil", ("sitecustomize", "decode"))
RLELosslessDecoder.remove_plugin("pydicom")
"""
"""A decoder of pydicom's as ill-behaved ones are; Python imports the module `sitecustomize` as it starts."""


@pytest.fixture
def ill_behaved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """An RLE series, and a decoder for it that does as it is told."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path / "path")
    monkeypatch.setattr(pixel_decoder, "BASE_SECONDS", 1.0)

    def told(what: str) -> Path:
        monkeypatch.setenv("DECODER_DOES", what)
        return save(mr_slices()[:1], tmp_path / "series", lambda d, n: stored_as(d, RLELossless))

    return told


def refusal(folder: Path) -> ScanweaveError:
    with pytest.raises(ScanweaveError) as caught:
        read_pixels(only_series(folder))
    assert "1.2.2" in str(caught.value) or caught.value.exit_code == 5, "the file or series is named"
    return caught.value


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("crash", "TRUNCATED", "SIGSEGV"),
        ("swell", "DECODING_LIMIT", "MB of memory"),
        ("swell slowly", "DECODING_LIMIT", "MB of memory"),
        ("hang", "DECODING_LIMIT", "not decoded within"),  # of processor time, or by the clock if others have it
    ],
)
def test_ill_behaved_decoder_is_refused(ill_behaved: Callable[[str], Path], what: str, code: str, said: str) -> None:
    started = time.monotonic()
    refused = refusal(ill_behaved(what))
    assert refused.code == code and said in str(refused), refused
    assert isinstance(refused, InputRefused)
    assert time.monotonic() - started < WITHIN_S


def test_decoder_that_falls_silent_is_not_waited_for(
    ill_behaved: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It uses no processor time, so only the clock tells."""
    monkeypatch.setattr(pixel_decoder, "PATIENCE", 0.5)
    assert refusal(ill_behaved("fall silent")).code == "DECODING_LIMIT"


def test_process_whose_parent_was_killed_ends_itself(ill_behaved: Callable[[str], Path]) -> None:
    """Nobody is there to end it, and it waits without using processor time."""
    (path,) = ill_behaved("fall silent").iterdir()
    process = pixel_decoder._started()
    try:
        pixel_decoder._await_ready(process)
        process.ask({"path": str(path), "frames": 1, "seconds": 9, "patience": 1, "bytes": 1 << 30})
        with pytest.raises(EOFError):
            process.answer(time.monotonic() + WITHIN_S)
        assert process.status == -signal.SIGALRM
    finally:
        process.kill()


def test_process_that_leaves_is_the_environments_fault(ill_behaved: Callable[[str], Path]) -> None:
    refused = refusal(ill_behaved("leave"))
    assert refused.code == "ENVIRONMENT_INCOMPLETE" and isinstance(refused, EnvironmentFailure)


def test_what_a_decoder_prints_is_no_answer(ill_behaved: Callable[[str], Path]) -> None:
    _, (pixels,) = read_pixels(only_series(ill_behaved("chatter")))
    assert not pixels.any()


# --- one process for many files -------------------------------------------------------------------------------------


@pytest.fixture
def series(tmp_path: Path) -> list[CompressedFile]:
    folder = save(mr_slices(), tmp_path / "s", lambda d, n: stored_as(d, RLELossless))
    rows, columns = pixels_of(mr_slices()[0]).shape
    return [CompressedFile(path, 1, rows, columns, path.name) for path in sorted(folder.iterdir())]


def assert_decoded(pixels: list[np.ndarray]) -> None:
    assert all(np.array_equal(mine[0], pixels_of(item)) for mine, item in zip(pixels, mr_slices(), strict=True))


def test_one_process_serves_all_files_and_is_gone_afterwards(series: list[CompressedFile]) -> None:
    with PixelDecoder() as decoder:
        assert_decoded([decoder.decode(file) for file in series])
        process = decoder._process
        assert process is not None
        os.kill(process.pid, signal.SIGINT)  # Ctrl-C reaches every process of a terminal
        assert_decoded([decoder.decode(file) for file in series])
        assert decoder._process is process
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_pipe_that_may_not_grow_is_only_slower(series: list[CompressedFile], monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the thirty-third process of one user."""
    monkeypatch.setattr(worker_process, "_PIPE_BYTES", -2)
    with PixelDecoder() as decoder:
        assert_decoded([decoder.decode(file) for file in series])


def test_after_a_crash_the_next_file_has_a_process_again(series: list[CompressedFile]) -> None:
    with PixelDecoder() as decoder:
        decoder.decode(series[0])
        assert decoder._process is not None
        os.kill(decoder._process.pid, signal.SIGKILL)
        with pytest.raises(EnvironmentFailure) as killed:
            decoder.decode(series[1])
        assert killed.value.code == "OUT_OF_MEMORY"
        assert_decoded([decoder.decode(file) for file in series])


def test_pixels_that_were_not_taken_are_not_those_of_the_next_file(series: list[CompressedFile]) -> None:
    """Other sizes than the header says are refused before the pixels are taken."""
    with PixelDecoder() as decoder:
        decoder.decode(series[0])
        with pytest.raises(InputRefused) as refused:
            decoder.decode(replace(series[0], rows=series[0].rows + 1))
        assert refused.value.code == "TRUNCATED"
        assert_decoded([decoder.decode(file) for file in series])


def test_damaged_file_does_not_end_the_process(series: list[CompressedFile]) -> None:
    """A new one would cost half a second for every damaged file of a batch."""
    with PixelDecoder() as decoder:
        decoder.decode(series[0])
        process = decoder._process
        with pytest.raises(InputRefused):
            decoder.decode(replace(series[0], frames=2))
        assert_decoded([decoder.decode(file) for file in series])
        assert decoder._process is process


def test_uncompressed_series_needs_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    folder = save(mr_slices(), tmp_path / "s")
    read_pixels(only_series(folder))
    compressed = save(mr_slices(), tmp_path / "t", lambda d, n: stored_as(d, RLELossless))
    with pytest.raises(EnvironmentFailure) as refused:
        read_pixels(only_series(compressed))
    assert refused.value.code == "ENVIRONMENT_INCOMPLETE"


def test_modules_of_the_working_directory_stay_out(
    series: list[CompressedFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends a study could otherwise send code along with it."""
    (tmp_path / "here").mkdir()
    for name in ("json", "numpy", "pydicom", "dl"):
        (tmp_path / "here" / f"{name}.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "path", ["", ".", *sys.path])  # as MONAI leaves it after a bundle whose root is "."
    with PixelDecoder() as decoder:
        assert_decoded([decoder.decode(file) for file in series])


# --- damaged and hostile pixels -------------------------------------------------------------------------------------


def test_compressed_image_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    """The JPEG 2000 stream says 60,000 x 60,000 pixels (Xsiz, Ysiz of SIZ), the header 40 x 36."""

    def bloated(dataset, n):
        made = stored_as(dataset, JPEG2000Lossless)
        at = made.PixelData.index(b"\xff\x51") + 6
        made.PixelData = made.PixelData[:at] + (60000).to_bytes(4, "big") * 2 + made.PixelData[at + 8 :]
        return made

    folder = save(mr_slices(), tmp_path / "s", bloated)
    started = time.monotonic()
    with pytest.raises(InputRefused) as refused:
        read_pixels(only_series(folder))
    assert refused.value.code in ("TRUNCATED", "DECODING_LIMIT")
    assert time.monotonic() - started < WITHIN_S


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.70"])
def test_damaged_compressed_pixels_are_refused_or_read(syntax: str, tmp_path: Path) -> None:
    """Flipped bits may make another image, which no lossless form could tell; they never make a defect."""
    whole = stored_as(mr_slices()[0], syntax)
    noise = np.random.default_rng(3)
    outcomes = set()
    with PixelDecoder() as decoder:
        for n in range(12):
            damaged = bytearray(whole.PixelData)
            for at in noise.integers(16, len(damaged) - 8, 20):
                damaged[at] = noise.integers(0, 256)

            def change(dataset, _, content=bytes(damaged)):
                made = stored_as(dataset, syntax)
                made.PixelData = content
                return made

            folder = save(mr_slices()[:1], tmp_path / str(n), change)
            try:
                read_pixels(only_series(folder), decoder)
                outcomes.add("read")
            except InputRefused as refused:
                outcomes.add(refused.code.value)
    assert outcomes <= {"read", "TRUNCATED", "DECODING_LIMIT", "UNSUPPORTED_SYNTAX"}
