"""Public CI runs what .ci/run runs, with no more rights than reading."""

import os
import re
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

pytest_plugins = ["pytester"]

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
OURS = re.compile(r"(?:^|\s)((?:\.ci|scripts)/[\w-]+)")


def read(path: Path) -> dict:
    content = yaml.safe_load(path.read_text())
    content["on"] = content.pop(True)  # YAML 1.1 takes the word for a truth value
    return content


def commands(content: dict) -> list[str]:
    return [step["run"] for job in content["jobs"].values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_only_read_and_end_in_time(path: Path) -> None:
    content = read(path)
    assert content["permissions"] == {"contents": "read"}
    assert "secrets." not in path.read_text() and "pull_request_target" not in content["on"]
    for job in content["jobs"].values():
        assert job["runs-on"] == "ubuntu-24.04" and job["timeout-minutes"] <= 60
        assert "permissions" not in job
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/none@v0")), (
                "GitHub's own, a major version"
            )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_runs_is_there(path: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    for command in commands(read(path)):
        for script in OURS.findall(command):
            assert os.access(REPOSITORY / script, os.X_OK), script
        if command.startswith("make "):
            assert set(command.split()[1:]) <= set(targets), command


def test_public_ci_is_the_same_script() -> None:
    """Not a second list of the same commands: the very file, told that there are no real scans."""
    content = read(REPOSITORY / ".github" / "workflows" / "ci.yml")
    job = content["jobs"]["check"]
    own = [step["run"] for step in job["steps"] if "run" in step and not step["run"].startswith("git config")]
    assert own == [".ci/run"]
    assert job["env"]["SCANWEAVE_DATA"] == "none"
    assert {"push", "pull_request"} <= set(content["on"])
    classifiers = re.findall(r"Python :: (3\.\d+)", (REPOSITORY / "setup.cfg").read_text())
    assert set(classifiers) <= set(job["strategy"]["matrix"]["python"])


def test_ci_run_is_whole() -> None:
    lines = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line in {"make lint", "make test", "make bundle"}] == [
        "make lint", "make test", "make bundle"]  # fmt: skip
    assert {"scripts/install-test-tools", "scripts/test-dockerfile", "export CI=true"} <= set(lines)


def test_tests_of_the_real_scans_can_be_left_out(pytester: pytest.Pytester) -> None:
    """`SCANWEAVE_DATA=none` is no skip: with CI=true a skip still fails."""
    pytester.makeconftest((REPOSITORY / "tests" / "conftest.py").read_text())
    pytester.makepyfile("def test_real(data_dir): pass\ndef test_other(): pass\n")
    for value, expected, code in (
        ("none", {"passed": 1, "deselected": 1}, 0),
        ("/nowhere", {"passed": 1, "errors": 1}, 1),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CI", "true")
            patch.setenv("SCANWEAVE_DATA", value)
            done = pytester.runpytest_subprocess()
        done.assert_outcomes(**expected)
        assert done.ret == code
