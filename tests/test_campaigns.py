"""The campaigns' comparisons, a few thousand configurations of each at every run."""

import importlib.util
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest


def campaign(name: str) -> Any:
    path = Path(__file__).parent / "campaigns" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # campaigns import each other by name
    spec.loader.exec_module(module)
    return module


DIALECTS = campaign("dialects")
DISAGREE = campaign("disagreements")
DRAWN = {"torch": 700, "jax": 500, "onnx": 600, "caffe": 700, "keras": 40}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DRAWN)
def test_drawn_windows(name: str) -> None:
    if name == "keras":
        pytest.importorskip("keras")
    rng = random.Random(7)
    found: Counter[str] = Counter()
    for _ in range(DRAWN[name]):
        case = DIALECTS.draw(rng, name)
        verdict, ours, errors, theirs = DIALECTS.compare(name, case)
        assert verdict != "UNEXPLAINED", (case, ours, errors, theirs)
        found[verdict] += 1
    assert found["equal"] > DRAWN[name] / 2


@pytest.mark.filterwarnings("ignore")
def test_the_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    true = DIALECTS.derived
    monkeypatch.setattr(
        DIALECTS,
        "derived",
        lambda case, d: ((true(case, d)[0][0] + 1, *true(case, d)[0][1:]), set()),
    )
    rng = random.Random(7)
    cases = [DIALECTS.draw(rng, "caffe") for _ in range(20)]
    assert any(DIALECTS.compare("caffe", case)[0] == "UNEXPLAINED" for case in cases)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DISAGREE.ROWS)
def test_frameworks_disagree_as_the_readme_says(name: str) -> None:
    row = DISAGREE.ROWS[name]
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in readme
    for framework, expected in row.found.items():
        if framework == "keras":
            pytest.importorskip("keras")
        assert DISAGREE.outcome(row.case, framework)[0] == expected, framework
