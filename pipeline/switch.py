"""Yes or no as a configuration has it."""

from __future__ import annotations

from scanweave.errors import Code, Problem, UsageError

_WORDS = {"true": True, "false": False}


def switch(name: str, value: object) -> bool:
    """`value` as a bool: MONAI's command line hands on the text `false`, which Python takes for true.

    Raises
    ------
    UsageError
        USAGE for anything else.
    """
    try:
        return _WORDS[str(value).lower()]
    except KeyError:
        raise UsageError(Problem(Code.USAGE, f"--{name}: expected true or false, got {value!r}")) from None
