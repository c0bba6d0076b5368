"""`cnncalc grad`: agreement of the witnesses, what it flags, what it refuses, formulas."""

import json
import re
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

import cnncalc
from cnncalc import __main__, execute
from cnncalc.autograd import convolution
from cnncalc.checker import check
from cnncalc.diagnostics import Problem
from cnncalc.gradients import Options, differences, engine, findings, gradients, network, reference
from cnncalc.gradients import run as grad_run
from cnncalc.gradients.results import Depth, Param, Term, Units
from cnncalc.report import gradients as shown
from cnncalc.source import Source

RESIDUAL = """
name: residual
input: 8x8x3
layers:
  - conv: {filters: 4, kernel: 3, pad: 1, bias: false}
  - batchnorm
  - relu
  - add:
      - [{conv: {filters: 4, kernel: 3, pad: 1, bias: false}}, batchnorm, relu]
      - []
  - concat: [[{conv: {filters: 2, kernel: 1}}, relu], [{maxpool: {kernel: 3, stride: 1, pad: 1}}]]
  - dropout
  - global_avgpool
  - dense: 5
  - softmax
"""
DEPTHWISE = """
input: 9x9x3
layers:
  - depthwise_conv: {kernel: 3, stride: 2, pad: 1, multiplier: 2}
  - relu6
  - separable_conv: {filters: 4, kernel: 3}
  - layernorm
  - gelu
  - flatten
  - dense: 4
"""
TRANSPOSED = """
input: 4x4x3
layers:
  - conv_transpose: {filters: 4, kernel: 4, stride: 2, pad: 1}
  - leaky_relu
  - conv_transpose: {filters: 2, kernel: 3, stride: 2, output_pad: 1, pad: 1, groups: 2}
  - tanh
"""
ONE_AXIS = """
input: 32x2
layers:
  - conv: {filters: 4, kernel: 5, dilation: 2}
  - groupnorm: 2
  - silu
  - avgpool: 2
  - prelu
  - linear: 3
  - softmax
"""
THREE_AXES = """
input: 6x6x6x2
layers:
  - conv: {filters: 4, kernel: 3, groups: 2}
  - lrn: {alpha: 0.1}
  - elu
  - maxpool: 2
  - dense: 3
"""
SHARED = """
inputs: {a: 6x6x2, b: 6x6x2}
layers:
  - conv: {filters: 3, kernel: 3}
    name: A
    from: a
  - conv: {filters: 3, kernel: 3}
    name: B
    from: b
    share: A
  - concat:
    name: both
    from: [A, B]
  - dense: 4
    name: classes
  - conv: {filters: 1, kernel: 1}
    name: map
    from: both
outputs: [classes, map]
"""
CEILED = """
dialect: caffe
input: 7x7x2
layers:
  - conv: {filters: 3, kernel: 3, pad: 1}
  - maxpool: {kernel: 3, stride: 2}
  - avgpool: {kernel: 2, stride: 2, pad: 1}
  - dense: 3
"""
SAME = """
dialect: keras
input: 7x6x2
layers:
  - conv: {filters: 3, kernel: 4, stride: 2, pad: same}
  - relu
  - avgpool: {kernel: 3, stride: 2, pad: same}
  - dense: 3
"""
SPECS = {
    "lenet5": "lenet5", "residual": RESIDUAL, "depthwise": DEPTHWISE, "transposed": TRANSPOSED,
    "1-D": ONE_AXIS, "3-D": THREE_AXES, "shared": SHARED, "caffe": CEILED, "keras": SAME,
}  # fmt: skip
DISCONNECTED = """
input: 6x6x2
layers:
  - conv: {filters: 3, kernel: 3}
    name: A
  - conv: {filters: 3, kernel: 3}
    name: B
    from: input
  - dense: 4
    from: A
"""
SMALL = "input: 5x5x2\nlayers:\n  - conv: {filters: 3, kernel: 3}\n  - relu\n  - dense: 3\n"


