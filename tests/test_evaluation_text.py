"""What `scanweave evaluate` says of many cases."""

from scanweave.pipeline.evaluation.evaluation import CaseFigures
from scanweave.pipeline.evaluation.evaluation_text import warnings_of


def test_a_warning_of_many_cases_is_said_once() -> None:
    told = [("a", ["x"]), ("b", ["y", "x"]), ("c", ["x"]), ("d", ["x"])]
    cases = [CaseFigures(name, name, {"warnings": warnings}) for name, warnings in told]
    assert warnings_of(cases) == ["warning: 4 cases (a, b, c, ..): x", "warning: b: y"]
