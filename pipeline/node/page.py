"""The node's page: what waits, what was done, what went wrong, with buttons. Its script asks for the state."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from scanweave import RESEARCH_NOTICE, __version__
from scanweave.pipeline.page_template import page_template

_HERE = Path(__file__).parent


def render_page() -> tuple[str, str]:
    """The page and its Content-Security-Policy."""
    return _rendered("node.html", "node.js")


def render_login() -> tuple[str, str]:
    """The page that asks for the word."""
    return _rendered("login.html", "login.js")


def _rendered(template: str, script: str) -> tuple[str, str]:
    text = (_HERE / script).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    body = page_template(_HERE / template).render(script=text, notice=RESEARCH_NOTICE, version=__version__)
    return body, policy
