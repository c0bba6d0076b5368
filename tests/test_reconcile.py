"""Conventions: the integers that the tools printed, and bridges that sum to the difference.

`data/tools.json` holds what each tool printed (tests/campaigns/tools.py wrote it, with the
tools' versions); where a tool is installed it is asked again.
"""

import json
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cnncalc
from cnncalc.__main__ import run
from cnncalc.conventions import CONVENTIONS, Need, count, totals, xla
from cnncalc.formula import evaluate
from cnncalc.source import Source

GOLDEN = json.loads((Path(__file__).parent / "data" / "tools.json").read_text())
PRINTED = {
    name: {k: v for k, v in said.items() if not isinstance(v, str)}
    for name, said in GOLDEN["printed"].items()
}


DRAWN = st.tuples(
    st.integers(1, 14), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3),
    st.integers(0, 5), st.integers(0, 5),
)  # fmt: skip


def report_of(name):
    return cnncalc.load(name if "\n" not in name else Source(name)).derive()


@pytest.mark.parametrize("name", PRINTED, ids=lambda n: n.replace("\n", " ")[:60])
def test_the_integers_that_the_tools_print(name):
    report = report_of(name)
    for key, value in PRINTED[name].items():
        tool, _, params = key.partition(".")
        if tool in CONVENTIONS:
            ours = totals(report, tool)
            assert (ours.params if params else ours.total) == value, (key, value)


def test_the_table_covers_a_dozen_networks_and_every_tool():
    networks = [name for name in PRINTED if "\n" not in name]
    assert len(networks) >= 12
    tools = {key.partition(".")[0] for said in PRINTED.values() for key in said}
    computed = set(CONVENTIONS) - {"cnncalc", "papers", "keras", "keras-adam"}
    assert computed <= tools


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("name", ["resnet18", "unet", "efficientnet_b0", "lenet5"])
def test_the_terms_sum_to_the_difference(name, convention):
    report = report_of(name)
    if (name, convention) == ("lenet5", "flax"):  # C3 reads some maps only
        with pytest.raises(Need):
            totals(report, convention)
        return
    found = totals(report, convention)
    assert report.totals.macs + sum(t.amount for t in found.terms) == found.total
    assert report.totals.params + sum(t.amount for t in found.param_terms) == found.params
    rows = sum(row.macs + sum(count(row, found.convention).values()) for row in report.layers)
    whole = sum(found.convention.whole(report.layers).values()) if found.convention.whole else 0
    assert rows + whole == found.total


