"""Finding and running the validators and readers of other people that tests compare against."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

TIMEOUT_S = 300
DEBIAN = "/usr/bin:/usr/sbin"
"""First: pynetdicom has programs with the names of DCMTK's (storescu), and other options."""


def require_tool(name: str) -> str:
    """The path of the program `name`: Debian's, from PATH, or from beside the Python that runs the tests.

    Where it is missing the test is skipped, and fails when the environment says CI=true: there everything
    that scripts/install-test-tools installs must be present.
    """
    path = shutil.which(name, path=DEBIAN) or shutil.which(name)
    path = path or shutil.which(name, path=str(Path(sys.executable).parent))
    if path:
        return path
    reason = f"{name} IS NOT INSTALLED, so nothing was compared with it: run scripts/install-test-tools"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def run_tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `name`, which is found by `require_tool`; its output is text, its exit status is not judged."""
    command = [require_tool(name), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def dicom_errors(path: Path) -> list[str]:
    """The lines of dciodvfy that start with Error: breaches of the standard in the DICOM file at `path`."""
    run = run_tool("dciodvfy", "-new", path)
    lines = (run.stdout + run.stderr).splitlines()
    if not any(line and not line.startswith(("Error", "Warning")) for line in lines):
        pytest.fail(f"dciodvfy did not say which IOD it checked: {lines}")
    return [line for line in lines if line.startswith("Error")]


CHROMIUM_OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip
"""A browser in a container, which asks nothing of the network by itself."""


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's Chromium without a window, as Playwright's `Browser`."""
    path = require_tool("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_OPTIONS))
        try:
            yield browser
        finally:
            browser.close()
