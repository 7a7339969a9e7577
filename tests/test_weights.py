"""Published weights: fetched whole and verified or not at all, and taken by `segment --weights`."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import weights_server
from studies import Trial, console_script, run
from weights_server import Answer, Server, closed_port, serving

from scanweave.errors import Code, EnvironmentFailure
from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.fetch_weights import fetch_weights, published_path
from scanweave.networks.published import PUBLISHED, Published
from scanweave.networks.weights import Weights, load_weights
from scanweave.pipeline.bundle import find_bundle

pytest_plugins = ["study_fixtures"]

PUBLISHED_ENTRIES = 118
SILENCE = 0.5
"""Seconds: far more than loopback needs, far less than a test may take."""


def state_dict(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Random values under the published names, in the published shapes; they mark everything."""
    torch.manual_seed(0)
    state = BNUNet().state_dict()
    state["conv.bias"] += 3.0
    assert len(state) == PUBLISHED_ENTRIES
    return {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Such a file's bytes, saved as in 2019: half precision, and the format from before zip."""
    path = tmp_path_factory.mktemp("content") / "unet.pt"
    torch.save(state_dict(torch.float16), path, _use_new_zipfile_serialization=False)
    return path.read_bytes()


@pytest.fixture
def server(content: bytes) -> Iterator[Server]:
    with serving() as record:
        record.content = content
        yield record


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of its own; loopback is asked without a proxy."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    return tmp_path / "torch" / "hub" / "checkpoints"


def published(content: bytes, port: int) -> Published:
    start = hashlib.sha256(content).hexdigest()[:8]
    return Published("local", f"http://127.0.0.1:{port}/v1.0/unet-{start}.pt", "this test")


def refusal_of(offered: Published, silence: float = SILENCE) -> EnvironmentFailure:
    with pytest.raises(EnvironmentFailure) as refusal:
        fetch_weights(offered, silence=silence)
    return refusal.value


def test_fetched_once_and_verified_each_time(server: Server, cache: Path) -> None:
    offered = published(server.content, server.port)
    fetched = fetch_weights(offered)
    assert fetched.downloaded and server.asked == [f"/v1.0/{offered.file}"]
    assert fetched.weights.path == cache / offered.file == published_path(offered)
    assert [path.name for path in cache.iterdir()] == [offered.file]
    assert fetched.weights.path.read_bytes() == server.content
    assert fetched.weights == Weights.of_file(fetched.weights.path)
    assert socket.getdefaulttimeout() is None

    again = fetch_weights(offered)
    assert (again.weights, again.downloaded) == (fetched.weights, False)
    assert len(server.asked) == 1, "what is there needs no network"

    with fetched.weights.path.open("r+b") as stream:
        stream.seek(-2000, os.SEEK_END)
        stream.write(b"\x01")
    refusal = refusal_of(offered)
    assert refusal.code is Code.WEIGHTS_ALTERED
    assert str(fetched.weights.path) in str(refusal) and "remove the file and fetch it again" in str(refusal)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (weights_server.missing, Code.DOWNLOAD_FAILED, "HTTP 404"),
        (weights_server.silent, Code.DOWNLOAD_FAILED, "timed out"),
        (weights_server.stuck_halfway, Code.DOWNLOAD_FAILED, "timed out"),
        (weights_server.cut_short, Code.WEIGHTS_ALTERED, "cut short"),
        (weights_server.login_page, Code.WEIGHTS_ALTERED, "by a proxy"),
    ],
)
def test_nothing_stays_of_a_download_that_failed(
    server: Server, cache: Path, answer: Answer, code: Code, said: str
) -> None:
    server.answer = answer
    offered = published(server.content, server.port)
    refusal = refusal_of(offered)
    assert (refusal.code, refusal.exit_code, len(refusal.problems)) == (code, 5, 1)
    assert said in str(refusal)
    assert f"put it at {cache / offered.file}" in str(refusal) and offered.url in str(refusal)
    assert not any(cache.iterdir())
    server.answer = weights_server.whole
    assert fetch_weights(offered).downloaded, "and the next try is a fresh one"