def test_torch_counts_itself():
    """PyTorch's own counter, which the test extra has, on the exported network."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from cnncalc.exporters import export

    for name in ("mobilenet_v2", "dcgan-generator"):
        network = cnncalc.load(name)
        space = {"__name__": "exported"}
        source = export(network, "torch")
        exec(compile(source, "exported.py", "exec"), space)
        last = [line for line in source.splitlines() if line.startswith("class ")][-1]
        (shape,) = network.inputs.values()
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            space[last.split()[1].split("(")[0]]().eval()(torch.empty(1, shape[-1], *shape[:-1]))
        report = network.derive()
        assert totals(report, "torch-flopcounter").total == counter.get_total_flops()


@settings(max_examples=40, deadline=None)
@given(DRAWN, DRAWN, st.booleans())
def test_taps_on_padding_are_what_xla_leaves_out(rows, columns, transposed):
    """Convolutions of any window, also over zeros between the values, counted by XLA."""
    import jax
    from jax import lax

    axes = [(n, k, s, d, a, b) for n, k, s, d, a, b in (rows, columns)]
    places = [(n + a + b - d * (k - 1) - 1) // s + 1 for n, k, s, d, a, b in axes]
    steps = [s for _, _, s, _, _, _ in axes]
    if transposed:  # from the places back to sizes that reach them
        axes = [(o, k, s, d, a, b) for o, (_, k, s, d, a, b) in zip(places, axes, strict=True)]
        sizes = [(o - 1) * s - a - b + d * (k - 1) + 1 for o, k, s, d, a, b in axes]
    assume(all(p > 0 for p in places) and (not transposed or all(n > 0 for n in sizes)))
    ends = [(d * (k - 1) - a, d * (k - 1) - b) if transposed else (a, b)
            for _, k, _, d, a, b in axes]  # fmt: skip

    def conv(x, w):
        return lax.conv_general_dilated(
            x, w, (1, 1) if transposed else steps, ends, steps if transposed else (1, 1),
            [d for *_, d, _, _ in axes], ("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    shapes = [(1, *(n for n, *_ in axes), 2), (*(k for _, k, *_ in axes), 2, 3)]
    given_ = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    cost = jax.jit(conv).lower(*given_).cost_analysis() or {}
    ours = 2 * 2 * 3
    for i, (n, k, s, d, a, _) in enumerate(axes):
        ours *= xla.taps(sizes[i], k, s, d, a, n) if transposed else xla.taps(
            n, k, s, d, a, places[i])  # fmt: skip
    assert ours == cost.get("flops", 0)


def test_taps_on_padding_are_closed_forms():
    spec = "dialect: torch\ninput: HxWx3\nlayers:\n"
    spec += "  - conv: {filters: 8, kernel: 5, stride: 2, pad: 2}\n"
    found = totals(report_of(spec), "flax")
    assert {t.term for t in found.terms} == {"times two", "taps on padding", "bias adds"}
    for size in ("1x1", "2x3", "7x8", "224x225"):
        concrete = totals(report_of(spec.replace("HxW", size)), "flax").total
        h, w = map(int, size.split("x"))
        assert evaluate(found.total, {"H": h, "W": w}) == concrete


def test_flax_prints_it_where_it_is_installed():
    pytest.importorskip("flax")
    from test_campaigns import campaign

    said = campaign("tools").flax("resnet18")
    assert (
        said["flax"] == totals(report_of("resnet18"), "flax").total == PRINTED["resnet18"]["flax"]
    )


def test_published_figures():
    """Widely quoted figures of ResNet-50: thop 4,133,742,592; fvcore 4,111,512,576."""
    report = report_of("resnet50")
    assert totals(report, "thop").total == 4_133_742_592
    assert totals(report, "fvcore").total == 4_111_512_576
    assert totals(report, "keras").params == 25_610_152


def test_keras_counts_running_statistics_and_the_optimiser():
    """keras.applications.MobileNet: 4,253,864 in all, 4,231,976 trainable."""
    report = report_of("mobilenet_v1")
    found = totals(report, "keras")
    assert found.params == 4_253_864
    assert [t.term for t in found.param_terms] == ["running statistics"]
    adam = totals(report, "keras-adam")
    assert adam.params == 4_253_864 + 2 * 4_231_976 + 2


def test_functional_convolutions_are_not_seen_by_hooks():
    report = report_of("vgg16")
    dense = sum(row.macs for row in report.layers if row.op == "dense")
    assert totals(report, "thop", functional=True).terms[0].amount < 0
    assert totals(report, "cnncalc", functional=True).total == report.totals.macs
    assert totals(report, "ptflops-aten", functional=True).total > report.totals.macs
    seen = totals(report, "torchinfo", functional=True).total
    assert dense < seen < dense + 20_000


def test_known_faults_are_named():
    names = dict(totals(report_of("unet"), "thop").bugs)
    (layers,) = [layers for text, layers in names.items() if "transposed" in text]
    assert layers[0] == "conv_transpose1"
    assert len(layers) == 4


def test_symbols():
    report = report_of("symbolic-vgg-block")
    assert str(totals(report, "torch-flopcounter").total) == str(2 * report.totals.macs)
    spec = "dialect: keras\ninput: HxWx3\nlayers:\n  - maxpool: {kernel: 3, stride: 2, pad: same}\n"
    with pytest.raises(Need):
        totals(report_of(spec), "ptflops-pytorch")


def test_command_line(capsys):
    assert run(["reconcile", "resnet18"]) == 0
    text = capsys.readouterr().out
    assert "thop 0.1.1" in text
    assert "batchnorm" in text
    assert run(["reconcile", "resnet18", "--format", "json", "--convention", "thop"]) == 0
    found = json.loads(capsys.readouterr().out)
    (entry,) = found["conventions"]
    assert found["schema"] == "cnncalc.reconcile/1"
    assert entry["total"] == found["base"]["macs"] + sum(t["amount"] for t in entry["terms"])
    assert run(["reconcile", "resnet18", "--format", "markdown"]) == 0
    assert "| thop" in capsys.readouterr().out
    assert run(["reconcile", "resnet18", "--convention", "thob"]) == 2
    assert "did you mean 'thop'" in capsys.readouterr().err
    assert run(["reconcile", "resnet18", "--convention", "thop", "--functional"]) == 0
    assert "not seen" in capsys.readouterr().out


def test_check_counts_that_way(capsys):
    argv = ["check", "resnet18", "--no-run", "--format", "json", "--convention"]
    assert run([*argv, "fvcore"]) == 1  # the spec expects multiply-adds
    found = json.loads(capsys.readouterr().out)
    report = report_of("resnet18")
    assert found["totals"]["macs"] == totals(report, "fvcore").total
    assert found["convention"] == "fvcore"
    (layer,) = [x for x in found["layers"] if x["name"] == "batchnorm1"]
    assert layer["macs"] == 2 * 112 * 112 * 64
    assert run([*argv, "nobody"]) == 2
    assert "known:" in capsys.readouterr().err
    assert run(["check", "resnet18", "--no-run", "--convention", "cnncalc"]) == 0
    assert "MACs as cnncalc counts them" in capsys.readouterr().out


def test_check_prints_what_xla_prints(capsys):
    """Its sums are 32-bit floats: the total is the printed one, 104 less than the rows'."""
    assert run(["check", "resnet18", "--no-run", "--format", "json", "--convention", "xla"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["totals"]["macs"] == PRINTED["resnet18"]["flax"]
    assert sum(row["macs"] for row in found["layers"]) == found["totals"]["macs"] + 104


def test_the_comparison_can_fail(monkeypatch):
    from cnncalc.conventions import rules

    convention = CONVENTIONS["thop"]._replace(rule=rules.torchinfo)
    monkeypatch.setitem(CONVENTIONS, "thop", convention)
    with pytest.raises(AssertionError):
        test_the_integers_that_the_tools_print("resnet18")
