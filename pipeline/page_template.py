"""Pages of HTML from jinja templates: values are escaped, what is not given is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from scanweave.errors import printable

if TYPE_CHECKING:
    from jinja2 import Template

STYLE_FOLDER = Path(__file__).parent / "report"
"""Its style sheet is every page's: `{% include "report.css" %}`."""


@cache
def page_template(path: Path) -> Template:
    """Compiled once: that takes longer than to write a page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader([path.parent, STYLE_FOLDER])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["printable"] = lambda value: printable(str(value))
    return environment.get_template(path.name)
