"""What can be said of the Dockerfile without building it; scripts/test-dockerfile builds and runs it."""

import re
import subprocess
from pathlib import Path

import pytest
from conftest import REPOSITORY
from dockerfile import Dockerfile, expand, parse, sent
from scratch_image import context
from test_packaging import MAPPED

SECRET = re.compile(r"key|token|secret|password|credential", re.IGNORECASE)


@pytest.fixture(scope="module")
def dockerfile() -> Dockerfile:
    return parse((REPOSITORY / "Dockerfile").read_text())


def test_base_and_source_of_torch_are_arguments(dockerfile: Dockerfile) -> None:
    assert dockerfile.arguments == {"BASE": "debian:bookworm-slim"}
    assert {stage.base for stage in dockerfile.stages} == {"${BASE}"}
    assert dockerfile.stages[0].texts("ARG") == ["TORCH_INDEX=https://download.pytorch.org/whl/cpu"]


def test_it_starts_the_command_as_nobody_special(dockerfile: Dockerfile) -> None:
    last = dockerfile.stages[-1]
    (user,) = last.texts("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user), "a number: Kubernetes cannot tell that a name is not root"
    assert last.instructions[-2].words == ["scanweave"] and last.instructions[-2].keyword == "ENTRYPOINT"
    keywords = [instruction.keyword for instruction in last.instructions]
    assert "RUN" not in keywords[keywords.index("USER") :]


def test_the_last_stage_holds_no_tool_and_no_source(dockerfile: Dockerfile) -> None:
    last = dockerfile.stages[-1]
    copied = [instruction.copied for instruction in last.instructions if instruction.keyword == "COPY"]
    assert copied == [("build", ["/opt/scanweave"], "/opt/scanweave")]
    assert not [text for text in last.texts("RUN") if "pip" in text]


def test_packages_leave_no_lists_and_bring_no_recommendations(dockerfile: Dockerfile) -> None:
    lines = [text for stage in dockerfile.stages for text in stage.texts("RUN") if "apt-get" in text]
    assert len(lines) == len(dockerfile.stages)
    for line in lines:
        assert line.startswith("apt-get update &&") and "rm -rf /var/lib/apt/lists/*" in line
        assert "--no-install-recommends" in line and "upgrade" not in line


def test_every_version_is_pinned_and_nothing_else_is_fetched(dockerfile: Dockerfile) -> None:
    commands = [part.strip() for stage in dockerfile.stages for text in stage.texts("RUN") for part in text.split("&&")]
    installs = [command for command in commands if "pip" in command.split()[0] and " install " in command]
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in command and "--no-cache-dir" in command for command in installs)
    assert not [command for command in commands if re.search(r"\b(curl|wget|git|add-apt-repository)\b", command)]


def test_no_secret_is_built_in(dockerfile: Dockerfile) -> None:
    named = [name for stage in dockerfile.stages for instruction in stage.instructions
             if instruction.keyword in {"ARG", "ENV", "LABEL"} for name in instruction.pairs]  # fmt: skip
    assert not [name for name in named if SECRET.search(name)]


def test_the_context_is_what_the_wheel_is_made_of() -> None:
    files = context(REPOSITORY)
    tops = {path.split("/")[0] for path in files}
    assert tops == {path.split("/")[0] for path in MAPPED} | {
        "LICENSE", "README.md", "constraints.txt", "pyproject.toml", "setup.cfg"}  # fmt: skip
    assert "bundles/flair_abnormality/models/model.pt" in files


def test_the_context_has_no_file_that_git_does_not_know(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("*\n!src\n**/__pycache__\n")
    for name in ("src/known.py", "src/stranger.py", "src/__pycache__/known.pyc", "tests/known.py", "src/gone.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    known = ["src/known.py", "src/__pycache__/known.pyc", "tests/known.py", "src/gone.py"]
    subprocess.run([*git, "add", "--force", *known], check=True)
    (tmp_path / "src/gone.py").unlink()
    assert context(tmp_path) == ["src/known.py"]


@pytest.mark.parametrize(("path", "expected"), [
    ("setup.cfg", True), ("tests/conftest.py", False), ("src/scanweave/cli.py", True), (".git/config", False),
    ("src/scanweave/__pycache__/cli.pyc", False), ("scanweave.egg-info/PKG-INFO", False), ("docs/README.md", False),
])  # fmt: skip
def test_dockerignore(path: str, expected: bool) -> None:
    assert sent(path, (REPOSITORY / ".dockerignore").read_text()) is expected


def test_what_the_parser_does_not_know_is_an_error() -> None:
    with pytest.raises(ValueError, match="ADD"):
        parse("FROM scratch\nADD https://example.org/x /x\n")
    with pytest.raises(ValueError, match="unknown option"):
        _ = parse("FROM scratch\nCOPY --chown=1:1 a b\n").stages[0].instructions[0].copied
    with pytest.raises(KeyError):
        expand("${UNSET}", {})


def test_the_parser_joins_lines_and_reads_pairs() -> None:
    text = 'ARG BASE=a\n# remark\nFROM ${BASE} AS one\nENV A=1 \\\n# within\n    B="2 3"\nRUN x \\\n && y\n'
    read = parse(text)
    (stage,) = read.stages
    assert (read.arguments, stage.base, stage.name) == ({"BASE": "a"}, "${BASE}", "one")
    assert stage.instructions[0].pairs == {"A": "1", "B": "2 3"}
    assert stage.texts("RUN") == ["x && y"]
