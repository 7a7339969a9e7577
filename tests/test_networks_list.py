"""`scanweave networks`: every network there is, and figures that are theirs."""

import io
import json
import re
import subprocess
import sys

import pytest
import torch
from conftest import REPOSITORY
from monai.bundle import ConfigParser
from studies import run

from scanweave.networks.catalogue import NETWORKS, Listed, figures, networks_record
from scanweave.networks.count import count
from scanweave.networks.encoder_names import ENCODERS
from scanweave.networks.export import Size

PAGE = REPOSITORY / "docs" / "networks.md"
CONTAINER = 0.02
"""By how much a file is larger than the tensors in it."""


def test_figures_are_of_the_networks_and_of_nothing_else() -> None:
    names = [listed.name for listed in NETWORKS]
    assert len(set(names)) == len(names) and set(figures()) == set(names)
    assert {"bn_unet", "unet_1505", *ENCODERS} <= set(names)


@pytest.mark.parametrize("listed", NETWORKS, ids=lambda listed: listed.name)
def test_figures_are_up_to_date(listed: Listed) -> None:
    """scripts/network-figures writes them."""
    assert figures()[listed.name] == count(listed)


def test_multiply_adds_of_a_layer_that_can_be_counted_by_hand() -> None:
    one = Listed("conv", "torch.nn.Conv2d", {"in_channels": 4, "out_channels": 8, "kernel_size": 3, "padding": 1}, "n")
    found = count(one)
    assert found.gmac == round(256 * 256 * 4 * 8 * 9 / 1e9, 3)
    assert (found.parameters, found.float16_bytes) == (8 * 4 * 9 + 8, 2 * (8 * 4 * 9 + 8))


@pytest.mark.parametrize("name", ["bn_unet", "efficientnet-b0"])
def test_file_size_is_that_of_a_file(name: str) -> None:
    (record,) = (one for one in networks_record() if one["name"] == name)
    network = ConfigParser({"network": record["network_def"]}).get_parsed_content("network")
    state = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    stream = io.BytesIO()
    torch.save(state, stream)
    assert record["float16_bytes"] < stream.tell() < record["float16_bytes"] * (1 + CONTAINER)
    assert record["parameters"] == sum(value.numel() for value in network.parameters())
    assert Size.parse(record["sizes"]).times(1) == (16 if name == "bn_unet" else 32)


def test_table_and_record() -> None:
    ran = run("networks", "--json")
    assert (ran.exit_code, ran.lines) == (0, ())
    record = json.loads(ran.out)["networks"]
    assert record == json.loads(json.dumps(networks_record()))
    assert _named(record, "bn_unet")["gmac"] == 12.071
    shown = run("networks").out.splitlines()
    assert [line.split()[0] for line in shown[1 : 1 + len(record)]] == [one["name"] for one in record]
    assert "12.07" in shown[1] and json.dumps(_named(record, "resnet34")["network_def"]) in shown[-1]
    assert [one["name"] for one in record if not one["imagenet"]] == ["bn_unet", "unet_1505", "resnet200"]


def _named(record: list[dict], name: str) -> dict:
    return next(one for one in record if one["name"] == name)


def test_the_page_has_the_figures() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| ([\d.]+) M \| ([\d.]+) \| ([\d.]+) \| (\d+)n \|", PAGE.read_text(), re.M)
    assert rows == [
        (one["name"], f"{one['parameters'] / 1e6:.2f}", f"{one['gmac']:.2f}", f"{one['float16_bytes'] / 1e6:.1f}",
         one["sizes"].removesuffix("*n"))
        for one in networks_record()
    ]  # fmt: skip


def test_listing_imports_no_framework() -> None:
    code = (
        "import sys, scanweave.cli; scanweave.cli.main(['networks', '--json']);"
        "sys.exit(' '.join({'torch', 'monai', 'numpy'} & set(sys.modules)) or None)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert (ran.returncode, ran.stderr) == (0, "")
