"""Files of strangers: every kind is refused in one message, quickly, whatever is in it."""

import contextlib
import csv
import io
import json
import os
import re
import resource
import struct
import time
import zipfile
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import cnncalc
from cnncalc import __main__, expr, report
from cnncalc.diagnostics import Problem
from cnncalc.formula import FormulaLimit, Symbol
from cnncalc.importers import convert
from cnncalc.source import Source

ESC = "\x1b[2J\x1b]0;owned\x07"
SECONDS = 4.0  # CPU time; two, and room for a machine that is busy


def checked(text):
    """The report of a hostile spec, in time."""
    start = time.process_time()
    found = cnncalc.check(Source(text, "hostile.yaml"), run=False)
    assert time.process_time() - start < SECONDS
    return found


def codes(text):
    return {d.code for d in checked(text).diagnostics if d.severity == "error"}


def spec(layer="relu", head="", input="8x8x3"):
    return f"{head}input: {input}\nlayers:\n  - {layer}\n"


def conv(field):
    return spec(f"conv: {{filters: 2, kernel: 3, {field}}}")


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{c}: &{c} [{', '.join(['*' + b] * 10)}]\n" for b, c in pairwise("abcdefghi")
)
BLOCKS = "blocks:\n  a: {layers: [relu]}\n" + "".join(
    f"  {c}: {{layers: [{', '.join([b] * 10)}]}}\n" for b, c in pairwise("abcdefgh")
)  # fmt: skip

SPECS = {
    "a billion laughs": (LAUGHS + spec(), {"E004", "E013"}),
    "a billion layers": (BLOCKS + "input: 8x8x3\nlayers: [h]\n", {"E013"}),
    "repeats in repeats": (
        spec("repeat: {times: 9999, layers: [{repeat: {times: 9999, layers: [relu]}}]}"), {"E013"}),
    "an alias inside itself": ("input: 8x8x3\nlayers: &a [relu, *a]\n", {"E010"}),
    "depth": ("layers: " + "[" * 100_000, {"E013", "E001"}),
    "depth in blocks": ("\n".join(" " * i + "a:" for i in range(5000)), {"E013", "E001"}),
    "size": ("#" * 2_000_001, {"E013"}),
    "entries": ("layers: [" + "x," * 300_000 + "x]", {"E013"}),
    "a tag": (spec("!!python/object/apply:os.system ['true']"), {"E003", "E015", "E006", "E001"}),
    "digits": (conv("pad: " + "9" * 60), {"E012"}),
    "exponents": (conv("pad: 9**9**9**9"), {"E012"}),
    "powers": (conv("pad: 2**64**2"), {"E012"}),
    "brackets": (conv("pad: " + "(" * 90 + "1" + ")" * 90), {"E012"}),
    "length": (conv("pad: " + "1+" * 600 + "1"), {"E012"}),
    "symbols": (spec(head="assume: {" + ", ".join(f"s{i}: {{}}" for i in range(40)) + "}\n"),
                {"E013"}),
    "large sizes": (spec("dense: 9**30", input="9999999x9999999x9999999"), {"E013"}),
    "code": (conv("pad: __import__('os').system('true')"), {"E012", "E007"}),
    "attributes": (conv("pad: k.__class__"), {"E012", "E007"}),
}  # fmt: skip


@pytest.mark.parametrize("what", SPECS)
def test_hostile_specs(what):
    text, wanted = SPECS[what]
    found = codes(text)
    assert found <= wanted if not wanted else found & wanted, found


def test_closed_forms_cannot_be_made_to_explode():
    layers = "\n".join(f"  - maxpool: {{kernel: 3, stride: {2 + i % 3}, pad: 1}}" for i in range(9))
    text = f"dialect: caffe\ninput: HxWx3\nlayers:\n{layers}\n"
    checked(text)
    many = " * ".join(f"(H + {i}*W + {i})" for i in range(60))
    assert codes(spec(f"conv: {{filters: {many}, kernel: 3}}", input="HxWx3")) & {"E012", "E013"}


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="0123456789HWk+-*/%^(),. floorceilmaxmin×·−\x1b\u202e", max_size=60))
def test_any_text_as_an_expression(text):
    names = {"H": Symbol("H"), "W": Symbol("W"), "k": 3}
    with contextlib.suppress(expr.ExprError, FormulaLimit):
        str(expr.evaluate(text, names.__getitem__))


KEYS = ["input", "layers", "let", "assume", "blocks", "conv", "repeat", "concat", "from", "name",
        "expect", "kernel", "times", "filters", "relu", "dialect", "share"]  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.sampled_from([*KEYS, "8x8x3", "3", "-1", "HxWx3", "same", "k", "1.5", "*a"]),
              st.integers(-(10**30), 10**30), st.none(), st.booleans(), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=4),
                            st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.fixed_dictionaries(
    {"input": VALUES, "layers": st.lists(VALUES, max_size=4)},
    optional={"let": VALUES, "assume": VALUES, "blocks": VALUES, "expect": VALUES,
              "budget": VALUES, "outputs": VALUES, "dialect": VALUES},
))  # fmt: skip
def test_any_json_as_a_spec(value):
    found = cnncalc.check(Source(json.dumps(value), "any.json"), run=False)
    for format in ("table", "json", "csv", "github", "sarif", "junit", "markdown"):
        text = report.render([found], format, width=80, color=False)
        assert "\x1b" not in text


