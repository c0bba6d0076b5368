"""README stays true: its spec, its Python and its commands work."""

import re
import shlex
from pathlib import Path

import pytest

import cnncalc
from cnncalc import __main__

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_the_spec_is_right():
    (spec,) = blocks("yaml")
    report = cnncalc.check(spec, run=False)
    assert report.status() == 0, report.diagnostics
    assert len(report.expectations) == 3


def test_the_python_runs():
    code, _ = blocks("python")
    names: dict[str, object] = {}
    exec(code, names)
    report = names["report"]
    assert isinstance(report, cnncalc.Report)
    assert [str(n) for n in report.layers[-1].output] == ["floor(H/2)", "floor(W/2)", "64"]
    assert report.run.all_sizes == "proved"


def test_the_gradient_is_as_promised():
    _, code = blocks("python")
    names: dict[str, object] = {}
    exec(code, names)
    gradient = names["gradient"]
    assert str(gradient[0, 0, 0, 0]) == "x0 + x1 + x3 + x4"


COMMANDS = [
    line.removeprefix("$ ").partition("   #")[0]
    for block in blocks("console")
    for line in block.splitlines()
    if line.startswith("$ cnncalc")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(command, tmp_path, monkeypatch, capsys):
    (spec,) = blocks("yaml")
    monkeypatch.chdir(tmp_path)
    Path("first.yaml").write_text(spec)
    Path("sheets").mkdir()
    (sheet,) = [text for text in blocks("text") if text.startswith("student:")]
    Path("sheets/ann.yaml").write_text(sheet)
    _, *words = shlex.split(command)
    status = __main__.run(words)
    assert status == (1 if "stride=3" in words else 0), capsys.readouterr()


def test_the_first_command_checks_alexnet():
    assert "pip install . && cnncalc check alexnet" in README
    report = cnncalc.check("alexnet")
    assert (report.ok, report.run.status) == (True, "agrees")
