"""The image does what the README says of it, without an engine; scripts/test-dockerfile runs this file.

Not among the tests that `make test` finds: it needs root, the network (Debian, PyPI) and some three minutes.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import IN_CI, REPOSITORY
from dockerfile import parse
from external_tools import require_tool
from scratch_image import Builder, Image

OWN, STRANGER = 10001, 12345
"""The image's user, and one that `docker run --user` brings and no file of the image knows."""
KEY = {"SCANWEAVE_SITE_KEY": "tests"}


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    require_tool("debootstrap")
    namespaces = ["unshare", "--mount", "--net", "true"]
    if os.geteuid() != 0 or subprocess.run(namespaces, check=False, capture_output=True).returncode:
        reason = "a root that may make namespaces is needed: the Dockerfile was NOT built"
        pytest.fail(reason) if IN_CI else pytest.skip(reason)
    work = Path(tempfile.mkdtemp(prefix="scanweave-image-"))  # gigabytes: pytest would keep three of them
    try:
        builder = Builder(REPOSITORY, work, {"TORCH_INDEX": ""})
        yield builder.build(parse((REPOSITORY / "Dockerfile").read_text()))
    finally:
        shutil.rmtree(work)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return owned(tmp_path_factory.mktemp("image") / "out", OWN)


def owned(folder: Path, uid: int) -> Path:
    folder.mkdir()
    os.chown(folder, uid, uid)
    return folder


def shell(image: Image, line: str) -> str:
    done = image.run("-c", line, entry_point=["/bin/sh"])
    assert done.returncode == 0, done
    return done.stdout


def test_the_entry_point_is_the_command(image: Image) -> None:
    version = image.run("--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert version.stdout.startswith("scanweave ")
    assert "usage: scanweave" in image.run().stdout, "CMD shows the help"


def test_it_is_nobody_and_can_change_nothing(image: Image) -> None:
    assert shell(image, "id --user; id --group").split() == [str(OWN)] * 2
    writable = "find / -xdev -path /proc -prune -o -writable ! -type l ! -type c -print"
    assert set(shell(image, f"{writable} 2>/dev/null || true").split()) <= {"/tmp", "/dev/shm"}
    assert [row.split(":")[0].strip() for row in shell(image, "tail -n +3 /proc/net/dev").splitlines()] == ["lo"]


def test_nothing_of_the_build_is_left(image: Image) -> None:
    root = image.root
    assert not list((root / "var/lib/apt/lists").iterdir())
    assert not (root / "source").exists() and not (root / "wheels").exists() and not (root / "opt/pip").exists()
    packages = {path.name.lower() for path in root.glob("opt/scanweave/lib/python3*/site-packages/*")}
    assert "scanweave" in packages and not packages & {"pip", "pytest", "itk", "pipeline"}
    assert not list(root.glob("root/.[!bp]*")), "no cache in the home of root"


def test_doctor_finds_nothing_wrong(image: Image) -> None:
    done = image.run("doctor", environment=KEY)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_a_key_names_would_change_with_every_container(image: Image, out: Path) -> None:
    done = image.run("demo", "-o", "/out/keyless", mounts={"/out": out})
    assert done.returncode == 5
    assert "error[OUTPUT_UNWRITABLE]" in done.stderr and "SCANWEAVE_SITE_KEY" in done.stderr


def test_a_phantom_is_segmented_by_whoever_runs_it(image: Image, out: Path, tmp_path: Path) -> None:
    """Read-only, without network: as the image's user, then as somebody else, with the same voxels."""
    demo = image.run("demo", "-o", "/out/demo", "--json", environment=KEY, mounts={"/out": out})
    assert demo.returncode == 0, demo.stderr
    assert json.loads(demo.stdout)
    (expected,) = (path.parent for path in out.glob("demo/**/segmentation.dcm"))
    theirs = owned(tmp_path / "theirs", STRANGER)
    study = out / "demo" / "phantom"
    command = ["segment", f"/data/{study.relative_to(out)}", "-o", "/out"]
    done = image.run(*command, user=str(STRANGER), environment=KEY, mounts={"/data": out, "/out": theirs})
    assert done.returncode == 0, done.stderr
    (folder,) = theirs.iterdir()
    assert folder.name == expected.name
    assert (folder / "segmentation.nii.gz").read_bytes() == (expected / "segmentation.nii.gz").read_bytes()
    assert {path.stat().st_uid for path in folder.rglob("*")} == {STRANGER}
