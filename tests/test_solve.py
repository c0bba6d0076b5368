"""Inverse questions: fields that give an output, and the input sizes that fit a network."""

import json
import random
from pathlib import Path

import pytest

import cnncalc
from cnncalc.console import Usage
from cnncalc.dialects import DEFAULT, DIALECTS
from cnncalc.formula import Symbol
from cnncalc.homework.fits import fits, fits_at
from cnncalc.homework.inverse import command
from cnncalc.homework.residues import Class, Condition, Unproved, quasi_linear, solve
from cnncalc.homework.solving import Wanted
from cnncalc.homework.solving import solve as solve_layer
from cnncalc.layers import REGISTRY
from cnncalc.rules.base import Case
from cnncalc.rules.sizes import findings

ROOT = Path(__file__).parents[1]


def run(capsys, text, output=None, params=None, macs=None, fits=False, dialect=None, format="text"):
    status = command(text.split(), output, params, macs, fits, dialect, (), format)
    return status, capsys.readouterr().out


@pytest.mark.parametrize(
    ("question", "goal", "answer"),
    [
        ("32x32x3 conv filters=10 kernel=5 pad=?", "32x32x10", "pad=2"),
        ("7x7x1 conv filters=1 kernel=3 pad=?", "same", "pad=1"),
        ("227x227x3 conv filters=96 kernel=11 stride=?", "55", "stride=4"),
        ("227x227x3 conv filters=96 kernel=? stride=4", "55x55x96", "kernel=11"),
        ("227x227x3 conv filters=? kernel=11 stride=4", "55x55x96", "filters=96"),
        ("55x55x96 maxpool kernel=3 stride=?", "27x27", "stride=2"),
        ("32x32x3 conv filters=10 kernel=3 pad=? dilation=2", "same", "pad=2"),
        ("9x9x1 conv filters=1 kernel=3 dilation=?", "5x5x1", "dilation=2"),
        ("4x4x8 conv_transpose filters=4 kernel=? stride=2 pad=1", "8x8x4", "kernel=4"),
        ("8x8x3 maxpool kernel=?", "4", "kernel=2"),
        ("100x3 conv filters=2 kernel=5 stride=?", "20x2", "stride=5"),
    ],
)  # fmt: skip
def test_one_unknown(capsys, question, goal, answer):
    status, text = run(capsys, question, goal)
    assert (status, text.partition(":")[0]) == (0, answer)


def test_filters_from_parameters(capsys):
    assert run(capsys, "227x227x3 conv filters=? kernel=11 stride=4", params="34,944")[
        1
    ].startswith("filters=96:")
    status, text = run(capsys, "227x227x3 conv filters=? kernel=11 stride=4", params="35000")
    assert status == 1
    assert "each filter has 364 parameters" in text
    assert "96 filters give 34,944" in text
    status, text = run(capsys, "227x227x3 conv filters=? kernel=11 stride=4", params="35K")
    assert [line.partition(":")[0] for line in text.splitlines()] == [
        "filters=95", "filters=96", "filters=97",
    ]  # fmt: skip
    assert run(capsys, "3072 dense units=?", params="30730")[1].startswith("units=10:")
    assert run(capsys, "32x32x3 conv filters=10 kernel=?", params="760")[1].startswith("kernel=5:")


@pytest.mark.parametrize(
    ("question", "goal", "reason"),
    [
        ("227x227x3 conv filters=96 kernel=11 stride=?", "50", "stride 4 gives 55, stride 5"),
        ("32x32x3 conv filters=10 kernel=4 pad=?", "same", "pad 1 gives 31, pad 2 gives 33"),
        ("8x8x1 conv filters=2 kernel=3 stride=?", "3x3x2", "5/2 leaves 1"),
        ("32x32x3 conv filters=10 kernel=5 pad=?", "32x32x11", "the output depth is 10"),
        ("32x32x3 conv filters=10 kernel=5 pad=?", "32x16x8x10", None),
    ],
)  # fmt: skip
def test_none_comes_with_the_reason(capsys, question, goal, reason):
    if reason is None:
        with pytest.raises(Usage, match="has 4 sizes"):
            run(capsys, question, goal)
        return
    status, text = run(capsys, question, goal)
    assert status == 1
    assert text.startswith("none: ")
    assert reason in text


