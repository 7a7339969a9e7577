"""What is read is a magnitude image of one patient, or a refusal; what headers say of it, and memory allows."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from scanweave.errors import Code, InputRefused
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io import memory
from scanweave.transforms.io.dicom_facts import header_facts
from scanweave.transforms.io.dicom_instance import patient_facts
from scanweave.transforms.io.series import HeaderFacts, count_patients
from scanweave.transforms.load_study import magnitude
from scanweave.transforms.selection.series_words import words_of


def voxels() -> np.ndarray:
    return np.random.default_rng(0).uniform(10, 900, (20, 20, 20)).astype(np.float32)


def test_padding_and_ringing_become_background() -> None:
    padded = voxels()
    padded[:5] = -2000  # one value where nothing was imaged
    padded[6, 6, :3] = (-3, -2, -1)  # an interpolation's ringing
    read = magnitude(Volume(padded, np.eye(4)), "series").array
    assert read.min() == 0 and (read[:5] == 0).all() and np.array_equal(read[7:], padded[7:])
    assert padded.min() == -2000, "the input was changed"


@pytest.mark.parametrize("offset, code", [(-455, Code.NEGATIVE_VALUES), (-1024, Code.EMPTY_VOLUME)])
def test_no_magnitude_image_is_refused(offset: float, code: Code) -> None:
    with pytest.raises(InputRefused) as refusal:
        magnitude(Volume(voxels() + np.float32(offset), np.eye(4)), "series")
    assert refusal.value.code is code


def person(**facts: str) -> tuple[str, ...]:
    header = pydicom.Dataset()
    for key, value in facts.items():
        setattr(header, key, value)
    return patient_facts(header)


def test_patients_differ_by_what_both_headers_say() -> None:
    base = {"PatientID": "ANON", "PatientBirthDate": "19500101", "PatientSex": "F"}
    assert count_patients([person(**base), person(**base), person(), ()]) == 1
    assert count_patients([person(**base), person(**base, IssuerOfPatientID="A")]) == 1, "only one of them says"
    assert count_patients([person(**base), person(**{**base, "PatientBirthDate": "19600101"})]) == 2
    assert count_patients([person(**base), person(**{**base, "PatientID": "OTHER"})]) == 2
    assert count_patients([]) == count_patients([()]) == 0
    assert "ANON" not in "".join(person(**base))


# --- what limits say ------------------------------------------------------------------------------------------------


def test_files_in_the_cache_of_a_container_leave_their_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading one study fills the cache to the container's limit; the next one must not be refused for it."""
    monkeypatch.setattr(memory, "_CGROUP", str(tmp_path))
    (tmp_path / "memory.max").write_text(f"{1 << 20}\n")
    (tmp_path / "memory.current").write_text(f"{(1 << 20) - 5}\n")
    (tmp_path / "memory.stat").write_text("anon 100000\ninactive_file 700000\nactive_file 200000\nfile 948571\n")
    assert memory.available_memory() == 900005
    (tmp_path / "memory.stat").unlink()
    assert memory.available_memory() == 5


# --- facts of headers -----------------------------------------------------------------------------------------------


def facts(**values: object) -> HeaderFacts:
    header = Dataset()
    for keyword, value in values.items():
        setattr(header, keyword, value)
    return header_facts([header], None, None, 20)


def test_agent_is_told_by_its_code_where_the_text_is_empty() -> None:
    code = Dataset()
    code.CodeMeaning = "Gadobutrol"
    assert facts(ContrastBolusAgent="", ContrastBolusAgentSequence=[code]).contrast_agent == "Gadobutrol"
    assert facts(ContrastBolusAgent="Dotarem", ContrastBolusAgentSequence=[code]).contrast_agent == "Dotarem"
    assert facts(ContrastBolusAgent="", ContrastBolusAgentSequence=[]).contrast_agent == ""
    assert facts().contrast_agent is None


def test_time_of_acquisition_counts_before_that_of_the_series() -> None:
    series = {"SeriesDate": "20200121", "SeriesTime": "080000"}
    later = facts(AcquisitionDateTime="20200121083000.5+0100", **series).acquired_s
    earlier = facts(**series).acquired_s
    assert later is not None and earlier is not None and later - earlier == 1800.5
    assert facts(AcquisitionDate="20200121", AcquisitionTime="083000.5").acquired_s == later


def test_text_of_any_length_is_cut_into_words_at_once() -> None:
    """Each "trace" can be read in two ways, and both lead nowhere; whole, they are deeper than Python's stack."""
    assert words_of("trace" * 40 + "zz")
    assert words_of("t1" * 30000)[:2] == ("t1", "t1")
