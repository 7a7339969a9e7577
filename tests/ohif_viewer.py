"""A real OHIF for the tests: its published build behind the nginx of integrations/ohif, in front of an Orthanc.

Only what depends on the machine is changed in that nginx's configuration: ports and folders.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import IN_CI, REPOSITORY
from external_tools import require_tool
from orthanc_server import LOOPBACK, POLL_S, READY_S, STOP_S, Orthanc, free_port
from report_pages import drawing_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

INTEGRATION = REPOSITORY / "integrations" / "ohif"
VIEWER = REPOSITORY / ".viewers" / "ohif"
SETTLED_MS = 120_000
"""Software draws slowly, on a busy machine more so."""
CLICKS = 4
SHOWN = "() => window.services.segmentationService.getSegmentations().length"
LABELMAP = """() => {
    const { segmentationService, viewportGridService } = window.services;
    const [segmentation] = segmentationService.getSegmentations();
    const slices = segmentation.representationData.Labelmap.imageIds.map(id => {
        const image = window.cornerstone.cache.getImage(id);
        const values = image.voxelManager.getScalarData(), marked = [];
        values.forEach((value, index) => { if (value) marked.push([index, value]); });
        const { SOPInstanceUID } = window.cornerstone.metaData.get('instance', image.referencedImageId);
        return [SOPInstanceUID, image.rows, image.columns, marked];
    });
    const viewport = viewportGridService.getActiveViewportId();
    return { slices, segments: Object.values(segmentation.segments).filter(Boolean),
             color: segmentationService.getSegmentColor(viewport, segmentation.segmentationId, 1) };
}"""


@dataclass
class Loaded:
    """What OHIF holds of a segmentation: its segments, the first one's colour (RGBA), and the labels of each slice.

    `slices` go by the SOPInstanceUID of the image that they are drawn on: arrays (row, column).
    """

    segments: list[dict[str, Any]]
    color: list[int]
    slices: dict[str, np.ndarray]


@dataclass
class Ohif:
    """A page of it, and whom it asked."""

    page: Page
    address: str
    asked: list[str] = field(default_factory=list)
    guided: bool = False

    def open(self, study: str) -> Ohif:
        """Show a study by its UID, and close what greets a new user."""
        self.page.goto(f"{self.address}/viewer?StudyInstanceUIDs={study}")
        if not self.guided:
            self.page.get_by_text("Skip all").click()
            self.page.get_by_text("Confirm and hide").click()
            self.guided = True
        return self

    def load(self, description: str) -> Loaded:
        """Open a segmentation as a user does: a double click on its series, then Yes."""
        from playwright.sync_api import TimeoutError as NotInTime

        yes = self.page.get_by_role("button", name="Yes")
        for _ in range(CLICKS):  # two clicks that come too far apart, on a busy machine, are no double click
            self.page.get_by_text(description).first.dblclick()
            with suppress(NotInTime):
                yes.click(timeout=SETTLED_MS / CLICKS)
                break
        yes.wait_for(state="detached")
        self.page.wait_for_function(SHOWN)
        found = self.page.evaluate(LABELMAP)
        slices = {}
        for uid, rows, columns, marked in found["slices"]:
            slices[uid] = np.zeros(rows * columns, np.uint8)
            for index, value in marked:
                slices[uid][index] = value
            slices[uid] = slices[uid].reshape(rows, columns)
        return Loaded(found["segments"], found["color"], slices)


@contextmanager
def ohif(orthanc: Orthanc, folder: Path) -> Iterator[Ohif]:
    """A window with OHIF before `orthanc`; skipped where something is not installed."""
    with _nginx(orthanc, folder) as address, drawing_chromium() as browser:
        login = {"username": orthanc.user, "password": orthanc.password}
        page = browser.new_page(viewport={"width": 1280, "height": 800}, http_credentials=login)
        page.set_default_timeout(SETTLED_MS)
        window = Ohif(page, address)
        page.on("request", lambda wanted: window.asked.append(wanted.url))
        yield window


@contextmanager
def _nginx(orthanc: Orthanc, folder: Path) -> Iterator[str]:
    """The shipped configuration, on another port and in `folder`; its address."""
    if not (VIEWER / "VERSION").exists():
        reason = "the OHIF viewer IS NOT HERE, so nothing was shown in it: run scripts/fetch-ohif"
        pytest.fail(reason) if IN_CI else pytest.skip(reason)
    program = require_tool("nginx")
    port = free_port()
    text = (INTEGRATION / "nginx.conf").read_text()
    changes = {
        "/tmp/": f"{folder}/",
        "listen 8080;": f"listen {LOOPBACK}:{port};",
        "http://orthanc:8042": orthanc.address,
        "/usr/share/ohif": str(VIEWER),
        "/etc/ohif/app-config.js": str(INTEGRATION / "app-config.js"),
    }
    for here, there in changes.items():
        assert here in text
        text = text.replace(here, there)
    if os.geteuid() == 0:
        text = f"user root;\n{text}"  # or its workers are somebody who may not see the folder
    (folder / "nginx.conf").write_text(text)
    command = [require_tool("setpriv"), "--pdeathsig", "KILL", program, "-c", str(folder / "nginx.conf")]
    log = folder / "nginx.log"
    with log.open("wb") as lines, subprocess.Popen(command, stdout=lines, stderr=lines) as process:
        try:
            _wait(f"http://{LOOPBACK}:{port}", process, log)
            yield f"http://{LOOPBACK}:{port}"
        finally:
            process.terminate()
            process.wait(STOP_S)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import requests

    end = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < end:
        try:
            requests.get(address, timeout=READY_S)
            return
        except requests.RequestException:
            time.sleep(POLL_S)
    pytest.fail(f"nginx did not start: {log.read_text(errors='replace')[-2000:]}")
