"""Reports of networks that were really derived: the bundled specs and small texts."""

import json
from typing import Any

import pytest

import cnncalc
from cnncalc.report import FORMATS, render
from cnncalc.report.diff import changes, compare, dialects
from cnncalc.report.layout import cells

MISFIT = """\
input: 7x7x1
layers:
  - conv: {filters: 1, kernel: 3, stride: 3}
  - relu
  - dense: 10
"""


def derived(spec: str, **options: Any) -> Any:
    return cnncalc.load(spec, **options).derive()


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "googlenet", "resnet50", "convnext_tiny"])
@pytest.mark.parametrize("width", [80, 120])
def test_concrete_networks_take_one_line_a_layer(name: str, width: int) -> None:
    report = derived(name)
    text = render([report], "table", width=width)
    lines = text.splitlines()
    assert all(cells(line) <= width for line in lines)
    start = next(i for i, line in enumerate(lines) if line.startswith("─")) + 1
    assert lines.index("", start) - start == len(report.layers) + 1
    assert lines[-1].startswith("OK")


def test_alexnet_reads_as_in_the_lecture() -> None:
    text = render([derived("alexnet")], "table", width=80)
    rows = [line.split() for line in text.splitlines()]
    assert ["CONV1", "conv", "55x55x96", "34,944", "105,415,200", "·"] in rows
    assert ["POOL1", "maxpool", "27x27x96", "0", "0", "·"] in rows


def test_a_misfit_shows_its_line_and_what_fits() -> None:
    report = cnncalc.load(MISFIT).derive()
    lines = render([report], "table", width=80).splitlines()
    assert lines[-1].startswith("1 error")
    assert next(line for line in lines if line.startswith("conv1 ")).split()[2] == "!2x2x1"
    assert next(line for line in lines if line.startswith("relu1 ")).split()[2] == "~2x2x1"
    assert " 3 |   - conv: {filters: 1, kernel: 3, stride: 3}" in lines
    assert any(line.startswith("   = help: ") and "fits" in line for line in lines)


def test_json_of_a_closed_form() -> None:
    report = cnncalc.load("input: HxWx3\nlayers:\n  - conv: {filters: 4, kernel: 3}\n").derive()
    data = json.loads(render([report], "json"))
    assert data["layers"][0]["output"] == ["H - 2", "W - 2", 4]
    assert data["layers"][0]["params"] == 112


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_takes_a_derived_report(format: str) -> None:
    reports = [derived("alexnet"), cnncalc.load(MISFIT).derive()]
    assert render(reports, format).endswith("\n")


def test_a_spec_does_not_differ_from_itself() -> None:
    report = derived("resnet50")
    assert {c.kind for c in changes(report, report)} == {"same"}
    assert "174 layers: 174 same" in compare(report, report)


def test_dialects_of_a_pool_that_does_not_fit() -> None:
    text = "input: 112x112x64\nlayers:\n  - maxpool: {kernel: 3, stride: 2}\n"
    reports = [cnncalc.load(text, dialect=name).derive() for name in ("torch", "caffe")]
    assert "maxpool1  output  55x55x64  56x56x64" in dialects(reports)