def test_ctrl_c_leaves_nothing(server: Server, cache: Path) -> None:
    server.answer = weights_server.interrupted_halfway
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt):
            fetch_weights(published(server.content, server.port), silence=20)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not any(cache.iterdir()) and socket.getdefaulttimeout() is None


def test_without_a_server(content: bytes, cache: Path) -> None:
    refusal = refusal_of(published(content, closed_port()))
    assert refusal.code is Code.DOWNLOAD_FAILED and "Connection refused" in str(refusal)


def test_the_right_digest_is_not_enough(server: Server, cache: Path, tmp_path: Path) -> None:
    """Eight digits can be met by trying: what is no state dict of the network is not kept either."""
    state = state_dict(torch.float16)
    del state["conv.bias"]
    torch.save(state, tmp_path / "short.pt")
    for content in ((tmp_path / "short.pt").read_bytes(), b"no state dict at all"):
        server.content = content
        assert refusal_of(published(content, server.port)).code is Code.WEIGHTS_INVALID
        assert not any(cache.iterdir())


def test_a_cache_that_cannot_be(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    for home in (tmp_path / "file" / "torch", tmp_path / ("long" * 100)):
        monkeypatch.setenv("TORCH_HOME", str(home))
        refusal = refusal_of(published(server.content, server.port))
        assert refusal.code is Code.OUTPUT_UNWRITABLE and "TORCH_HOME" in str(refusal)
        (buda,) = (one for one in json.loads(run("weights", "list", "--json").out)["weights"] if one["name"] == "buda")
        assert buda["state"] in ("not fetched", "unreadable")
    assert not server.asked


def test_a_name_without_digest_is_no_record() -> None:
    with pytest.raises(ValueError, match=r"unet\.pt"):
        Published("x", "https://example.org/unet.pt", "nobody")
    assert PUBLISHED["buda"].file == "unet-e012d006.pt" and PUBLISHED["buda"].sha256_start == "e012d006"


def test_the_command_fetches_and_lists(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = published(server.content, server.port)
    monkeypatch.setitem(PUBLISHED, "local", offered)

    def listed() -> dict[str, dict]:
        ran = run("weights", "list", "--json")
        assert (ran.exit_code, ran.lines) == (0, ())
        return {one["name"]: one for one in json.loads(ran.out)["weights"]}

    bundle = find_bundle()
    record = bundle.metadata["weights"]
    assert listed()[record["name"]] == {
        "name": record["name"],
        "source": f"bundle {bundle.name}",
        "sha256": record["sha256"],
        "path": str(bundle.root / record["file"]),
        "state": "ready",
    }
    assert (listed()["local"]["state"], listed()["buda"]["state"]) == ("not fetched", "not fetched")

    ran = run("weights", "fetch", "local", "--json")
    assert (ran.exit_code, ran.lines) == (0, ())
    done = json.loads(ran.out)
    digest = hashlib.sha256(server.content).hexdigest()
    assert (done["downloaded"], done["sha256"], done["path"]) == (True, digest, str(cache / offered.file))
    assert listed()["local"]["state"] == "ready"

    ran = run("weights", "fetch", "local")
    assert (ran.exit_code, ran.lines) == (0, ())
    assert "already there" in ran.out and "Research use only" in ran.out
    assert f"scanweave segment STUDY -o OUT --weights {cache / offered.file}" in ran.out
    shown = run("weights", "list").out
    assert "local: ready" in shown and f"{offered.sha256_start}.." in shown and record["sha256"] in shown

    (cache / offered.file).write_bytes(b"")
    assert listed()["local"]["state"] == "altered"
    ran = run("weights", "fetch", "local", "--json")
    assert (ran.exit_code, ran.codes, ran.out) == (5, ["WEIGHTS_ALTERED"], "")


def test_behind_a_proxy_that_refuses(server: Server, cache: Path) -> None:
    """The real address, in a process of its own: the proxy of the environment is asked, and its answer is told."""
    proxied = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    proxied["https_proxy"] = f"http://127.0.0.1:{server.port}"
    command = console_script("weights", "fetch", "buda")
    done = subprocess.run(command, env=proxied, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (5, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error[DOWNLOAD_FAILED]: ") and "403" in line
    assert PUBLISHED["buda"].url in line and str(cache / "unet-e012d006.pt") in line
    assert server.asked == ["github.com:443"]


@pytest.mark.parametrize("arguments", [[], ["fetch"], ["fetch", "nobody"], ["list", "buda"], ["steal"]])
def test_calls_without_meaning(arguments: list[str]) -> None:
    ran = run("weights", *arguments)
    assert (ran.exit_code, ran.codes) == (2, ["USAGE"])


@pytest.mark.parametrize("as_json", [["--json", "list"], ["list", "--json"]])
def test_json_before_or_after(as_json: list[str]) -> None:
    assert json.loads(run("weights", *as_json).out)["weights"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("legacy", [False, True])
def test_published_files_load_strictly(tmp_path: Path, dtype: torch.dtype, legacy: bool) -> None:
    """Single or half precision, zip or the format before it: the same parameters, in single precision."""
    state = state_dict(dtype)
    torch.save(state, tmp_path / "unet.pt", _use_new_zipfile_serialization=not legacy)
    network = load_weights(BNUNet(), Weights.of_file(tmp_path / "unet.pt"))
    loaded = network.state_dict()
    assert list(loaded) == list(state) and not network.training
    assert all(torch.equal(loaded[key], state[key].to(loaded[key].dtype)) for key in state)
    assert all(value.dtype is torch.float32 for value in network.parameters())


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "byte"])
def test_changed_files_are_refused(tmp_path: Path, change: str) -> None:
    state = state_dict(torch.float16)
    path = tmp_path / "unet.pt"
    if change == "missing":
        del state["encoder1.enc1norm1.running_var"]
    elif change == "extra":
        state["encoder5.enc5conv1.weight"] = torch.zeros(1)
    elif change == "shape":
        state["conv.weight"] = torch.zeros(2, 32, 1, 1)
    torch.save(state, path)
    recorded = Weights.of_file(path)
    if change == "byte":
        with path.open("r+b") as stream:
            stream.seek(path.stat().st_size // 2)
            (byte,) = stream.read(1)
            stream.seek(-1, os.SEEK_CUR)
            stream.write(bytes([byte ^ 1]))
    with pytest.raises(EnvironmentFailure) as refusal:
        load_weights(BNUNet(), recorded)
    assert refusal.value.code is (Code.WEIGHTS_ALTERED if change == "byte" else Code.WEIGHTS_INVALID)


def test_segment_takes_the_file(trial: Trial, content: bytes, tmp_path: Path) -> None:
    """On a bundle that has the network's full width, no weights of its own, and small slices to be quick."""
    bundle = tmp_path / "published"
    shutil.copytree(trial.bundle, bundle, ignore=shutil.ignore_patterns("*.pt"))
    config_file = bundle / "configs" / "inference.json"
    config = json.loads(config_file.read_text())
    config["network_def"]["features"] = 32
    config["inferer"]["roi_size"] = [64, 64]
    (resize,) = (one for one in config["preprocessing"]["transforms"] if one["_target_"].endswith("ResizePlaned"))
    resize["size"] = 64
    config_file.write_text(json.dumps(config))
    weights = tmp_path / "unet-0123abcd.pt"
    weights.write_bytes(content)
    wide = Trial(trial.root, bundle)
    result = json.loads((wide.done(wide.study, "--weights", weights) / "result.json").read_text())
    assert result["weights"] == {"name": weights.name, "sha256": hashlib.sha256(content).hexdigest()}
    assert result["volume_ml"] > 0

    state = state_dict(torch.float16)
    state["conv.weight"] = torch.zeros(2, 32, 1, 1)
    torch.save(state, weights)
    wide.refused("WEIGHTS_INVALID", wide.study, "--weights", weights, exit_code=5, out=tmp_path / "other")
