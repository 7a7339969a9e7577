"""The examples of docs/scale.md say what SLURM, Kubernetes, Dask and scanweave understand."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from conftest import REPOSITORY

from scanweave.cli import _parser

EXAMPLES = REPOSITORY / "docs" / "examples"


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_job_that_slurm_gets() -> None:
    with loaded(EXAMPLES / "slurm_batch.py").gpu_workers() as cluster:
        script = cluster.job_script()
    for line in ("#SBATCH -p gpu", "#SBATCH --cpus-per-task=4", "#SBATCH --gres=gpu:1", "#SBATCH --mem=15G"):
        assert line in script, script
    assert "--resources GPU=1" in script and "--nthreads 1" in script


def documents() -> dict[str, dict[str, Any]]:
    texts = yaml.safe_load_all((EXAMPLES / "kubernetes_batch.yaml").read_text())
    return {f"{text['kind']} {text['metadata']['name']}": text for text in texts}


def container(document: dict[str, Any]) -> dict[str, Any]:
    (found,) = document["spec"]["template"]["spec"]["containers"]
    result: dict[str, Any] = found
    return result


def test_what_kubernetes_starts() -> None:
    found = documents()
    assert set(found) == {"Service dask-scheduler", "Deployment dask-scheduler", "Deployment dask-worker",
                          "Job scanweave-batch"}  # fmt: skip
    options = _parser().parse_args(container(found["Job scanweave-batch"])["args"])
    assert (options.executor, options.scheduler) == ("dask", "tls://dask-scheduler:8786")
    for name in ("Deployment dask-scheduler", "Deployment dask-worker"):
        program, command, *arguments = container(found[name])["command"]
        assert program == "dask"
        call = [sys.executable, "-m", program, command, "--help"]
        known = subprocess.run(call, capture_output=True, text=True, check=True).stdout
        wanted = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
        assert wanted and all(option in known for option in wanted)
    for document in found.values():
        if document["kind"] == "Service":
            continue
        spec = document["spec"]["template"]["spec"]
        mounted = {mount["name"] for mount in container(document)["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}
