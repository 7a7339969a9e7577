"""A configuration built without MONAI is what MONAI builds of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from scanweave.pipeline.bundle import INFERENCE_CONFIG, TRAIN_CONFIG, build_part, find_bundle
from scanweave.pipeline.containers import Compose, Dataset
from scanweave.pipeline.evaluation.evaluate import EVALUATE_CONFIG
from scanweave.pipeline.plain_config import PlainConfig, is_plain

CONFIG: dict[str, Any] = {
    "imports": ["$from pathlib import Path", "$import math"],
    "root": "/somewhere",
    "file": "$Path(@root) / 'models' / @names::1",
    "names": ["a", "@other", {"deep": "$math.floor(@number)"}],
    "other": "$'b' + str(@_meta_::version)",
    "number": 3.7,
    "deep": "@names::2::deep",
    "part": {"_target_": "scanweave.transforms.threshold.Thresholdd", "key": "pred", "threshold": "$@number / 10"},
    "back": {"_target_": "scanweave.transforms.restored.Restored", "keys": "x"},
    "steps": {"_target_": "Compose", "transforms": ["@part", "@back"]},
    "pair": ["@part", "@steps::transforms::0"],
    "later": "$(lambda: @part)",
}
METADATA = {"version": 2, "text": "$not an expression"}


def monai_of(config: dict[str, Any], overrides: dict[str, Any]) -> ConfigParser:
    parser = ConfigParser(json.loads(json.dumps(config)))
    parser.read_meta(dict(METADATA))
    parser.update(dict(overrides))
    return parser


@pytest.mark.parametrize("overrides", [{}, {"number": 4.2, "names::0": "c", "part::key": "@names::0"}])
def test_entries_are_those_of_monai(overrides: dict[str, Any]) -> None:
    assert is_plain(CONFIG)
    plain, monai = PlainConfig(CONFIG, METADATA, overrides), monai_of(CONFIG, overrides)
    for name in ("file", "names", "other", "deep"):
        assert plain[name] == monai.get_parsed_content(name), name
    assert vars(plain["part"]) == vars(monai.get_parsed_content("part"))
    assert isinstance(plain["steps"], Compose)
    assert [type(step) for step in plain["steps"].transforms] == [
        type(step) for step in monai.get_parsed_content("steps").transforms
    ]
    assert plain["part"] is plain["pair"][0] is plain["pair"][1] is plain["later"](), "made once"
    assert CONFIG["part"]["key"] == "pred", "the configuration itself is not changed"


def test_what_nobody_asks_for_is_not_made() -> None:
    plain = PlainConfig({"a": 1, "lazy": "$lambda: @broken", "broken": {"_target_": "scanweave.nowhere.Thing"}}, {}, {})
    assert plain["a"] == 1
    lazy = plain["lazy"]
    with pytest.raises(ImportError):
        lazy()
    with pytest.raises(KeyError):
        plain["missing"]


@pytest.mark.parametrize(
    "entry",
    [
        "%other.json::a",
        {"_target_": "SimpleInferer"},
        {"_target_": "monai.data.Dataset"},
        {"_target_": "scanweave.x.Y", "_disabled_": True},
        {"_target_": "scanweave.x.Y", "_requires_": "@a"},
        {"_target_": "scanweave.x.Y", "_mode_": "partial"},
        "@::relative",
    ],
)
def test_what_only_monai_builds_is_left_to_it(entry: object) -> None:
    assert not is_plain({"a": [{"b": entry}]})
    assert is_plain({"a": [{"b": "an e-mail address, somebody at example.org, is text"}]})


@pytest.mark.parametrize("name", [INFERENCE_CONFIG, EVALUATE_CONFIG])
def test_shipped_chain_is_the_same_both_ways(name: Path) -> None:
    bundle = find_bundle()
    config = json.loads((bundle.root / name).read_text())
    assert is_plain(config) and not is_plain(json.loads((bundle.root / TRAIN_CONFIG).read_text()))
    overrides = {"output_dir": None, "device": "cpu", "bundle_root": bundle.root}
    for part in ("preprocessing", "postprocessing"):
        plain = build_part(bundle, part, overrides, name)
        parser = ConfigParser(config)
        parser.read_meta(dict(bundle.metadata))
        parser.update(overrides)
        whole = parser.get_parsed_content(part)
        assert isinstance(plain, Compose) and type(whole).__module__.startswith("monai.")
        assert [told(step) for step in plain.transforms] == [told(step) for step in whole.transforms]
    assert isinstance(build_part(bundle, "dataset", overrides, name), Dataset)


def told(step: object) -> str:
    return f"{type(step).__name__} {sorted((key, repr(value)) for key, value in vars(step).items())}"


def test_building_the_shipped_chain_imports_neither_monai_nor_pytorch() -> None:
    code = (
        "import sys\n"
        "from scanweave.pipeline.bundle import build_evaluator, find_bundle\n"
        "build_evaluator(find_bundle(), {'dataset::data': [], 'output_dir': None, 'device': 'cpu'})\n"
        "sys.exit(' '.join({'torch', 'monai', 'ignite'} & set(sys.modules)) or None)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