# --- models -----------------------------------------------------------------------------


def refused(path):
    start = time.process_time()
    with pytest.raises(Problem) as error:
        convert(str(path))
    assert time.process_time() - start < SECONDS
    found = error.value.diagnostic
    assert found.code in ("E021", "E002")
    assert found.message.isprintable()
    assert "Error:" not in found.message, "an error of Python's and not of the file's"
    return found.message


PROTOTXTS = {
    "depth": "a {" * 10_000,
    "a string that never ends": 'name: "' + "x" * 100_000,
    "escapes": 'layer { name: "\x1b[2J" type: "\x1b[31m" bottom: "\x1b" top: "b" }',
    "a huge number": "input_dim: " + "9" * 5000,
    "negative sizes": 'input: "d" input_dim: 1 input_dim: -3 input_dim: 4 input_dim: 4 '
                      'layer { name: "r" type: "ReLU" bottom: "d" top: "r" }',
    "no kernel": 'input: "d" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 4 '
                 'layer { name: "c" type: "Pooling" bottom: "d" top: "c" }',
    "zeros": "\0" * 1000,
    "nothing": "",
    "too large": "#" * (9 << 20),
}  # fmt: skip


@pytest.mark.parametrize("what", PROTOTXTS)
def test_hostile_prototxt(what, tmp_path):
    path = tmp_path / "a.prototxt"
    path.write_text(PROTOTXTS[what])
    refused(path)


