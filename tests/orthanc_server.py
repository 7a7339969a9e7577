"""A real PACS for the tests: Debian's Orthanc with its DICOMweb plug-in, on loopback, in a folder of its own.

Nobody else can use it: Orthanc 1.10 listens on every interface whatever it is told, so it takes HTTP from loopback
alone and with a password, and DICOM from one name at 127.0.0.1. It ends with the tests, however they end.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import IN_CI
from external_tools import require_tool

PLUGINS = [Path(folder, "libOrthancDicomWeb.so") for folder in ("/usr/share/orthanc/plugins", "/usr/lib/orthanc")]
PROGRAM_FOLDER = "/usr/sbin"
"""Where Debian puts it, which is not on everybody's PATH."""
LOOPBACK = "127.0.0.1"
ITS_NAME, OUR_NAME = "ORTHANC", "SCANWEAVE"
"""AE titles."""
ITS_FRIEND = "tests"
"""The one peer that it knows."""
READY_S, STOP_S, POLL_S = 120.0, 30.0, 0.1
TRIES = 3
"""A free port may be taken by somebody else before Orthanc has it."""


@dataclass(frozen=True)
class Orthanc:
    """A running server: where it listens, and with which password."""

    dicom_port: int
    http_port: int
    user: str
    password: str
    log: Path

    @property
    def address(self) -> str:
        """Of its own REST interface."""
        return f"http://{LOOPBACK}:{self.http_port}"

    def ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """The JSON that the REST interface answers; fails for any status but success."""
        import requests

        login = (self.user, self.password)
        answer = requests.request(method, self.address + path, auth=login, timeout=READY_S, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def instances(self) -> set[str]:
        """SOPInstanceUIDs of all that it holds."""
        found = self.ask("/instances?expand")
        return {instance["MainDicomTags"]["SOPInstanceUID"] for instance in found}

    def empty(self) -> None:
        """Forget everything."""
        for patient in self.ask("/patients"):
            self.ask(f"/patients/{patient}", "DELETE")

    def client(self) -> Any:
        """A DICOMweb client of somebody else (dicomweb-client)."""
        from dicomweb_client.api import DICOMwebClient
        from dicomweb_client.session_utils import create_session_from_user_pass

        session = create_session_from_user_pass(self.user, self.password)
        return DICOMwebClient(f"{self.address}/dicom-web", session=session)

    def upload(self, files: Iterable[Path]) -> None:
        """Have it keep files, faster than by C-STORE."""
        import requests

        with requests.Session() as session:
            session.auth = (self.user, self.password)
            for file in files:
                session.post(f"{self.address}/instances", data=file.read_bytes(), timeout=READY_S).raise_for_status()

    def store(self, *files: Path) -> subprocess.CompletedProcess[str]:
        """Send files by C-STORE with dcmtk's storescu, which proposes what they are (-R); its status is not judged."""
        command = [require_tool("storescu"), "-R", "-aet", OUR_NAME, "-aec", ITS_NAME, LOOPBACK, str(self.dicom_port)]
        command += [str(file) for file in files]
        return subprocess.run(command, capture_output=True, text=True, timeout=READY_S, check=False)


@contextmanager
def orthanc_server(folder: Path, **settings: Any) -> Iterator[Orthanc]:
    """A server that keeps everything in `folder` and stops when the block ends; skipped where it is not installed.

    `settings` go into its configuration.
    """
    program = shutil.which("Orthanc", path=PROGRAM_FOLDER) or require_tool("Orthanc")
    plugin = _plugin()
    for _ in range(TRIES):
        server = Orthanc(free_port(), free_port(), "tests", secrets.token_hex(16), folder / "orthanc.log")
        (folder / "orthanc.json").write_text(json.dumps(_configuration(server, folder, plugin) | settings))
        # The kernel ends it when the tests are killed.
        command = [require_tool("setpriv"), "--pdeathsig", "KILL", program, str(folder / "orthanc.json")]
        with server.log.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                if _ready(server, process):
                    yield server
                    return
            finally:
                process.terminate()
                try:
                    process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
    pytest.fail(f"Orthanc did not start: {server.log.read_text(errors='replace')[-2000:]}")


def _configuration(server: Orthanc, folder: Path, plugin: Path) -> dict[str, Any]:
    return {
        "Name": "scanweave tests",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(plugin)],
        "HttpPort": server.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {server.user: server.password},
        "WebDavEnabled": False,
        "DicomAet": ITS_NAME,
        "DicomPort": server.dicom_port,
        "DicomCheckCalledAet": True,
        "DicomCheckModalityHost": True,
        "DicomAlwaysAllowEcho": False,
        "DicomAlwaysAllowStore": False,
        "DicomModalities": {ITS_FRIEND: [OUR_NAME, LOOPBACK, 104]},
        "SyncStorageArea": False,
        "SaveJobs": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
    }


def _ready(server: Orthanc, process: subprocess.Popen[bytes]) -> bool:
    """Whether it answers; False where it has ended instead."""
    import requests

    end = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < end:
        try:
            return "dicom-web" in server.ask("/plugins")
        except requests.RequestException:
            time.sleep(POLL_S)
    return False


def _plugin() -> Path:
    for path in PLUGINS:
        if path.exists():
            return path
    reason = "orthanc-dicomweb IS NOT INSTALLED: run scripts/install-test-tools"
    pytest.fail(reason) if IN_CI else pytest.skip(reason)


def free_port() -> int:
    """A port of loopback that nobody has, until somebody takes it."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return int(free.getsockname()[1])
