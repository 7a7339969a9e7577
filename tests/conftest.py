"""Shared fixtures: where the real data lie, a phantom study on disk, a site key that is not the user's."""

import os
from pathlib import Path

import pytest

IN_CI = bool(os.environ.get("CI"))
WITHOUT_DATA = os.environ.get("SCANWEAVE_DATA") == "none"
"""Said where the real scans cannot be, as in public CI: their tests are left out, which is no skip, and said so."""
REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of the GPU are left out, not skipped, where there is none: no CI machine could mend that."""
    left_out = [item for item in items if WITHOUT_DATA and "data_dir" in getattr(item, "fixturenames", ())]
    if for_gpu := [item for item in items if item.get_closest_marker("gpu")]:
        import torch

        left_out += [] if torch.cuda.is_available() else for_gpu
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what was not tested here."""
    if WITHOUT_DATA:
        terminalreporter.write_line("SCANWEAVE_DATA=none: tests of the real scans left out")
    from scanweave.pipeline.device import CPU, choose_device  # several processes test, of which none summarises

    if choose_device("auto") == CPU:
        terminalreporter.write_line("no CUDA device: GPU tests left out; docs/pending-gpu.md names the command")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skip is a failure: it would hide a missing tool or datum."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real scans; skipped aloud on a machine without them, a failure in CI."""
    folder = Path(os.environ.get("SCANWEAVE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        reason = "real scans not here: set SCANWEAVE_DATA to the folder that holds them"
        pytest.fail(reason) if IN_CI else pytest.skip(reason)
    return folder


@pytest.fixture(autouse=True)
def _own_site_key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are named by a keyed hash; tests neither read nor make the user's key."""
    monkeypatch.setenv("SCANWEAVE_SITE_KEY", "tests")


@pytest.fixture(scope="session")
def phantom_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole study as DICOM, made once; tests that change it work on a copy."""
    from scanweave.pipeline.phantom_dicom import write_phantom_study

    return write_phantom_study(tmp_path_factory.mktemp("phantom") / "study", seed=7)


@pytest.fixture(scope="session")
def segmented_phantom(phantom_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom's results by the command line, made once; tests only read them."""
    from scanweave.cli import main

    out = tmp_path_factory.mktemp("segmented")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCANWEAVE_SITE_KEY", "tests")
        outputs = "nifti,probability,dicom-seg"
        assert main(["segment", str(phantom_study), "-o", str(out), "--outputs", outputs]) == 0
    (folder,) = out.iterdir()
    return folder
