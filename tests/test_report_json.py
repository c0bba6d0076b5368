"""The JSON of a check, key by key."""

import json
from fractions import Fraction
from typing import Any

import pytest
from report_samples import BAD, GOOD, SYMBOLIC, UNREADABLE, make_report, make_row

from cnncalc.report import FORMATS, render
from cnncalc.report.json import to_json

KEYS = {
    "": "schema ok spec symbols layers totals expectations diagnostics run",
    "spec": "path name dialect",
    "totals": "params trainable buffers macs activations peak_memory",
    "run": "status platform devices dtype detail all_sizes",
    "layers": "name op inputs input output params trainable buffers weights macs "
    "receptive_field jump assumed line run",
    "expectations": "layer quantity given correct verdict reasons",
    "diagnostics": "code severity message layer line column help",
}


@pytest.mark.parametrize("report", [GOOD, BAD, SYMBOLIC, UNREADABLE])
def test_keys_are_exactly_the_published_ones(report: Any) -> None:
    data = json.loads(render([report], "json"))
    for place, keys in KEYS.items():
        parts = data[place] if place else data
        for part in parts if isinstance(parts, list) else [parts] if parts else []:
            assert list(part) == keys.split()


def test_values() -> None:
    data = to_json(BAD)
    assert data["schema"] == "cnncalc.check/1"
    assert data["ok"] is False
    assert data["spec"] == {
        "path": "specs/alexnet.yaml", "name": "AlexNet, first layers", "dialect": "cs231n",
    }  # fmt: skip
    first, _, pool, misfit, last = data["layers"]
    assert first["weights"] == {"kernel": [11, 11, 3, 96], "bias": [96]}
    assert first["run"] == {"output": [55, 55, 96], "params": 34944, "agrees": True}
    assert (first["input"], first["line"]) == ([227, 227, 3], 4)
    assert pool["run"]["agrees"] is False
    assert (misfit["assumed"], misfit["run"], misfit["line"]) == (True, None, None)
    assert last["buffers"] == 20
    assert data["totals"]["peak_memory"] == 3 << 20


def test_closed_forms_and_fractions_are_strings() -> None:
    data = to_json(SYMBOLIC)
    assert data["symbols"]["H"] == {"min": 32, "max": 1024, "multiple_of": 32}
    assert data["layers"][1]["output"] == ["H/2", "floor(W/2)", "k"]
    assert data["layers"][0]["params"] == "28*k"
    row = make_row("up", "upsample", (8, 8, 3), jump=(Fraction(1, 2), 1))
    assert to_json(make_report(layers=(row,)))["layers"][0]["jump"] == ["1/2", 1]


def test_several_inputs_are_a_list_of_lists() -> None:
    row = make_row("add1", "add", (4,), input=((4,), (4,)), inputs=("a", "b"))
    layer = to_json(make_report(layers=(row,)))["layers"][0]
    assert (layer["inputs"], layer["input"]) == (["a", "b"], [[4], [4]])


def test_one_object_or_a_list() -> None:
    assert isinstance(json.loads(render([GOOD], "json")), dict)
    assert [r["ok"] for r in json.loads(render([GOOD, BAD], "json"))] == [True, False]
    assert json.loads(render([], "json")) == []


def test_strict_makes_warnings_fail() -> None:
    warned = GOOD._replace(diagnostics=(BAD.diagnostics[2],))
    assert to_json(warned)["ok"] is True
    assert to_json(warned, strict=True)["ok"] is False


def test_unreadable_spec_has_no_totals() -> None:
    data = to_json(UNREADABLE)
    assert data["totals"] is None
    assert data["layers"] == []


def test_json_is_plain_ascii() -> None:
    assert render([make_report(name="Net\x1b[31m é \ud800")], "json").isascii()


def test_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="table, json"):
        render([GOOD], "xml")


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_renders_every_report_and_ends_in_one_newline(format: str) -> None:
    text = render([GOOD, BAD, SYMBOLIC, UNREADABLE], format)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "\x1b" not in text
