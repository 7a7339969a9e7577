"""A node in a process of its own on loopback, and what must hold of what it keeps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from batch_rooms import PATIENCE, wait_until
from external_tools import require_tool

LOOPBACK = "127.0.0.1"
TITLE, CALLER = "SCANWEAVE", "TESTS"
START_S = 60.0


class Node:
    """`scanweave node` over `folder`, started, killed and started again."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder, self.data = folder, folder / "node"
        self.data.mkdir(parents=True, exist_ok=True)
        self.config: dict[str, Any] = {
            "folder": str(self.data),
            "receive": {"port": 0, "callers": [CALLER, "ORTHANC"]},
            "taking": {"quiet_s": 3, "complete_quiet_s": 2},
            "disk": {"least_free_gb": 0.01},
            "delivery": {"first_wait_s": 0.2, "longest_wait_s": 1},
            "web": {"port": 0},
            **config,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.dicom_port = self.web_port = 0

    @property
    def log(self) -> Path:
        """All that it has said."""
        return self.folder / "node.log"

    def said(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def audit(self, event: str) -> list[dict[str, Any]]:
        """The entries of its trail on one kind of event."""
        lines = (self.data / "audit.jsonl").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["event"] == event]

    def start(self, **environment: str) -> None:
        """Start it and wait until it listens; the ports stay those of its first start."""
        path = self.folder / "node.yaml"
        path.write_text(yaml.safe_dump(self.config))
        before = self.log.read_text().count('"started"') if self.log.exists() else 0
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scanweave", "node", str(path)], stdout=stream, stderr=stream,
                env={"SCANWEAVE_SITE_KEY": "tests", **os.environ, **environment}, start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip
        wait_until(lambda: self.log.read_text().count('"started"') > before or self.process.poll() is not None, START_S)
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        started = [line for line in self.said() if line["event"] == "started"][-1]
        self.dicom_port, self.web_port = started["dicom_port"], started["web_port"]
        self.config["receive"]["port"], self.config["web"]["port"] = self.dicom_port, self.web_port

    def kill(self) -> None:
        """kill -9, of it alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60 * PATIENCE)

    def store(
        self, files: Sequence[Path], title: str = CALLER, options: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Send `files` by DCMTK's storescu; its status is not judged."""
        command = [
            require_tool("storescu"),
            "-R",
            *options,
            "-aet",
            title,
            "-aec",
            TITLE,
            LOOPBACK,
            str(self.dicom_port),
        ]
        return subprocess.run(
            [*command, *map(str, files)], capture_output=True, text=True, timeout=120 * PATIENCE, check=False
        )

    def ask(self, path: str, body: Any = None, **headers: str) -> Any:
        """What its web server answers: a `requests.Response`."""
        import requests

        address = f"http://{LOOPBACK}:{self.web_port}{path}"
        if body is None:
            return requests.get(address, headers=headers, timeout=30 * PATIENCE)
        return requests.post(address, json=body, headers={"X-Scanweave": "1", **headers}, timeout=30 * PATIENCE)

    def state(self) -> dict[str, Any]:
        """What the page shows."""
        state: dict[str, Any] = self.ask("/api/state").json()
        return state

    def settled(self, studies: int) -> bool:
        """Whether so many studies have come, and all of them have ended and were delivered or given up."""
        state = self.state()
        counts = state["counts"]
        waiting = counts["queued"] + counts["running"] + len(state["arriving"])
        sending = state["deliveries"]["queued"] + state["deliveries"]["asked"]
        return not waiting and not sending and sum(counts.values()) >= studies


@contextmanager
def node(folder: Path, **config: Any) -> Iterator[Node]:
    """A node that runs, and is gone when the block ends."""
    made = Node(folder, **config)
    made.start()
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            os.killpg(made.process.pid, signal.SIGKILL)
            made.process.wait()
