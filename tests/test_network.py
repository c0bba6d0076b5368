"""Networks built in Python, and closed forms against the same network at real sizes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnncalc
from cnncalc import Network
from cnncalc.formula import evaluate
from cnncalc.layers import Add, AvgPool, Concat, Conv, Dense, MaxPool, ReLU
from cnncalc.network import Unreadable


def test_layers_in_a_row():
    net = Network("32x32x3", [Conv(10, 5, pad=2), ReLU(), MaxPool(2), Dense(10)], name="small")
    report = net.derive()
    assert [row.name for row in report.layers] == ["conv1", "relu1", "maxpool1", "dense1"]
    assert report.layers[-1].output == (10,)
    assert report.totals.params == 760 + 16 * 16 * 10 * 10 + 10
    assert report.to_json()["spec"]["name"] == "small"
    json.dumps(report.to_json())
    assert "<table" in net._repr_html_()
    assert repr(net) == "<Network small: 4 layers>"


def test_branches_and_names():
    net = Network((8, 8, 4))
    stem = net.add(Conv(4, 3, pad=1), name="stem")
    side = net.add(Conv(4, 1), stem)
    net.add(Add(), stem, side)
    net.add(Concat(), "add1", "input")
    report = net.derive()
    assert report.row("concat1").output == (8, 8, 8)
    assert report.row("add1").inputs == ("stem", "conv1")
    assert cnncalc.check(net).run.status == "agrees"


def test_one_layer_object_used_twice_counts_once():
    shared = Conv(4, 3, pad=1)
    net = Network("8x8x4", [shared, ReLU(), shared, ReLU()])
    report = net.derive()
    assert report.totals.params == 3 * 3 * 4 * 4 + 4
    assert report.layers[2].shared == "conv1"
    assert cnncalc.check(net).run.status == "agrees"


@pytest.mark.parametrize(
    "build",
    [
        lambda: Conv(3),
        lambda: Conv(3, 3, 1, 0, 1, 1, True, None, 5),
        lambda: Conv(filters=0, kernel=3),
        lambda: Conv(filters=3, kernel="x"),
        lambda: Conv(filters=3, kernel=3, strid=1),
        lambda: Conv(3, filters=3, kernel=1),
    ],
)
def test_wrong_fields_are_refused(build):
    with pytest.raises((TypeError, ValueError)):
        build()


def test_wrong_graphs_are_refused():
    with pytest.raises(ValueError, match="unknown dialect"):
        Network("8x8x3", dialect="tensorflow")
    with pytest.raises(ValueError, match="must be at least 1"):
        Network("8x0x3")
    net = Network("8x8x3", [ReLU()])
    with pytest.raises(ValueError, match="used twice"):
        net.add(ReLU(), name="relu1")
    with pytest.raises(ValueError, match="no layer 'nowhere'"):
        net.add(ReLU(), "nowhere")
    with pytest.raises(ValueError, match="cannot take 1"):
        net.add(Add())
    with pytest.raises(AttributeError, match="immutable"):
        ReLU().slope = 3


def test_load_says_why_it_cannot():
    with pytest.raises(Unreadable, match="no file"):
        cnncalc.load("no/such/file.yaml")
    with pytest.raises(Unreadable, match="readable YAML"):
        cnncalc.load("input: [\n")


LAYERS = st.lists(
    st.one_of(
        st.builds(
            Conv,
            filters=st.integers(1, 6),
            kernel=st.integers(1, 5),
            stride=st.integers(1, 3),
            pad=st.integers(0, 2),
        ),
        st.builds(MaxPool, kernel=st.integers(1, 3), stride=st.integers(1, 3)),
        st.builds(AvgPool, kernel=st.just(2)),
        st.builds(ReLU),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(LAYERS, st.sampled_from(["torch", "caffe", "keras"]), st.integers(40, 90), st.data())
def test_closed_forms_equal_the_network_at_real_sizes(layers, dialect, height, data):
    """Sizes, costs, receptive fields and both memory peaks, evaluated, against integers."""
    width = data.draw(st.integers(40, 90))
    symbolic = Network("HxWx3", layers, dialect=dialect).derive()
    real = Network((height, width, 3), layers, dialect=dialect).derive()
    if any(min(row.output) < 2 for row in real.layers):
        return
    at = {"H": height, "W": width}
    for closed, concrete in zip(symbolic.layers, real.layers, strict=True):
        assert [evaluate(n, at) for n in closed.output] == list(concrete.output)
        assert evaluate(closed.macs, at) == concrete.macs
        assert closed.receptive_field == concrete.receptive_field
        assert all(str(n).count("floor") <= 1 for n in closed.output)
    for closed, concrete in zip(symbolic.totals, real.totals, strict=True):
        assert evaluate(closed, at) == concrete
