"""Python, scanweave and the libraries that its own distribution asks for: there, new enough, and to be imported."""

from __future__ import annotations

import importlib
import os
import platform
from importlib import metadata
from typing import TYPE_CHECKING

from scanweave import __version__
from scanweave.networks.choice import NO_TELEMETRY, OPENVINO, native_bf16
from scanweave.pipeline.doctor.check import Check, State, reason
from scanweave.pipeline.report.viewer import niivue

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "scanweave"


def check_software() -> list[Check]:
    """Python first, then scanweave, each requirement without an extra, and what the extras bring."""
    try:
        own = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        found = f"{__version__}, not installed: its requirements are unknown"
        return [_python(None), Check(DISTRIBUTION, State.MISSING, found, "pip install scanweave")]
    needed = next(iter(own.metadata.get_all("Requires-Python") or ()), None)
    checks = [_python(needed), Check(DISTRIBUTION, State.OK, __version__)]
    try:
        from packaging.requirements import Requirement
    except ImportError as error:
        return [*checks, Check("packaging", State.MISSING, reason(error), "pip install packaging")]
    requirements = [Requirement(text) for text in own.requires or ()]
    checks += [check_requirement(item) for item in requirements if _needed(item)]
    return [*checks, check_viewer(), check_openvino()]


def check_requirement(requirement: Requirement) -> Check:
    """One library: its version against the requirement, and whether Python can import it."""
    name, command = requirement.name, f'pip install --upgrade "{_plain(requirement)}"'
    try:
        distribution = metadata.distribution(name)
        version = distribution.version
    except metadata.PackageNotFoundError:
        return Check(name, State.MISSING, "not installed", command)
    if not requirement.specifier.contains(version, prereleases=True):
        return Check(name, State.MISSING, f"{version}, but {requirement.specifier} is needed", command)
    try:
        module = import_name(distribution)
        os.environ.setdefault(NO_TELEMETRY, "1")  # as `import_onnxruntime`: to look must tell nobody
        if module:
            importlib.import_module(module)
    except Exception as error:  # a library that is half there raises anything
        repair = f'pip install --force-reinstall "{_plain(requirement)}"'
        return Check(name, State.MISSING, f"{version} cannot be imported ({reason(error)})", repair)
    return Check(name, State.OK, version)


def check_viewer() -> Check:
    """Whether reports get a viewer, or pictures alone."""
    found = niivue.find_niivue()
    if found is None:
        remedy = f'pip install "{DISTRIBUTION}[viewer]"'
        return Check("report viewer", State.WARNING, "NiiVue not found: reports have pictures alone", remedy)
    return Check("report viewer", State.OK, f"NiiVue {found.version}")


def check_openvino() -> Check:
    """Whether there is what computes int8 in half the time, and bf16 where the CPU does."""
    name = "OpenVINO"
    try:
        version = metadata.version(OPENVINO)
    except metadata.PackageNotFoundError:
        found = "not installed: ONNX Runtime computes on the CPU"
        if not native_bf16():
            return Check(name, State.OK, found)
        return Check(name, State.WARNING, f"{found}, without bf16", f'pip install "{DISTRIBUTION}[{OPENVINO}]"')
    try:
        from scanweave.networks.openvino_network import import_openvino

        import_openvino()
    except Exception as error:  # numpy, which it needs, may be what is broken
        remedy = f'pip install --force-reinstall "{DISTRIBUTION}[{OPENVINO}]"'
        return Check(name, State.WARNING, f"{version} cannot be imported ({reason(error)})", remedy)
    return Check(name, State.OK, version)


def import_name(distribution: metadata.Distribution) -> str:
    """The module that a distribution is imported by, from its list of files; "" where that does not say."""
    names = set()
    for file in distribution.files or ():
        top = file.parts[0]
        if len(file.parts) == 2 and file.name == "__init__.py":
            names.add(top)
        elif len(file.parts) == 1 and file.suffix in (".py", ".so"):
            names.add(top.split(".")[0])
    public = sorted(name for name in names if name.isidentifier() and not name.startswith("_"))
    like = [name for name in public if _canonical(name) == _canonical(distribution.metadata["Name"])]
    return (like or public or [""])[0]


def _python(needed: str | None) -> Check:
    version = platform.python_version()
    try:
        from packaging.specifiers import SpecifierSet

        enough = not needed or SpecifierSet(needed).contains(version, prereleases=True)
    except ImportError:
        enough = True  # the installer has looked already
    if enough:
        return Check("Python", State.OK, version)
    return Check(
        "Python", State.MISSING, f"{version}, but {needed} is needed", "install scanweave under a newer Python"
    )


def _needed(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _plain(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def _canonical(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")
