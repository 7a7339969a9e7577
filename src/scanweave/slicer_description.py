"""What 3D Slicer must know of `scanweave slicer-cli` to draw its form (ctkCmdLineModule.xsd)."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from scanweave import RESEARCH_NOTICE, __version__
from scanweave.commands.arguments import COMPONENT_RULES, COMPONENTS_HELP, ROLE_ALIASES
from scanweave.networks.choice import PRECISIONS

_LABELS = {"pre": "T1 before contrast", "flair": "FLAIR", "post": "T1 after contrast"}
_OPTIONAL = "optional: without it the FLAIR stands in, with a warning"
_FILES = {"fileExtensions": ".nii.gz,.nii"}
RETURNED = 1000
"""The index of what a module says in its return parameter file."""


def slicer_description() -> str:
    """The XML document."""
    root = Element("executable")
    for name, text in {
        "category": "Segmentation",
        "title": "Scanweave (command line)",
        "description": "FLAIR abnormality in a brain MR study: the series are registered to the FLAIR, and segmented. "
        f"{RESEARCH_NOTICE}.",
        "version": __version__,
        "license": "MIT",
        "contributor": "the scanweave founders",
    }.items():
        SubElement(root, name).text = text
    images = _group(root, "Series", "In any geometry: they are registered")
    for role in ROLE_ALIASES:
        words = "whose grid the result has" if role == "flair" else _OPTIONAL
        _parameter(
            images, "image", role, _LABELS[role], words, channel="input", attributes={"type": "scalar", **_FILES}
        )
    _parameter(images, "image", "segmentation", "Segmentation", "on the FLAIR's grid: 1 is segmented",
               channel="output", attributes={"type": "label", **_FILES})  # fmt: skip
    settings = _group(root, "Settings", "As of scanweave segment", advanced="true")
    _parameter(settings, "string", "device", "Device", "auto, cpu or cuda:N", default="auto")
    _choice(settings, "precision", "Precision", "of the network", PRECISIONS, "auto")
    _choice(settings, "components", "Connected parts", COMPONENTS_HELP, COMPONENT_RULES, COMPONENT_RULES[0])
    said = _group(root, "Result", "What the run says")
    _returned(said, "double", "volume_ml", "Volume", "of the segmentation, millilitres")
    _returned(said, "string", "warnings", "Warnings", "to be read before the result is used")
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode")


def _group(root: Element, label: str, description: str, **attributes: str) -> Element:
    group = SubElement(root, "parameters", attributes)
    SubElement(group, "label").text = label
    SubElement(group, "description").text = description
    return group


def _parameter(
    group: Element,
    kind: str,
    name: str,
    label: str,
    description: str,
    *,
    default: str | None = None,
    channel: str | None = None,
    attributes: dict[str, str] | None = None,
    index: int | None = None,
) -> Element:
    """In the order that the schema wants."""
    made = SubElement(group, kind, attributes or {})
    place = ("longflag", f"--{name}") if index is None else ("index", str(index))
    texts = {"name": name, place[0]: place[1], "description": description, "label": label, "default": default,
             "channel": channel}  # fmt: skip
    for tag, text in texts.items():
        if text is not None:
            SubElement(made, tag).text = text
    return made


def _choice(group: Element, name: str, label: str, description: str, values: tuple[str, ...], default: str) -> None:
    made = _parameter(group, "string-enumeration", name, label, description, default=default)
    for value in values:
        SubElement(made, "element").text = value


def _returned(group: Element, kind: str, name: str, label: str, description: str) -> None:
    _parameter(group, kind, name, label, description, channel="output", index=RETURNED)
