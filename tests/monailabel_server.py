"""MONAI Label's real server with scanweave's app, on loopback, in a folder of its own; and its client, as in Slicer."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import IN_CI, REPOSITORY

ENVIRONMENT = REPOSITORY / ".monailabel"
START = REPOSITORY / "integrations" / "monailabel" / "start"
MODEL = "flair_abnormality_segmentation"
LOOPBACK = "127.0.0.1"
READY_S, ANSWER_S, STOP_S, POLL_S = 600.0, 300.0, 60.0, 0.2

CLIENT = """
import json, sys
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException
server, folder, image, session, params = sys.argv[1:]
client = MONAILabelClient(server, folder)
try:
    made = client.create_session(session)["session_id"] if session else None
    models = client.info()["models"]
    file, said = client.infer("MODEL", image, json.loads(params), session_id=made)
    print(json.dumps({"models": models, "file": file, "said": said}))
except MONAILabelClientException as error:
    print(json.dumps({"error": error.msg}))
""".replace("MODEL", MODEL)
"""What Slicer's extension does when somebody presses the button: it has a copy of this client."""


def require_monailabel() -> None:
    """Skip where its environment was not made; in CI that is a failure."""
    if (ENVIRONMENT / "installed").exists():
        return
    reason = "MONAI Label IS NOT INSTALLED, so its app was not tried: run make monailabel"
    pytest.fail(reason) if IN_CI else pytest.skip(reason)


@dataclass(frozen=True)
class Server:
    """A running server, and the folder in which it keeps everything."""

    port: int
    run: Path
    log: Path

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def ask(self, path: str, method: str = "GET", **how: Any) -> Any:
        """A `requests.Response`, whatever its status."""
        import requests

        return requests.request(method, self.address + path, timeout=ANSWER_S, **how)

    def infer(self, output: str, params: dict[str, Any] | None = None, **query: str) -> Any:
        """As `ask`: what OHIF's extension posts, a form with `params`."""
        form = {"params": (None, json.dumps(params or {}))}
        return self.ask(f"/infer/{MODEL}", "POST", params={"output": output, **query}, files=form)

    def session(self, *files: Path, uncompress: bool = False) -> str:
        """The id of a new session with `files`."""
        parts = [("files", (file.name, file.read_bytes())) for file in files]
        made = self.ask("/session/", "PUT", params={"uncompress": str(uncompress).lower()}, files=parts)
        assert made.status_code == 200, made.text
        return str(made.json()["session_id"])

    def slicer(self, folder: Path, image: str = "", session: Path | str = "", **params: Any) -> dict[str, Any]:
        """What MONAI Label's own client gets; a result file lies in `folder`."""
        wanted = json.dumps({"result_extension": ".nrrd", **params})
        words = [CLIENT, self.address, str(folder), image, str(session), wanted]
        command = [str(ENVIRONMENT / "bin/python"), "-c", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=False)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer


def start_command(studies: Path | str, port: int, *options: str, scanweave: str = "") -> list[str]:
    """The words that start it, by the script that users start it with."""
    program = scanweave or str(Path(sys.executable).with_name("scanweave"))
    return [str(START), str(studies), "--port", str(port), "--conf", "scanweave", program, *options]


def environment(run: Path, **more: str) -> dict[str, str]:
    """Everything that it keeps in `run`, and nothing of the user's settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MONAI_LABEL_")}
    return {**own, "SCANWEAVE_SITE_KEY": "tests", "SCANWEAVE_MONAILABEL_RUN": str(run), **more}


@contextmanager
def monailabel_server(studies: Path | str, folder: Path, bundle: Path, **more: str) -> Iterator[Server]:
    """A server that is gone when the block ends; `more` is of its environment."""
    require_monailabel()
    server = Server(free_port(), folder / "run", folder / "server.log")
    command = start_command(studies, server.port, "--conf", "bundle", str(bundle))
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment(server.run, **more), start_new_session=True
        )
        try:
            _wait(server, process)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    import requests

    end = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < end:
        try:
            if server.ask("/info/").status_code == 200:
                return
        except requests.RequestException:
            time.sleep(POLL_S)
    pytest.fail(f"MONAI Label did not start: {server.log.read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return int(free.getsockname()[1])
