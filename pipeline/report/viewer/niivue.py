"""NiiVue's own build, out of the wheel that carries it: https://pypi.org/project/ipyniivue.

Of the wheel one file is read and none is imported. Its widget can save a page that stands alone, and for that it
carries NiiVue's ES module whole, as a percent-encoded string. That is the module wanted here; docs/decisions/0010
tells why it is taken from there.
"""

from __future__ import annotations

import binascii
import functools
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "ipyniivue"
BUNDLE, LICENCE = "ipyniivue/static/widget.js", "licenses/LICENSE"
WANTED = ("Niivue", "NVImage", "SLICE_TYPE")
"""What the viewer uses of the module."""
GLOBAL = "niivue"
"""The property of `globalThis` under which it finds them."""
_EXPORTS = re.compile(r"export\s*\{([^{}]*)\};?\s*$")
_EXPORT = re.compile(r"^([\w$]+)(?:\s+as\s+([\w$]+))?$")
_VERSION = re.compile(r'name:"@niivue/niivue",version:"([\w.+-]+)"')
_ENDS_A_SCRIPT = re.compile(r"</script|<!--", re.IGNORECASE)


@dataclass(frozen=True)
class NiiVue:
    """`script` puts what is `WANTED` under `GLOBAL`; `licence` is the text that has to go with it."""

    script: str
    version: str
    licence: str


@functools.lru_cache(maxsize=1)
def find_niivue() -> NiiVue | None:
    """NiiVue, or None where the wheel is not installed or is not built as it was."""
    try:
        wheel = metadata.distribution(DISTRIBUTION)
        text = Path(str(wheel.locate_file(BUNDLE))).read_text(encoding="utf-8")
        licence = wheel.read_text(LICENCE)
    except (metadata.PackageNotFoundError, OSError, UnicodeDecodeError):
        return None
    script = standalone_script(text)
    if script is None or licence is None:
        return None
    version = _VERSION.search(script)
    return NiiVue(script, version[1] if version else "", licence)


def standalone_script(bundle: str) -> str | None:
    """The module in the text of the widget, its exports turned into a global; None where it is not found there."""
    marker = bundle.find("export%7B")
    start, end = bundle.rfind('"', 0, marker) + 1, bundle.find('"', marker)
    if marker < 0 or end < 0:
        return None
    module = _unescaped(bundle[start:end])
    exports = _EXPORTS.search(module)
    if exports is None:
        return None
    found = (_EXPORT.match(item.strip()) for item in exports[1].split(","))
    names = {match[2] or match[1]: match[1] for match in found if match}
    if not names.keys() >= set(WANTED):
        return None
    pairs = ",".join(f"{name}:{names[name]}" for name in WANTED)
    script = f"{module[: exports.start()]}globalThis.{GLOBAL}={{{pairs}}};\n"
    return None if _ENDS_A_SCRIPT.search(script) else script


def _unescaped(text: str) -> str:
    """Percent-encoded text as it was, by way of quoted-printable: that decoder takes a tenth of urllib's time."""
    return binascii.a2b_qp(text.replace("=", "=3D").replace("%", "=").encode()).decode("utf-8", "replace")
