"""Every op to every target: written and executed with the engine's values, or refused by reason."""

import ast
import re
from types import SimpleNamespace

import numpy as np
import pytest
from export_values import Case

import cnncalc
from cnncalc.exporters import ExportError, export, expressions
from cnncalc.layers import REGISTRY

DIALECTS = {"lstm": ("cs231n", "torch"), "gru": ("cs231n", "torch", "jax")}
# What a target refuses of an op's examples, and the words that say why.
REFUSED = {
    "torch": {"opaque": "sizes alone"},
    "onnx": {"opaque": "sizes alone", "lrn": "odd sizes"},
}  # fmt: skip


def cases(op):
    for dialect in DIALECTS.get(op, ("cs231n",)):
        for number in range(len(REGISTRY[op].examples)):
            yield Case(op, number, dialect)


def executed(op, target):
    """The messages of what was refused; all else is executed and compared."""
    refusals = []
    for case in cases(op):
        try:
            found = getattr(case, target)()
        except ExportError as error:
            refusals.append(str(error))
            continue
        case.compare(found)
    return refusals


@pytest.mark.parametrize("target", REFUSED)
@pytest.mark.parametrize("op", REGISTRY)
def test_every_op(op, target):
    """PyTorch and ONNX Runtime give the engine's values with the engine's weights."""
    refusals = executed(op, target)
    assert bool(refusals) == (op in REFUSED[target]), refusals
    assert all("it: " in text and REFUSED[target][op] in text for text in refusals)


# Ops that the other targets lack altogether: all else has an example that they take.
LACKED = {
    "caffe": """adaptive_avgpool permute channel_shuffle gather expand squeeze unsqueeze gelu
        log_softmax hardswish hardsigmoid mish exp sum max normalise attention
        softmax_cross_entropy divide minimum matmul layernorm groupnorm stochastic_depth
        identity opaque selu celu softsign hardshrink softshrink tanhshrink log_sigmoid
        glu lstm gru resize pad crop upsample pixel_shuffle parameter constant
        class_token positional embedding roll window_partition window_reverse""",
    "flax": "softmax_cross_entropy opaque",
    "keras": "softmax_cross_entropy opaque",
}
BUILT = ("attention", "class_token", "constant")
VALUES = ("lrn", "conv_transpose", "groupnorm", "upsample", "scale")


def caffe(case, folder):
    """What the prototxt derives, once it is read again."""
    path = folder / "net.prototxt"
    path.write_text(export(case.network, "caffe"), encoding="utf-8")
    report = cnncalc.check(str(path), run=False)
    assert report.status() == 0
    assert report.row(report.outputs[-1]).output == case.row.output
    wanted = case.report.totals
    assert (report.totals.params, report.totals.buffers) == (wanted.params, wanted.buffers)


def written(case, target, folder):
    if target == "caffe":
        caffe(case, folder)
    elif target == "keras" and case.op in (*BUILT, *VALUES):
        case.compare(case.keras(run=case.op in VALUES), last=True)
    else:  # executed by tests/campaigns/exports.py
        ast.parse(export(case.network, target))


@pytest.mark.parametrize("target", LACKED)
def test_every_op_to_the_other_targets(target, tmp_path, monkeypatch):
    """Caffe's text is read again; Keras builds the model, and runs what is more than one layer."""
    if target == "keras":
        monkeypatch.setenv("KERAS_BACKEND", "jax")
        pytest.importorskip("keras")
    lacked = set()
    for op in REGISTRY:
        taken = 0
        for case in cases(op):
            try:
                if target != "keras" or not taken:
                    written(case, target, tmp_path)
                taken += 1
            except ExportError as error:
                text = str(error)
                assert "; " in text
                assert "it: " in text or "; put a layer between" in text
        if not taken:
            lacked.add(op)
    assert lacked == set(LACKED[target].split())


@pytest.mark.parametrize("op", expressions.TABLE)
def test_expressions_in_numpy(op):
    """What Keras and Flax are given has NumPy's names: it gives the engine's values in NumPy."""

    def softmax(x, axis):
        return np.exp(x) / np.exp(x).sum(axis, keepdims=True)

    nn = SimpleNamespace(
        softmax=softmax, log_softmax=lambda x, axis: np.log(softmax(x, axis)),
        sigmoid=lambda x: 1 / (1 + np.exp(-x)),
    )  # fmt: skip
    compared = 0
    for case in cases(op):
        values = {f"x{i}": x for i, x in enumerate(case.inputs)}
        try:
            steps = expressions.TABLE[op](case.row, "np")
        except ExportError:
            continue
        if op == "upsample" and case.row.layer.method != "nearest":
            continue  # each framework's own resize
        for step in steps:
            text = re.sub(r"\{(\d)\}", r"x\1", step)
            values["x0"] = eval(text, {"np": np, "nn": nn}, values)
        np.testing.assert_allclose(values["x0"], case.wanted, rtol=1e-4, atol=1e-5)
        compared += 1
    assert compared


def test_a_refusal_names_file_line_and_what_to_do(tmp_path):
    path = tmp_path / "net.yaml"
    path.write_text(
        "input: 8x8x4\nlayers:\n  - relu\n  - gelu:\n    name: gate\n", encoding="utf-8"
    )
    with pytest.raises(ExportError) as error:
        export(cnncalc.load(str(path)), "caffe")
    assert "net.yaml:4: gate: " in str(error.value)
    assert "--to torch" in str(error.value)


def test_the_comparison_can_fail(monkeypatch):
    """A gate in another place is seen."""
    case = Case("lstm", 0, "torch")
    case.params["kernel"] = case.params["kernel"][:, ::-1].copy()
    with pytest.raises(AssertionError):
        case.compare(case.torch())
