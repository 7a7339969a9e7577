"""MONAI's own export of a bundle with an encoder; those of the shipped bundles are in test_bundle_exports."""

import json
import shutil
from pathlib import Path

import torch
from answering_networks import answering

from scanweave.networks.encoders import EncoderUNet
from scanweave.networks.export import SAME
from scanweave.pipeline.bundle import INFERENCE_CONFIG, find_bundle


def test_monais_ckpt_export_of_an_encoder(tmp_path: Path) -> None:
    """Nothing has to be said but where the file goes."""
    from monai.bundle import ckpt_export

    copy = tmp_path / "copy"
    shutil.copytree(find_bundle().root / "configs", copy / "configs")
    (copy / "models").mkdir()
    config = json.loads((copy / INFERENCE_CONFIG).read_text())
    config["network_def"] = {"_target_": "scanweave.networks.encoders.EncoderUNet", "encoder": "efficientnet-b0"}
    (copy / INFERENCE_CONFIG).write_text(json.dumps(config))
    network = answering(lambda: EncoderUNet("efficientnet-b0"))
    torch.save(network.state_dict(), copy / "models" / "model.pt")
    ckpt_export(config_file=str(copy / INFERENCE_CONFIG), bundle_root=str(copy))
    slices = torch.randn(3, 3, 32, 96)
    with torch.inference_mode():
        assert torch.allclose(torch.jit.load(copy / "models" / "model.ts")(slices), network(slices), atol=SAME)