def grad(text, **options):
    report = cnncalc.load(text).derive()
    return gradients(report, Options(**options))


@cache
def plain(text):
    """With the usual options; the same result for every test that asks."""
    return grad(text)


def codes(found):
    return [d.code for d in found.diagnostics]


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """A command line: status, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def call(*argv):
        status = __main__.run(list(argv))
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def spec(tmp_path):
    def write(text):
        path = tmp_path / "x.yaml"
        path.write_text(text)
        return path.name

    return write


# --- agreement --------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECS)
def test_the_three_witnesses_agree(name):
    found = grad(SPECS[name], batch=3, seed=1)
    assert found.status == "agrees"
    assert "R011" not in codes(found)
    assert found.jax.worst < 1e-11
    assert found.differences.worst < 1e-5
    report = cnncalc.load(SPECS[name]).derive()
    arrays = [len(row.weights) for row in report.layers if row.shared is None]
    assert len(found.params) == sum(arrays)
    assert all(p.norm > 0 for p in found.params)


@pytest.mark.parametrize("name", ["residual", "shared", "transposed"])
def test_the_engine_on_jax_gives_the_same(name):
    on_numpy, on_jax = plain(SPECS[name]), grad(SPECS[name], engine="jax")
    assert on_jax.status == "agrees"
    assert on_jax.jax.worst < 1e-11
    for a, b in zip(on_numpy.params, on_jax.params, strict=True):
        assert (a.layer, a.name, a.shape) == (b.layer, b.name, b.shape)
        assert a.norm == pytest.approx(b.norm, rel=1e-9)
    assert on_numpy.loss == pytest.approx(on_jax.loss, rel=1e-12)


def test_the_same_seed_gives_the_same_numbers():
    assert plain(SMALL) == grad(SMALL)
    assert plain(SMALL).loss != grad(SMALL, seed=1).loss


def test_norms_are_those_of_torch():
    torch = pytest.importorskip("torch")
    net = network.concrete(cnncalc.load(SMALL).derive(), Options())
    data = network.draw(net, Options())
    w = {k: {n: torch.tensor(a, requires_grad=True) for n, a in v.items()}
         for k, v in data.params.items()}  # fmt: skip
    x = torch.tensor(data.inputs["input"]).permute(0, 3, 1, 2)
    y = torch.conv2d(x, w["conv1"]["kernel"].permute(3, 2, 0, 1), w["conv1"]["bias"]).relu()
    z = y.permute(0, 2, 3, 1).flatten(1) @ w["dense1"]["kernel"] + w["dense1"]["bias"]
    loss = torch.nn.functional.cross_entropy(z, torch.tensor(data.targets[0]))
    loss.backward()
    found = plain(SMALL)
    assert found.loss == pytest.approx(float(loss.detach()), rel=1e-12)
    for p in found.params:
        theirs = w[p.layer][p.name].grad
        assert p.norm == pytest.approx(float(theirs.norm()), rel=1e-10)
        assert p.largest == pytest.approx(float(theirs.abs().max()), rel=1e-10)


def test_shared_weights_count_once_and_outputs_add_up():
    found = plain(SHARED)
    assert {p.layer for p in found.params} == {"A", "classes", "map"}
    assert [t.kind for t in found.terms] == ["cross entropy", "mean of squares"]
    assert found.loss == pytest.approx(sum(t.value for t in found.terms))
    assert "the sum of" in shown.loss_text(found)


def test_a_layer_that_shares_with_a_layer_that_shares():
    third = "  - conv: {filters: 3, kernel: 3}\n    name: C\n    from: b\n    share: B\n"
    text = SHARED.replace("outputs:", third + "outputs:").replace("map]", "map, C]")
    assert grad(text).status == "agrees"


def test_the_loss_is_taken_before_the_softmax():
    found = plain(RESIDUAL)
    assert found.terms[0].layer == "dense1"
    assert found.terms[0].output == "softmax1"
    assert len(found.remarks) == 2


def test_positions_of_a_softmax_are_classified():
    (term,) = grad(ONE_AXIS).terms
    assert (term.kind, term.classes) == ("cross entropy", 3)


def test_one_layer_or_one_block():
    found = grad("lenet5", at="C3")
    assert [(p.layer, p.name) for p in found.params] == [("C3", "kernel"), ("C3", "bias")]
    assert found.depth is None
    everything = {(p.layer, p.name): p.norm for p in plain("lenet5").params}
    for p in found.params:
        assert p.norm == pytest.approx(everything[p.layer, p.name])
    inside = grad(RESIDUAL, at="add1")
    assert {p.layer for p in inside.params} == {"add1/1/conv1", "add1/1/batchnorm1"}


def test_symbols_take_the_smallest_sizes_that_work():
    text = SMALL.replace("5x5x2", "HxWx2") + "assume: {H: {min: 5}, W: {min: 6}}\n"
    found = grad(text)
    assert (found.status, dict(found.sizes)) == ("agrees", {"H": 5, "W": 6})


def test_large_networks_are_moved_all_at_once_or_not(monkeypatch):
    monkeypatch.setattr(grad_run, "EACH_WORK", 1)
    found = grad(RESIDUAL)
    assert "all arrays at once" in found.differences.detail
    assert found.differences.worst < differences.JOINT_TOLERANCE
    assert all(p.differences is None for p in found.params)
    monkeypatch.setattr(grad_run, "MOST_WORK", 1)
    found = grad(RESIDUAL)
    assert not found.differences.ran
    assert "--full" in found.differences.detail
    assert found.status == "agrees"
    assert grad(RESIDUAL, full=True).differences.ran


# --- what is wrong is caught --------------------------------------------------------------


def flipped(maker):
    return lambda *args, **kw: lambda g: -maker(*args, **kw)(g)


def test_a_flipped_gradient_is_caught(run, monkeypatch):
    makers = convolution.conv_forward.makers
    monkeypatch.setattr(convolution.conv_forward, "makers", (makers[0], flipped(makers[1])))
    status, out, _ = run("grad", "lenet5")
    assert status == 1
    assert out.count("[R011]") == 3
    assert "'C1' kernel differs from jax.grad by 2e+00 of its largest entry" in " ".join(
        out.split()
    )
    assert "✗" in out
    found = grad("lenet5")
    wrong = {p.layer for p in found.params if p.verdict == "disagrees"}
    assert wrong == {"C1", "C3", "C5"}
    assert all(p.jax > 1 and p.differences > 0.1 for p in found.params if p.verdict == "disagrees")


@pytest.mark.parametrize("joint", [False, True])
def test_finite_differences_catch_it_alone(joint, monkeypatch):
    def absent(name):
        raise Problem("R007", "JAX cannot be imported")

    monkeypatch.setattr(grad_run, "open_device", absent)
    if joint:
        monkeypatch.setattr(grad_run, "EACH_WORK", 1)
    fine = grad(SMALL)
    assert (fine.status, codes(fine)) == ("failed", ["R007"])
    assert fine.differences.worst < 1e-5
    makers = convolution.conv_forward.makers
    monkeypatch.setattr(convolution.conv_forward, "makers", (makers[0], flipped(makers[1])))
    assert "R011" in codes(grad(SMALL))


def test_a_wrong_reference_is_caught(monkeypatch):
    from cnncalc.layers import REGISTRY

    relu = REGISTRY["relu"].reference
    monkeypatch.setattr(
        REGISTRY["relu"], "reference", lambda self, run, x: 1.01 * relu(self, run, x)
    )
    found = grad(SMALL)
    assert set(codes(found)) == {"R011"}
    assert any("the loss is" in d.message for d in found.diagnostics)


def test_a_reference_that_fails_is_one_sentence(monkeypatch):
    from cnncalc.layers import REGISTRY

    def fails(self, run, x):
        raise ValueError("no such thing\nand more")

    monkeypatch.setattr(REGISTRY["relu"], "reference", fails)
    found = grad(SMALL)
    assert (found.status, codes(found)) == ("disagrees", ["R009"])
    assert found.diagnostics[0].message.endswith("no such thing")


def test_differences_of_a_known_function():
    params = {"a": {"w": np.array([1.0, -2.0, 3.0]), "b": np.zeros(2)}}

    def loss(p):
        return float(np.sum(p["a"]["w"] ** 3) + 5 * p["a"]["b"].sum())

    right = {"a": {"w": 3 * params["a"]["w"] ** 2, "b": np.full(2, 5.0)}}
    wrong = {"a": {"w": -right["a"]["w"], "b": right["a"]["b"]}}
    keys = [("a", "w"), ("a", "b")]
    good = differences.of_arrays(loss, params, right, keys, 0, lambda name: None)
    bad = differences.of_arrays(loss, params, wrong, keys, 0, lambda name: None)
    assert max(good.values()) < 1e-8
    assert bad["a", "w"] > 1e-3
    assert bad["a", "b"] < 1e-8
    assert differences.of_all(loss, params, right, keys, 0, lambda name: None) < 1e-8
    assert differences.of_all(loss, params, wrong, keys, 0, lambda name: None) > 1e-2


# --- what a designer should know ------------------------------------------------------------


def test_a_disconnected_branch(run, spec):
    status, out, _ = run("grad", spec(DISCONNECTED))
    assert status == 0
    assert "warning[R012]: 'B' kernel and bias get no gradient: no output depends on it" in out
    assert re.search(r"^B +kernel .* 0 +0 +0 +0 +0$", out, re.M)
    assert "OK, 1 warning" in out


def test_the_example_of_r012_sets_it_off():
    from cnncalc.rules.codes import ENTRIES

    report = check(Source(ENTRIES["R012"].example, "spec.yaml"), run=False, grad=True)
    assert ("R012", "warning") in {(d.code, d.severity) for d in report.diagnostics}


def test_a_bias_before_batch_normalisation_is_a_note():
    found = grad(RESIDUAL.replace(", bias: false", "", 1))
    assert [(d.code, d.severity, d.layer) for d in found.diagnostics] == [("R012", "note", "conv1")]
    assert "subtracts the mean" in found.diagnostics[0].message
    assert found.status == "agrees"


def shifted(layer, value):
    """Starting values with another bias."""

    def initialise(report, seed=0, dtype="float32"):
        params, buffers = execute.initialise(report, seed, dtype)
        params[layer]["bias"] += value
        return params, buffers

    return initialise


def test_dead_units(monkeypatch):
    assert plain(SMALL).units == (Units("relu1", 3, 0),)
    monkeypatch.setattr(network, "initialise", shifted("conv1", -1000.0))
    found = grad(SMALL)
    assert found.units == (Units("relu1", 3, 3),)
    assert codes(found) == ["R012", "R012", "R014"]
    assert "everything after it is constant" in found.diagnostics[0].message
    assert "3 of the 3 channels of 'relu1' are zero" in found.diagnostics[2].message


@pytest.mark.parametrize(("channels", "dead", "flagged"),
                         [(3, 2, False), (3, 3, True), (8, 6, False), (8, 7, True)])  # fmt: skip
def test_how_many_dead_units_are_a_finding(channels, dead, flagged):
    net = network.concrete(cnncalc.load(SMALL).derive(), Options())
    found = findings.findings(net, [], [Units("relu1", channels, dead)], None, [])
    assert [d.code for d in found] == ["R014"] * flagged


def chain(op, times):
    layers = f"  - repeat: {{times: {times}, layers: [{{dense: {{units: 16}}}}, {op}]}}\n"
    return f"input: 16\nlayers:\n{layers}  - dense: 4\n"


def test_a_vanishing_chain():
    found = grad(chain("sigmoid", 20))
    assert "R013" in codes(found)
    message = next(d.message for d in found.diagnostics if d.code == "R013")
    assert message.startswith("the gradients vanish towards the input")
    assert found.depth.first == "repeat1/1/dense1"
    assert found.depth.ratio < 1e-4
    assert found.status == "agrees"


def test_an_exploding_chain(monkeypatch):
    """A saw in place of tanh: its values stay below 1, and its slope is 4 everywhere."""
    from cnncalc import autograd as ag
    from cnncalc.layers import REGISTRY

    def wave(self, run, x):
        return ag.abs(x * 4 - np.round(ag.stop_gradient(x) * 4))

    monkeypatch.setattr(REGISTRY["tanh"], "forward", wave)
    found = grad(chain("tanh", 12))
    assert "R013" in codes(found)
    message = next(d.message for d in found.diagnostics if d.code == "R013")
    assert message.startswith("the gradients explode towards the input")
    assert found.depth.ratio > 1e4


@pytest.mark.parametrize(("ratio", "word"), [(1e-5, "vanish"), (1e5, "explode"), (1e3, ""),
                                             (1e-3, "")])  # fmt: skip
def test_the_criterion_across_depth(ratio, word):
    net = network.concrete(cnncalc.load("lenet5").derive(), Options())
    found = findings.findings(net, [], [], Depth("C1", "OUTPUT", ratio, 1.0), [])
    assert [d.code for d in found] == ["R013"] * bool(word)
    assert all(word in d.message for d in found)


def test_relu_chains_and_published_networks_raise_nothing():
    assert codes(grad(chain("relu", 12))) == []
    assert codes(grad("lenet-caffe")) == []


def test_an_initial_loss_far_from_the_logarithm():
    added = "  - add: [[], [], []]\n" * 4
    found = grad(SMALL.replace("dense: 3", "dense: 10") + added)
    assert codes(found) == ["R015"]
    assert "far from ln(10) = 2.3" in found.diagnostics[0].message
    assert Term("a", "a", "cross entropy", 10).expected == pytest.approx(np.log(10))


def test_what_is_not_finite_stops_everything(monkeypatch, run, spec):
    monkeypatch.setattr(network, "initialise", shifted("conv1", np.inf))
    found = grad(SMALL)
    assert (found.status, codes(found)) == ("disagrees", ["R003"])
    assert "'conv1'" in found.diagnostics[0].message
    status, out, _ = run("grad", spec(SMALL))
    assert (status, "[R003]" in out) == (1, True)


def test_nothing_to_differentiate(run, spec):
    status, out, _ = run("grad", spec("input: 4x4x2\nlayers: [relu]\n"))
    assert status == 0
    assert "no layer has parameters to differentiate by" in out


# --- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status", "code", "why"),
    [
        ("input: 5x5x1\nlayers: [cnv]\n", 2, "E003", "the spec has errors"),
        (SMALL.replace("kernel: 3", "kernel: 3, stride: 4"), 1, "S001", "do not fit at 'conv1'"),
        (SMALL.replace("kernel: 3", "kernel: 7"), 1, "S002", "do not fit at 'conv1'"),
    ],
)
def test_specs_with_errors(run, spec, text, status, code, why):
    got, out, err = run("grad", spec(text))
    assert (got, out) == (status, "")
    assert f"[{code}]" in err
    assert "no gradients: " in err
    assert why in err or "nothing to run" in err
    got, out, err = run("grad", spec(text), "--format", "json")
    found = json.loads(out)
    assert (got, err, found["status"], found["ok"]) == (status, "", "skipped", False)
    assert code in {d["code"] for d in found["diagnostics"]}


def test_a_misfit_that_is_expected_is_refused_too(run):
    status, out, err = run("grad", "lecture/conv-stride-3")
    assert (status, out) == (1, "")
    assert "do not fit" in err


@pytest.mark.parametrize(
    ("at", "why"),
    [("C4", "did you mean 'C"), ("tanh1", "'tanh1' has no parameters"), ("zebra", "there is no")],
)
def test_layers_that_are_not_there(run, at, why):
    status, out, err = run("grad", "lenet5", "--at", at)
    assert (status, out) == (2, "")
    assert why in err
    assert len(err.splitlines()) == 1


def test_memory_is_refused_beforehand(run, monkeypatch):
    monkeypatch.setattr(grad_run.memory, "free_bytes", lambda device: 1 << 20)
    status, out, _ = run("grad", "lenet5", "--batch", "8")
    assert status == 2
    assert "[R004]" in out
    assert "a smaller --batch needs less" in out
    assert "1.0 MiB are free" in " ".join(out.split())


def test_memory_that_xla_plans_is_refused_before_it_runs(run, monkeypatch):
    answers = iter([1 << 40, 1 << 10])
    monkeypatch.setattr(grad_run.memory, "free_bytes", lambda device: next(answers))
    status, out, _ = run("grad", "lenet5", "--batch", "8")
    text = " ".join(out.split())
    assert status == 2
    assert "[R004]" in out
    assert "jax.grad of the reference needs" in text
    assert "but 0.0 MiB are free" in text


def test_the_usual_batch_is_as_large_as_the_memory_allows(run, monkeypatch):
    net = network.concrete(cnncalc.load("lenet-caffe").derive(), Options())
    free = grad_run.needed_bytes(net, 3) - 1
    monkeypatch.setattr(grad_run.memory, "free_bytes", lambda device: free)
    status, out, _ = run("grad", "lenet-caffe", "--format", "json")
    found = json.loads(out)
    assert (status, found["batch"], found["status"]) == (0, 2, "agrees")
    assert found["remarks"][0].startswith("batch 2 in place of 4, which needs ")
    status, out, _ = run("grad", "lenet-caffe", "--batch", "4")
    assert (status, "[R004]" in out) == (2, True)
    monkeypatch.setattr(grad_run.memory, "free_bytes", lambda device: 1 << 20)
    status, out, _ = run("grad", "lenet-caffe")
    assert (status, "at batch 1," in " ".join(out.split())) == (2, True)


def test_the_bytes_cover_what_is_used():
    import tracemalloc

    net = network.concrete(cnncalc.load("lenet-caffe").derive(), Options())
    data = network.draw(net, Options())
    tracemalloc.start()
    engine.by_numpy(net, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < grad_run.needed_bytes(net, 4)


def test_without_jax_it_is_not_checked(run, monkeypatch):
    def absent(name):
        raise Problem("R007", "JAX cannot be imported", help=["install it"])

    monkeypatch.setattr(grad_run, "open_device", absent)
    status, out, _ = run("grad", "lenet5")
    assert status == 2
    assert "[R007]" in out
    assert re.search(r"^C1 +kernel", out, re.M)


@pytest.mark.parametrize("argv", [("grad",), ("grad", "x", "--engine", "abacus"),
                                  ("grad", "lenet5", "--batch", "0"),
                                  ("grad", "lenet5", "--format", "latex")])  # fmt: skip
def test_bad_command_lines(run, argv):
    status, out, err = run(*argv)
    assert (status, out) == (2, "")
    assert "Traceback" not in err


# --- output -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet5", "residual", "shared"])
def test_tables_fit_80_columns(run, spec, name):
    text = SPECS[name]
    status, out, err = run("grad", text if name == "lenet5" else spec(text))
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert out.rstrip().splitlines()[-1].startswith("OK")


def test_json(run):
    status, out, _ = run("grad", "lenet5", "--format", "json", "--seed", "3")
    found = json.loads(out)
    assert status == 0
    assert set(found) == {
        "schema", "ok", "spec", "status", "detail", "engine", "dtype", "batch", "seed", "at",
        "sizes", "loss", "terms", "parameters", "jax", "differences", "depth", "dead_units",
        "remarks", "diagnostics",
    }  # fmt: skip
    assert (found["schema"], found["ok"], found["seed"]) == ("cnncalc.grad/1", True, 3)
    first = found["parameters"][0]
    assert (first["layer"], first["name"], first["shape"]) == ("C1", "kernel", [5, 5, 1, 6])
    assert set(first) == {
        "layer", "name", "shape", "norm", "largest", "relative", "jax", "differences", "verdict",
        "detail",
    }  # fmt: skip


def test_check_includes_it_where_asked(run, spec):
    path = spec(SMALL)
    _, out, _ = run("check", path, "--no-run", "--format", "json")
    assert "grad" not in json.loads(out)
    status, out, _ = run("check", path, "--grad", "--format", "json")
    found = json.loads(out)
    assert (status, found["grad"]["status"], found["run"]["status"]) == (0, "agrees", "agrees")
    assert "diagnostics" not in found["grad"]
    status, out, _ = run("check", path, "--no-run", "--grad")
    assert status == 0
    assert "grad: agrees: 4 arrays, loss" in out
    status, out, _ = run("check", spec(SMALL.replace("kernel: 3", "kernel: 7")), "--grad")
    assert status == 1
    assert "grad: skipped: the sizes do not fit at 'conv1'" in out
    status, out, _ = run("check", spec(DISCONNECTED), "--grad", "--select", "R")
    assert (status, "[R012]" in out) == (0, True)


def test_progress_is_told():
    seen = []
    report = cnncalc.load(SMALL).derive()
    gradients(report, Options(), lambda *step: seen.append(step))
    assert seen[0][2] == "forward and backward"
    assert seen[-1][0] == seen[-1][1]
    assert all(done <= total for done, total, _ in seen)


def test_a_row_of_each_verdict():
    p = Param("a/very/long/path/of/a/layer", "kernel", (3, 3, 512, 512), 1e-9, 2e-12, None)
    assert [c.text for c in shown._row(p)][2:] == [
        "3x3x512x512",
        "1.0e-09",
        "2.0e-12",
        "·",
        "·",
        "·",
    ]


# --- formulas -----------------------------------------------------------------------------------

FILTER = "input: 3x3x1\nlayers:\n  - conv: {filters: 1, kernel: 2}\n    name: F\n"
TWO = "input: 2\nlayers:\n  - dense: 2\n  - relu\n  - dense: 3\n  - softmax\n"


def test_the_gradient_of_a_filter(run, spec):
    status, out, _ = run("grad", spec(FILTER), "--engine", "symbolic")
    assert status == 0
    lines = out.splitlines()
    assert "dL/dw[1,2] = g[1,1]*x[1,2] + g[1,2]*x[1,3] + g[2,1]*x[2,2] + g[2,2]*x[2,3]" in lines
    assert "dL/db = g[1,1] + g[1,2] + g[2,1] + g[2,2]" in lines
    assert "g[1,1] = -t[1,1]/2 + y[1,1]/2" in lines
    assert lines[-1].startswith("OK")


def test_formulas_in_latex(run, spec):
    status, out, _ = run("grad", spec(FILTER), "--engine", "symbolic", "--format", "latex")
    assert status == 0
    assert r"\frac{\partial L}{\partial w_{1,2}} &= g_{1,1} x_{1,2} + g_{1,2} x_{1,3}" in out
    assert out.count(r"\begin{align*}") == out.count(r"\end{align*}") == 4


def test_formulas_have_the_engines_values():
    """The formulas, evaluated at real numbers, are the gradients of the NumPy engine."""
    import sympy

    report = cnncalc.load(TWO).derive()
    options = Options(batch=1)
    made = gradients(report, options._replace(engine="symbolic")).formulas
    net = network.concrete(report, options)
    data = network.draw(net, options)
    ours = engine.by_numpy(net, data)
    values = {"x": data.inputs["input"][0]}
    for i, layer in enumerate(("dense1", "dense2"), 1):
        values[f"w{i}"] = data.params[layer]["kernel"]
        values[f"b{i}"] = data.params[layer]["bias"]
    names = {}
    for letter, array in values.items():
        for index in np.ndindex(array.shape):
            name = f"{letter}[{','.join(str(i + 1) for i in index)}]"
            names[name] = float(array[index])

    def value(text):
        known = sorted(names, key=len, reverse=True)
        plain = {name: f"v{i}" for i, name in enumerate(known)}
        for name, short in plain.items():
            text = text.replace(name, short)
        there = {sympy.Symbol(short): names[name] for name, short in plain.items()}
        return float(sympy.sympify(text.replace("^", "**")).subs(there))

    for f in (*made.outputs, *made.loss, *made.upstream):
        names[f.left] = value(f.right)
    assert names["L"] == pytest.approx(ours.losses[0])
    for f in made.gradients:
        letter, places = re.fullmatch(r"dL/d(\w)\d\[(.*)\]", f.left).groups()
        layer = f"dense{f.left[5]}"
        array = ours.grads[layer]["kernel" if letter == "w" else "bias"]
        index = tuple(int(i) - 1 for i in places.split(","))
        assert value(f.right) == pytest.approx(array[index], abs=1e-12)


@pytest.mark.parametrize("text", [
    TWO, SHARED.replace("6x6x2", "3x3x1").replace("kernel: 3", "kernel: 2"),
    "input: 3x1\nlayers:\n  - conv: {filters: 1, kernel: 2}\n  - batchnorm\n  - tanh\n",
    "input: 2x2x1\nlayers:\n  - conv_transpose: {filters: 1, kernel: 2}\n  - avgpool: 3\n",
    "input: 3x3x1\nlayers:\n  - conv: {filters: 1, kernel: 2}\n  - maxpool: 2\n",
])  # fmt: skip
def test_formulas_agree_with_the_derivative_of_sympy(text):
    found = grad(text, engine="symbolic")
    assert found.status == "agrees"
    assert found.differences.worst < 1e-12
    assert json.dumps(shown.to_json(cnncalc.load(text).derive(), found))


def test_a_flipped_formula_is_caught(monkeypatch):
    makers = convolution.conv_forward.makers
    monkeypatch.setattr(convolution.conv_forward, "makers", (makers[0], flipped(makers[1])))
    assert codes(grad(FILTER, engine="symbolic")) == ["R011"]


@pytest.mark.parametrize(("name", "why"), [
    ("lenet5", "61,874 symbols"), ("alexnet", "symbols"),
    ("input: 4\nlayers:\n  - repeat: {times: 6, layers: [{dense: 5}, relu]}\n", "terms"),
])  # fmt: skip
def test_formulas_that_are_too_many(name, why):
    found = grad(name, engine="symbolic")
    assert found.status == "skipped"
    assert why in found.detail


def test_formulas_of_one_layer():
    made = grad(TWO, engine="symbolic", at="dense2").formulas
    assert {f.left[:5] for f in made.gradients} == {"dL/dw", "dL/db"}
    assert all(f.left[5] == "2" for f in made.gradients)


LIGHT = """
import sys
from cnncalc.__main__ import run
run(["grad", "--help"])
print([m for m in ("jax", "sympy", "numpy") if m in sys.modules], file=sys.stderr)
"""


def test_it_is_light_to_ask_for_help():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_the_reference_shares_nothing_with_the_forward(monkeypatch):
    """Without any `forward` the second witness still runs."""
    from cnncalc.layers import REGISTRY

    net = network.concrete(cnncalc.load(SMALL).derive(), Options())
    data = network.draw(net, Options())
    for cls in REGISTRY.values():
        monkeypatch.setattr(cls, "forward", None)
    import jax

    with jax.enable_x64(True):
        loss, grads = reference.gradients(net, data, jax.devices()[0])
    assert np.isfinite(loss)
    assert set(grads) == {"conv1", "dense1"}
