"""What a hospital copies: configurations that are valid, and an Orthanc that forwards by the script."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from batch_rooms import add_patient, wait_until
from conftest import REPOSITORY
from external_tools import require_tool
from node_rooms import LOOPBACK, TITLE, node
from orthanc_server import ITS_NAME, orthanc_server

from scanweave.pipeline.node.config_file import read_config

pytest_plugins = ["study_fixtures"]
EXAMPLES = REPOSITORY / "integrations" / "orthanc"


@pytest.mark.parametrize("name", ["node.yaml", "compose/node.yaml"])
def test_configurations(name: str) -> None:
    config = read_config(EXAMPLES / name)
    (destination,) = config.destinations
    assert destination.ae_title in config.receive.callers  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["orthanc.json", "compose/orthanc.json"])
def test_orthancs_side_fits(name: str) -> None:
    orthanc = json.loads((EXAMPLES / name).read_text())
    config = read_config(EXAMPLES / name.replace("orthanc.json", "node.yaml"))
    title, _, port = orthanc["DicomModalities"]["scanweave"]
    assert (title, port) == (config.receive.ae_title, config.receive.port)
    assert orthanc["DicomAet"] == ITS_NAME


def test_compose_mounts_what_is_there() -> None:
    compose = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())
    volumes = [volume for service in compose["services"].values() for volume in service["volumes"]]
    sources = {volume.split(":")[0] for volume in volumes if volume.startswith("./")}
    assert all((REPOSITORY / source).exists() for source in sources - {"./token"})
    for service in compose["services"].values():
        targets = [Path(volume.split(":")[1]) for volume in service["volumes"]]
        assert not any(one in other.parents for one in targets for other in targets), "a mount in one that is read-only"


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "scanweave"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "scanweave-node.service"
    text = (REPOSITORY / "integrations" / "systemd" / unit.name).read_text()
    unit.write_text(text.replace("/opt/scanweave/bin/scanweave", str(program)))
    ran = subprocess.run([require_tool("systemd-analyze"), "verify", str(unit)], capture_output=True, text=True,
                         check=False)  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")


def test_orthanc_forwards_what_is_a_head(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    files = add_patient(small_study, tmp_path / "study", 1)
    (tmp_path / "orthanc").mkdir()
    script = str(EXAMPLES / "forward.lua")
    with orthanc_server(tmp_path / "orthanc", LuaScripts=[script], StableAge=2, DicomModalities={}) as orthanc:
        pacs = {"kind": "dicom", "name": "pacs", "ae_title": ITS_NAME, "host": LOOPBACK, "port": orthanc.dicom_port}
        config = {"segment": {"bundle": str(small_bundle), "workers": 1}, "destinations": [pacs]}
        with node(tmp_path, **config) as running:
            orthanc.ask("/modalities/scanweave", "PUT", [TITLE, LOOPBACK, running.dicom_port])
            assert orthanc.store(*files).returncode == 0
            wait_until(lambda: running.settled(1), 120)
            assert len(orthanc.instances()) == len(files) + 2
            wait_until(lambda: len(list(running.data.glob("incoming/*/*.dcm"))) == len(files) + 2, 60)
            assert running.settled(1) and running.state()["counts"]["done"] == 1, "sent again with its results"
