"""MONAI's own export commands on our bundles, as its users type them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from answering_networks import answering

from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.encoders import EncoderUNet
from scanweave.networks.export import SAME, onnx_run
from scanweave.pipeline.bundle import INFERENCE_CONFIG, find_bundle


def test_monais_onnx_export_by_the_bundles_arguments(tmp_path: Path) -> None:
    """From within the bundle's folder, as its users type it; by itself it would fix one slice of 16x16."""
    root, target = find_bundle().root, tmp_path / "model.onnx"
    command = [sys.executable, "-m", "monai.bundle", "onnx_export", "--args_file", "configs/onnx_export.json"]
    subprocess.run([*command, "--filepath", str(target)], cwd=root, check=True, capture_output=True)
    answer = onnx_run(target.read_bytes())
    network = BNUNet().eval()
    network.load_state_dict(torch.load(root / "models" / "model.pt", weights_only=True))
    for count, rows, columns in ((1, 32, 48), (3, 64, 32)):
        slices = torch.nn.functional.interpolate(3 * torch.randn(count, 3, 6, 4), (rows, columns), mode="bilinear")
        with torch.inference_mode():
            expected = network(slices)
        np.testing.assert_allclose(answer(slices), expected, rtol=0, atol=SAME)


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
