"""The wheel holds what the checkout holds, under one name."""

import ast
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

import pytest
from conftest import REPOSITORY

MAPPED = {"src/scanweave": "scanweave", "pipeline": "scanweave/pipeline", "transforms": "scanweave/transforms",
          "networks": "scanweave/networks", "bundles": "scanweave/bundles"}  # fmt: skip

OPTIONAL = {"packaging", "distributed"}
"""Imported where the doctor looks whether it is there, and by the executor that needs it."""


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    target = tmp_path_factory.mktemp("wheel")
    shutil.rmtree(REPOSITORY / "build", ignore_errors=True)  # setuptools would ship what an older build left there
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(target), str(REPOSITORY)]
    subprocess.run(command, check=True)
    (wheel,) = target.glob("scanweave-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def tracked(folder: str) -> list[Path]:
    """The files that git knows below a folder (with the ones about to be added)."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder]
    listed = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    return [Path(line) for line in listed.splitlines() if (REPOSITORY / line).exists()]


@pytest.mark.parametrize("folder", MAPPED)
def test_wheel_holds_every_file(wheel_names: set[str], folder: str) -> None:
    expected = {f"{MAPPED[folder]}/{path.relative_to(folder).as_posix()}" for path in tracked(folder)}
    assert len(expected) > 1
    assert expected <= wheel_names, sorted(expected - wheel_names)
    others = tuple(f"{place}/" for other, place in MAPPED.items() if other != folder and folder == "src/scanweave")
    shipped = {name for name in wheel_names if name.startswith(f"{MAPPED[folder]}/") and not name.startswith(others)}
    assert shipped == expected, sorted(shipped - expected)


def test_wheel_has_one_top_level_name(wheel_names: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"scanweave"}


def test_import_leaves_no_generic_name_behind() -> None:
    code = "import sys, scanweave.pipeline, scanweave.transforms, scanweave.networks, scanweave.bundles; " \
           "print([n for n in ('pipeline', 'transforms', 'networks', 'bundles') if n in sys.modules])"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "[]"


def test_network_file_imports_only_torch() -> None:
    code = (
        "import importlib.util, sys; before = set(sys.modules); import torch; after = set(sys.modules);"
        f"spec = importlib.util.spec_from_file_location('bn_unet', {str(REPOSITORY / 'networks/bn_unet.py')!r});"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module);"
        "extra = {n.split('.')[0] for n in set(sys.modules) - after} - {'bn_unet'} - set(sys.stdlib_module_names);"
        "print(sorted(extra))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["scanweave.cli", "scanweave.pipeline.study", "scanweave.transforms.io.find_study"])
def test_light_modules_do_not_import_torch(module: str) -> None:
    """`--help` and `inspect` start at once: nothing on their way imports the frameworks."""
    code = f"import sys, {module}; print([n for n in ('torch', 'monai', 'SimpleITK', 'itk') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "[]"


def test_everything_that_is_imported_is_required() -> None:
    """An installed scanweave has nothing of the tests' extra."""
    setup = ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    required = _names(setup["options"]["install_requires"])
    of_node = required | _names(setup["options.extras_require"]["node"])
    files = [file for folder in MAPPED for file in tracked(folder) if file.suffix == ".py"]
    node = [file for file in files if file.is_relative_to("pipeline/node")]
    assert {"torch", "yaml"} <= _outside(sorted({*files} - {*node}), required)
    assert {"pynetdicom", "starlette"} <= _outside(node, of_node)


def _names(requirements: str) -> set[str]:
    return {line.split(">=")[0].lower() for line in requirements.split()}


def _outside(files: list[Path], required: set[str]) -> set[str]:
    """Modules of others that `files` import, each of a package in `required`."""
    names: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse((REPOSITORY / path).read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(str(node.module).split(".")[0])
    origin = metadata.packages_distributions()
    outside = names - set(sys.stdlib_module_names) - {"scanweave"} - OPTIONAL
    assert not {name for name in outside if not {item.lower() for item in origin.get(name, ())} & required}
    return outside


def test_every_requirement_is_pinned() -> None:
    """Installing by constraints.txt leaves nothing to chance: each package of this environment is named there."""
    pins = {}
    for line in (REPOSITORY / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[_canonical(name)] = version
    freeze = [sys.executable, "-m", "pip", "list", "--format=freeze"]
    listed = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout.split()
    own = {"scanweave", "pip", "setuptools", "wheel"}
    installed = {_canonical(n): v.split("+")[0] for n, _, v in (row.partition("==") for row in listed)}
    required = {name for name in _requirements() if name not in own}
    assert required <= set(pins), sorted(required - set(pins))
    wrong = {n: installed[n] for n in required & set(installed) if installed[n] != pins[n]}
    assert not wrong


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _requirements() -> set[str]:
    """Everything that installing scanweave with its test extra brings, by the installed metadata."""
    from importlib.metadata import PackageNotFoundError, distribution

    from packaging.requirements import Requirement

    found: set[str] = set()
    waiting = [("scanweave", "test")]
    while waiting:
        name, extra = waiting.pop()
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        for text in requires:
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            if _canonical(requirement.name) not in found:
                found.add(_canonical(requirement.name))
                waiting.append((requirement.name, ""))
    return found
