"""The `scanweave` command in a process, and an environment, of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.refusal import Refusal

DEFAULT_TIMEOUT_S = 1800.0
ANSWER_S = 120.0
"""A first start reads torch from a cold disk."""
LINE = re.compile(r"error\[([A-Z_]+)\]: ")
USAGE, REFUSED = 2, 3
"""Exit codes of the command; any other but 0 says something of this machine."""
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""What MONAI Label's environment would put before scanweave's own modules."""


@dataclass(frozen=True)
class Scanweave:
    """Which program, with which bundle, on which device, and for how long a study may take (s)."""

    program: str
    bundle: str = ""
    device: str = ""
    timeout_s: float = DEFAULT_TIMEOUT_S

    @classmethod
    def configured(cls, conf: dict[str, str]) -> Scanweave:
        """By `--conf scanweave PATH`, `bundle`, `device`, `timeout_s`.

        Raises
        ------
        ValueError
            The program is not there or does not answer, in words for whoever starts the server.
        """
        wanted = conf.get("scanweave") or "scanweave"
        program = shutil.which(wanted)
        if program is None:
            raise ValueError(f"no program {wanted}: install scanweave and say --conf scanweave /path/to/bin/scanweave")
        bundle = conf.get("bundle", "")
        if os.sep in bundle:
            bundle = str(Path(bundle).resolve())
        command = cls(program, bundle, conf.get("device", ""), float(conf.get("timeout_s", DEFAULT_TIMEOUT_S)))
        try:
            command.run("--version", timeout_s=ANSWER_S)
        except (OSError, Refusal) as error:
            reason = error.detail if isinstance(error, Refusal) else error.strerror
            raise ValueError(f"{program} is no scanweave that runs ({reason})") from None
        return command

    def segment(self, arguments: list[str], out: Path, outputs: str, components: str = "") -> Path:
        """The folder of the one result below `out`.

        Raises
        ------
        Refusal
            As `run`.
        """
        options = ["--outputs", outputs, *self._options(), *(["--device", self.device] if self.device else [])]
        options += ["--components", components] if components else []
        self.run("segment", "-o", str(out), "--json", *options, *arguments, timeout_s=self.timeout_s)
        (result,) = out.iterdir()
        return result

    def inspect(self, source: Path) -> dict[str, Any]:
        """Series and roles with their UIDs, without a pixel read."""
        shown = self.run("inspect", "--json", "--phi", *self._options(), str(source), timeout_s=self.timeout_s)
        found: dict[str, Any] = json.loads(shown)
        return found

    def run(self, *arguments: str, timeout_s: float) -> str:
        """What it prints.

        Raises
        ------
        Refusal
            It refused (422), was called in a way that it does not know (400), failed (500) or took too long (504).
        """
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        with subprocess.Popen(
            [self.program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace", env=environment, start_new_session=True,
        ) as process:  # fmt: skip
            try:
                out, err = process.communicate(timeout=timeout_s)
            except BaseException as interruption:
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(interruption, subprocess.TimeoutExpired):
                    raise Refusal(504, "TIMED_OUT", f"scanweave took longer than {timeout_s:.0f} s") from None
                raise
        if process.returncode:
            raise _refusal(process.returncode, err)
        return out

    def _options(self) -> list[str]:
        return ["--bundle", self.bundle] if self.bundle else []


def _refusal(exit_code: int, err: str) -> Refusal:
    lines = [line for line in err.splitlines() if LINE.match(line)]
    if not lines:
        return Refusal(500, "INTERNAL", f"scanweave ended with exit code {exit_code} and gave no reason")
    status = {USAGE: 400, REFUSED: 422}.get(exit_code, 500)
    codes = tuple(match[1] for match in map(LINE.match, lines) if match)
    return Refusal.of_lines(status, codes, lines)
