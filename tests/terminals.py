"""A real pseudo-terminal for a program under test, and what its screen would show."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

DEADLINE_S = 600
"""Ample: loading the libraries alone takes a busy machine half a minute."""
WIDTH = 100
_ATTACH = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Ctrl-C typed at this terminal becomes SIGINT, which is heeded even if the tests are a script's job in background."""
_TOKEN = re.compile(r"\x1b\[(?P<arguments>[?\d;]*)(?P<letter>[A-Za-z])|(?P<control>[\r\n])|(?P<text>[^\x1b\r\n]+)")


@dataclass(frozen=True)
class Shown:
    """A program's exit code, the bytes that it sent to the terminal as text, and its stdout where that was a pipe."""

    exit_code: int
    sent: str
    piped: str = ""

    @property
    def screen(self) -> list[str]:
        """The lines that a terminal shows in the end, without trailing blanks."""
        return screen(self.sent)

    @property
    def cursor_visible(self) -> bool:
        """Whether the cursor is shown again in the end."""
        return self.sent.rfind("\x1b[?25h") >= self.sent.rfind("\x1b[?25l")


def on_terminal(
    command: list[str],
    *,
    on_output: Callable[[subprocess.Popen[bytes], int, str], None] = lambda process, terminal, sent: None,
    stdout_piped: bool = False,
    **environment: str,
) -> Shown:
    """Run `command` on a terminal of its own; `on_output` hears all that was sent so far, each time more comes."""
    terminal, line = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "CI")}
    variables |= {"TERM": "xterm-256color", "COLUMNS": str(WIDTH), **environment}
    stdout = subprocess.PIPE if stdout_piped else line
    attach = [sys.executable, "-c", _ATTACH]
    process = subprocess.Popen(
        [*attach, *command], stdin=line, stdout=stdout, stderr=line, env=variables, start_new_session=True
    )
    os.close(line)
    killer = threading.Timer(DEADLINE_S, process.kill)
    killer.start()
    sent = b""
    while True:
        try:
            more = os.read(terminal, 1 << 16)
        except OSError:  # Linux says EIO where the last one hangs up
            more = b""
        if not more:
            break
        sent += more
        on_output(process, terminal, sent.decode(errors="replace"))
    piped = process.stdout.read().decode() if process.stdout else ""
    exit_code = process.wait(timeout=DEADLINE_S)
    killer.cancel()
    os.close(terminal)
    return Shown(exit_code, sent.decode(), piped)


def screen(sent: str) -> list[str]:
    """Lines of a terminal after the text, line feeds, returns, cursor-up (A) and erase-line (2K) in `sent`."""
    lines, row, column = [""], 0, 0
    for token in _TOKEN.finditer(sent):
        if text := token["text"]:
            lines[row] = lines[row].ljust(column)[:column] + text + lines[row][column + len(text) :]
            column += len(text)
        elif token["control"] == "\r":
            column = 0
        elif token["control"] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif token["letter"] == "A":
            row = max(0, row - int(token["arguments"] or 1))
        elif token["letter"] == "K":
            lines[row] = ""
    shown = [text.rstrip() for text in lines]
    while shown and not shown[-1]:
        shown.pop()
    return shown