def test_several_unknowns_are_all_found():
    """Beside a search of every small value by the layer's own output."""
    known = {"filters": 4}
    found = solve_layer(
        (23, 23, 3), REGISTRY["conv"], known, ["kernel", "stride", "pad"], Wanted((8, 8)), DEFAULT
    )
    mine = {tuple(s.fields.values()) for s in found.solutions}
    brute = {
        (k, s, p)
        for k in range(1, 25)
        for s in range(1, 25)
        for p in range(k)
        if k <= 23 + 2 * p and (23 - k + 2 * p) % s == 0 and (23 - k + 2 * p) // s + 1 == 8
    }
    assert mine == brute


def test_single_unknowns_beside_brute_force():
    draw = random.Random(0)
    for _ in range(60):
        name = draw.choice(["kernel", "stride", "pad", "dilation"])
        dialect = DIALECTS[draw.choice(["cs231n", "torch", "caffe"])]
        n, goal = draw.randint(1, 40), draw.randint(1, 20)
        op = draw.choice(["conv", "maxpool"])
        values = {"kernel": draw.randint(1, 7), "stride": draw.randint(1, 4),
                  "pad": draw.randint(0, 3), "dilation": draw.randint(1, 3)}  # fmt: skip
        if op == "conv":
            values["filters"] = 2
        del values[name]
        cls = REGISTRY[op]
        found = solve_layer((n, n, 2), cls, values, [name], Wanted((goal, goal)), dialect)
        mine = [s.fields[name] for s in found.solutions]
        brute = []
        for value in range(name != "pad", 60):
            layer = cls(**{**values, name: value})
            case = Case.of(layer, [(n, n, 2)], dialect)
            bad = any(found.severity == "error" for found in findings(case))
            if not bad and case.output[:2] == (goal, goal):
                brute.append(value)
        assert [v for v in mine if isinstance(v, int) and v < 60] == brute, (op, name, n, goal)
        assert found.solutions or found.reason


def test_uneven_padding_where_the_dialect_has_it(capsys):
    status, text = run(capsys, "32x32x3 conv filters=10 kernel=4 pad=?", "same", dialect="jax")
    assert (status, text.partition(":")[0]) == (0, "pad=[[1, 2], [1, 2]]")


def test_json(capsys):
    _, text = run(capsys, "32x32x3 conv filters=10 kernel=5 pad=?", "same", format="json")
    data = json.loads(text)
    assert data["schema"] == "cnncalc.solve/1"
    assert data["solutions"] == [
        {"fields": {"pad": 2}, "output": [32, 32, 10], "params": 760, "macs": 768000}
    ]
    _, text = run(capsys, "alexnet", fits=True, format="json")
    (axis,) = json.loads(text)["axes"]
    assert axis["classes"] == [{"modulus": 32, "residue": 3, "smallest": 67}]
    assert axis["proved"] is True


@pytest.mark.parametrize(
    ("words", "output"),
    [("32x32x3 conv filters=1 kernel=3", "same"), ("32x32x3 conv filters=1 kernal=?", "same"),
     ("32x32x3 conv filters=1 bias=?", "same"), ("32x32x3 nonsense kernel=?", "same"),
     ("32x32x3 conv kernel=? kernel=? filters=1", "same"), ("HxWx3 conv kernel=? filters=1", "5"),
     ("32x32x3 conv kernel=? filters=1", "banana"), ("32x32x3 conv kernel=? filters=1", None)],
)  # fmt: skip
def test_questions_that_make_no_sense(capsys, words, output):
    with pytest.raises(Usage):
        run(capsys, words, output)


# --- which sizes fit ----------------------------------------------------------------------

SPECS = {
    "alexnet": "cs231n", "lenet5": "", "lecture/pooling": "", "lecture/conv-stride-3": "",
    "lecture/shrinking": "", "symbolic-vgg-block": "", "zfnet": "", "unet": "",
}  # fmt: skip


def brute(report, top=1024, step=1):
    return [n for n in range(step, top + 1, step) if fits_at(report, n)]


