"""The command line as a whole: every command is there, says what it is for, and --help costs nothing."""

import re
import subprocess
import sys

import pytest

from scanweave.cli import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert "Research use only, not a medical device." in " ".join(shown.split())
    for name in COMMANDS:
        assert re.search(rf"^    {name}\s", shown, re.M)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_json_and_debug(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert f"scanweave {name} " in shown and "--json" in shown and "--debug" in shown
    assert " ".join(COMMANDS[name].HELP.split()) in " ".join(shown.split())


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nimport scanweave.cli\ntry:\n    scanweave.cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = ('torch', 'monai', 'numpy', 'pydicom', 'SimpleITK', 'nibabel', 'rich', 'PIL', 'jinja2')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.splitlines()[-1] == "[]"