def archive(path, name="config.json", data=b"{}", method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr(name, data)
    return path


def test_hostile_keras_archives(tmp_path):
    path = tmp_path / "a.keras"
    refused(archive(path, data=b"0" * (65 << 20)))  # a bomb: 64 MiB from 64 KiB
    refused(archive(path, name="../../config.json"))
    refused(archive(path, data=b"[" * 100_000))
    refused(archive(path, data=b'{"class_name": "Functional", "config": 3}'))
    good = archive(path).read_bytes()
    path.write_bytes(good[: len(good) // 2])
    refused(path)
    spoilt = good.replace(b"{}", b"{]")
    path.write_bytes(spoilt + struct.pack("<I", zlib.crc32(b"{}")))
    refused(path)
    assert not list(tmp_path.parent.glob("config.json"))


def test_keras_code_is_not_run(tmp_path):
    layer = {"class_name": "Lambda", "config": {"name": "f", "function": ["4wEA", None, None]}}
    first = {"class_name": "InputLayer", "config": {"name": "i", "batch_shape": [None, 8, 8, 3]}}
    model = {"class_name": "Sequential", "config": {"name": "m", "layers": [first, layer]}}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(model))
    with contextlib.suppress(Problem):
        assert "opaque" in convert(str(path))


def model(nodes, inputs=(("x", [1, 3, 8, 8]),), outputs=(("y", None),), tensors=()):
    def info(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(nodes, "g", [info(*i) for i in inputs], [info(*o) for o in outputs],
                              list(tensors))  # fmt: skip
    return helper.make_model(graph)


def test_hostile_onnx(tmp_path):
    path = tmp_path / "a.onnx"
    for data in (b"", b"\0" * 100, b"\xff" * 1000, os.urandom(64), b"PK\3\4"):
        path.write_bytes(data)
        refused(path)
    good = model([helper.make_node("Relu", ["x"], ["y"], "name_of_it")]).SerializeToString()
    path.write_bytes(good[:-9])
    refused(path)
    path.write_bytes(good.replace(b"name_of_it", b"name\xff\xfe/its"))
    assert "UTF-8" in refused(path)
    loop = [helper.make_node("Relu", ["b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    path.write_bytes(model(loop, outputs=[("a", None)]).SerializeToString())
    assert "cycle" in refused(path)
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 3, 3, 3], [0.0] * 54)
    for strides in ([2**62, -1], [0, 0]):
        huge = [helper.make_node("Conv", ["x", "w"], ["y"], strides=strides)]
        path.write_bytes(model(huge, tensors=[weight]).SerializeToString())
        refused(path)


def test_external_data_is_never_opened(tmp_path):
    """A weight that says it lies in a pipe: opening it would hang."""
    pipe = tmp_path / "weights.bin"
    os.mkfifo(pipe)
    for location in ("weights.bin", "../../../etc/passwd", "/etc/passwd"):
        weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 3, 3, 3])
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=location)
        made = model([helper.make_node("Conv", ["x", "w"], ["y"])], tensors=[weight])
        path = tmp_path / "a.onnx"
        path.write_bytes(made.SerializeToString())
        text = convert(str(path))
        assert "filters: 4" in text
        assert "root:" not in text


def test_names_of_models_are_plain_text_in_the_spec(tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"], name=f"a{ESC}: [evil]\n- conv")
    path = tmp_path / f"a{ESC.replace('/', '')}.onnx"
    path.write_bytes(model([node], inputs=[("x", ["N", 3, "H\x1b", "W; rm"])]).SerializeToString())
    text = convert(str(path))
    assert all(c.isprintable() for c in text.replace("\n", ""))
    found = cnncalc.check(Source(text, "a.yaml"), run=False)
    assert found.status() == 0, found.diagnostics


# --- what is shown ----------------------------------------------------------------------

EVIL = f'''name: "{ESC.encode("unicode_escape").decode()} <script>alert(1)</script> =A1 \\u202e"
input: 8x8x3
layers:
  - relu:
    name: "=cmd|' /C calc'!A0"
  - tanh:
    name: "<script>alert(1)</script>"
  - sigmoid:
    name: "%0A::error::x \\\\input{{p}} $x_1$"
  - elu:
    name: "@SUM(1)"
    expect: {{params: "<b>=1+1</b>"}}
'''


@pytest.mark.parametrize("command", [
    *(f"check evil.yaml --no-run --format {f}"
      for f in ("table", "json", "markdown", "csv", "sarif", "junit", "github")),
    *(f"explain evil.yaml --format {f}" for f in ("text", "markdown", "latex")),
    "diff evil.yaml evil.yaml", "grad evil.yaml", "solve evil.yaml --fits",
    "export evil.yaml --to torch", "grade evil.yaml evil.yaml",
    "check \x1b[31m.yaml", "check evil.yaml --set \x1b=\x1b", "explain \x1b[31m",
    "check evil.yaml --no-run --dialect \x1b[31m", "layer \x1b[31m conv", "layer 8x8x3 \x1b[2J",
    "filter \x1b[31m --kernel \x1b[31m", "import \x1b.onnx", "import \x1b[31m.json",
    "specs \x1b[31m", "train \x1b[31m", "sweep evil.yaml --set \x1b=1..2", "check --\x1b[31m",
    "\x1b[31m", "check evil.yaml --format \x1b[31m", "train lenet5 --resume \x1b.safetensors",
])  # fmt: skip
def test_no_escape_reaches_the_terminal(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.yaml").write_text(EVIL)
    __main__.run(command.split(" "))
    out, err = capsys.readouterr()
    assert out or err
    for text in (out, err):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\x07" not in text
        assert "Traceback" not in text
        assert "a fault in cnncalc" not in text


def test_no_formula_reaches_a_spreadsheet():
    found = cnncalc.check(Source(EVIL, "=x.yaml"), run=False)
    rows = list(csv.reader(io.StringIO(report.render([found], "csv"))))
    cells = [cell for row in rows for cell in row]
    assert "'=cmd|' /C calc'!A0" in cells
    assert not [cell for cell in cells if cell.strip()[:1] in set("=+-@\t\r")]


def test_html_and_latex_are_escaped(tmp_path, monkeypatch, capsys):
    found = cnncalc.check(Source(EVIL, "x.yaml"), run=False)
    assert "<script" not in found._repr_html_()
    (tmp_path / "evil.yaml").write_text(EVIL)
    monkeypatch.chdir(tmp_path)
    assert __main__.run(["explain", "evil.yaml", "--format", "latex"]) == 0
    assert "\\input{" not in capsys.readouterr().out
    assert __main__.run(["explain", "evil.yaml", "--format", "markdown"]) == 0
    assert not re.search(r"(?<!\\)<script", capsys.readouterr().out)


@pytest.mark.parametrize(
    "text",
    [
        "W/(H - - - 11)%7%7%7%7%7%7%7%7%7%7%7%7%7%7%7%7%3%H*4%k % 72% 72% 72% 72% 72% 72% 72%"
        "2% 72% 72% 72% 72% 72% 72% 72% 72% 72% 3%H*47%7%7%7%7%7%7%7%72% 72% 72% 72% 72% 72% "
        "72% 72% 7%72% 72% 72% 7%72% 77%7%7%7%27%772% 72% 72% 7",
        "H*W-H/--H/--H-H/--H/-H/--H/--H/--H/--H/--H/(W//3 - --H/--H/- --H/--H-H/--H/--H/-H/--"
        "H/--H/--H/--H/--H/(W//3 - --H/--H/- 05)/2/205)/2/--H/--H/--H/(W//2 - --H/--H/- 05)/2"
        "/2/2/2/22%H**4%H**6%H**6%---H**6%H**6%H**6%H**6%H**6%H**6%H*2% 72% 7%H**6%H*2% 72% 7"
        "2% -H/--H/-H/--H/--H/-H/--H/(W//2 - --H/--H/- 05)/2/2/2/2/22%1/2/2/22//22//-2/2/22",
    ],
)
def test_formulas_whose_text_would_explode(text):
    """A floor within a sum of products of floors doubles with every step: refused early."""
    names = {"H": Symbol("H"), "W": Symbol("W"), "k": 3}
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with contextlib.suppress(expr.ExprError, FormulaLimit):
        assert len(str(expr.evaluate(text, names.__getitem__))) < 1 << 20
    assert time.process_time() - begun < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB
