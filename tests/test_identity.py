"""What results say of a patient: keyed hashes, no UID."""

import pytest

from scanweave.pipeline.identity import KEY_VARIABLE, pseudonym
from scanweave.pipeline.result import without_uids

UID = "1.2.826.0.1.3680043.8.498.26269410813686558956046182253949569533"


def test_pseudonyms_follow_from_uid_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    name = pseudonym(UID)
    assert len(name) == 16 and name == pseudonym(UID) != pseudonym(UID + "1")
    monkeypatch.setenv(KEY_VARIABLE, "another site")
    assert pseudonym(UID) != name
    assert pseudonym(UID, phi=True) == UID
    assert pseudonym("../../etc", phi=True) != "../../etc", "what is no UID never becomes a file name"


def test_key_is_made_once_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert pseudonym(UID) == pseudonym(UID)
    (key,) = (tmp_path / "scanweave").iterdir()
    assert key.stat().st_mode & 0o077 == 0 and len(key.read_bytes()) >= 32


def test_warnings_and_evidence_lose_their_uids() -> None:
    text = f"preferred to {UID} [echo 2] for its plane; TR 9000 TE 90.5 TI 2500 ms; 0.28.2"
    clean = without_uids(text, phi=False)
    assert UID not in clean and pseudonym(UID) in clean
    assert clean.endswith("[echo 2] for its plane; TR 9000 TE 90.5 TI 2500 ms; 0.28.2")
    assert without_uids(text, phi=True) == text
    assert "2.25." not in without_uids("is like 2.25.332306435552361569901985373388959636045 with it", phi=False)