@pytest.mark.parametrize("name", ["lenet5", "symbolic-vgg-block", "lecture/conv-stride-3"])
def test_fits_as_by_brute_force(name):
    report = cnncalc.load(str(ROOT / "specs" / f"{name}.yaml")).derive()
    axes = fits(report).axes
    assert all(axis.proved for axis in axes)
    assert [n for n in range(1, 1025) if all(axis.has(n) for axis in axes)] == brute(report)


def random_network(draw):
    """Convolutions and pools in a row, and perhaps a shortcut that must keep the size."""
    layers = []
    for _ in range(draw.randint(1, 4)):
        kernel = draw.randint(1, 5)
        window = {"kernel": kernel, "stride": draw.randint(1, 3), "pad": draw.randint(0, 2)}
        op = draw.choice(["conv", "maxpool", "upsample", "add", "crop"])
        if op == "conv":
            layers.append({"conv": {"filters": 2, "dilation": draw.randint(1, 2), **window}})
        elif op == "maxpool":
            rounds = draw.choice([{}, {"round": "ceil"}, {"round": "floor"}])
            layers.append({"maxpool": {**window, "pad": min(window["pad"], kernel // 2), **rounds}})
        elif op == "upsample":
            layers.append({"upsample": 2})
        elif op == "crop":
            layers.append({"crop": draw.randint(0, 3)})
        else:
            down = {"conv": {"filters": 2, "kernel": 2, "stride": 2}}
            pool = {"maxpool": {"kernel": 2, "round": "floor"}}
            layers.append({"add": [[draw.choice([down, pool]), {"upsample": 2}], []]})
    dialect = draw.choice(["cs231n", "torch", "caffe", "keras"])
    return {"dialect": dialect, "input": "64x64x2", "layers": layers}


@pytest.mark.parametrize("seed", range(8))
def test_fits_of_random_networks_as_by_brute_force(seed):
    draw = random.Random(seed)
    report = cnncalc.load(json.dumps(random_network(draw))).derive()
    (axis,) = fits(report).axes
    assert axis.proved
    assert [n for n in range(1, 1025) if axis.has(n)] == brute(report), report.source.text
    assert axis.classes or axis.reason


def test_no_size_fits_says_why(capsys):
    path = ROOT / "specs" / "broken" / "s001-no-even-size-fits.yaml"
    status, text = run(capsys, str(path), fits=True)
    assert status == 1
    assert "none fits: conv1: 2 must divide H - 3" in text
    assert "up to there H mod 2 = 0" in text
    status, text = run(capsys, "32x32x3 conv filters=10 kernel=5 stride=2", fits=True)
    assert (status, text.splitlines()[0]) == (0, "height and width: H mod 2 = 1, from 5 on")


def test_sizes_that_differ_by_axis(capsys):
    _, text = run(capsys, "32x32x3 conv filters=1 kernel=3x5 stride=2x3", fits=True)
    assert "height: H mod 2 = 1, from 3 on" in text
    assert "width: W mod 3 = 2, from 5 on" in text


def test_a_flat_input_has_no_size_to_solve_for(capsys):
    with pytest.raises(Usage, match="no height or width"):
        run(capsys, "100 dense units=10", fits=True)


def test_residue_classes_beside_counting():
    n = Symbol("n")
    draw = random.Random(1)
    for _ in range(200):
        a, b, s, t = (draw.randint(1, 6) for _ in range(4))
        inner = (n + a) // s
        known = [
            Condition(inner - b, "least"),
            Condition(inner + b, "divides", t),
            Condition(n - 2 * a, "least"),
        ]
        found = solve(known, "n")
        mine = [x for x in range(1, 300) if any(c.has(x) for c in found)]
        assert mine == [
            x
            for x in range(1, 300)
            if (x + a) // s >= b and ((x + a) // s + b) % t == 0 and x >= 2 * a
        ]


def test_what_is_not_quasi_linear_is_not_proved():
    n = Symbol("n")
    with pytest.raises(Unproved):
        quasi_linear(n * n, "n")
    assert Class(4, 3, 11).has(15)
