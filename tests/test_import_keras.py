# ruff: noqa: E501
"""Keras configs: against what Keras itself printed (tests/data/keras/make.py), and hostile files."""

import json
import zipfile
from pathlib import Path

import pytest

import cnncalc
from cnncalc.diagnostics import Problem
from cnncalc.importers import convert
from cnncalc.sameness import compare
from cnncalc.source import Source

DATA = Path(__file__).parent / "data" / "keras"
FACTS = json.loads((DATA / "small.facts.json").read_text())


def test_counts_and_shapes_are_kerass():
    path = str(DATA / "small.json")
    report = cnncalc.check(path, run=False, sets={"H": 64, "W": 48})
    assert report.ok, report.diagnostics
    assert report.dialect.name == "keras"
    assert report.totals.trainable == FACTS["trainable"]
    assert report.totals.params + report.totals.buffers == FACTS["total"]
    found = {row.name.rpartition("/")[2]: list(row.output) for row in report.layers}
    compared = [name for name in FACTS["shapes"] if name in found]
    assert len(compared) > 15
    assert {n: found[n] for n in compared} == {n: FACTS["shapes"][n] for n in compared}


def test_open_sizes_are_symbols():
    report = cnncalc.check(str(DATA / "small.json"), run=False)
    assert set(report.symbols) == {"H", "W"}
    assert report.ok, report.diagnostics


def test_the_archive_holds_the_same(tmp_path):
    path = tmp_path / "small.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(DATA / "small.json", "config.json")
        archive.writestr("metadata.json", "{}")
    mine = convert(str(path)).splitlines()[1:]
    assert mine == convert(str(DATA / "small.json")).splitlines()[1:]


def layer(kind, name, *sources, **config):
    nodes = [[[s, 0, 0, {}] for s in sources]] if sources else []
    return {"class_name": kind, "name": name, "config": {"name": name, **config},
            "inbound_nodes": nodes}  # fmt: skip


def functional(*layers, out):
    config = {"name": "m", "layers": list(layers), "input_layers": [["x", 0, 0]],
              "output_layers": [[out, 0, 0]]}  # fmt: skip
    return {"class_name": "Functional", "config": config, "keras_version": "2.15.0"}


INPUT = layer("InputLayer", "x", batch_input_shape=[None, 8, 8, 3])


def written(tmp_path, model):
    path = tmp_path / "model.json"
    path.write_text(model if isinstance(model, str) else json.dumps(model))
    return str(path)


def test_keras_2_and_a_layer_used_twice(tmp_path):
    conv = layer("Conv2D", "c", "x", filters=3, kernel_size=[3, 3], padding="same")
    conv["inbound_nodes"].append([["c", 0, 0, {}]])
    last = layer("Flatten", "f")
    last["inbound_nodes"] = [[["c", 1, 0, {}]]]
    report = cnncalc.check(written(tmp_path, functional(INPUT, conv, last, out="f")), run=False)
    assert report.ok, report.diagnostics
    assert report.totals.params == 84
    assert report.totals.macs == 2 * 81 * 64
    assert report.layers[-1].output == (192,)


def test_the_oldest_sequential(tmp_path):
    layers = [
        layer("Conv2D", "c", filters=4, kernel_size=[3, 3], batch_input_shape=[None, 8, 8, 3]),
        layer("Flatten", "f"), layer("Dense", "d", units=10, activation="softmax"),
    ]  # fmt: skip
    report = cnncalc.check(
        written(tmp_path, {"class_name": "Sequential", "config": layers}), run=False
    )
    assert report.ok
    assert report.totals.params == 112 + 1450


def test_a_layer_of_ones_own_stays_opaque(tmp_path):
    own = layer("My>Wavelet", "w", "x")
    model = functional(INPUT, own, layer("Flatten", "f", "w"), out="f")
    report = cnncalc.check(written(tmp_path, model), run=False)
    assert [d.code for d in report.diagnostics] == ["W010"]
    assert "Wavelet" in report.diagnostics[0].message


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("{", "not readable JSON"),
        ('{"class_name": "x", "config": ' + "[" * 5000, "nested deeper"),
        (functional(INPUT, layer("Lambda", "gone", "x", function="4wEA"), out="gone"), "'gone' is a Lambda"),
        (functional(INPUT, layer("Flatten", "a", "b"), layer("Flatten", "b", "a"), out="a"), "cycle"),
        (functional(INPUT, layer("Flatten", "a", "q"), out="a"), "no layer makes"),
        (functional(INPUT, layer("Conv2D", "a", "x", filters="many", kernel_size=3), out="a"), "number"),
        (functional(INPUT, layer("Conv2D", "a", "x", filters=10**13, kernel_size=3), out="a"), "no sense"),
        (functional(layer("InputLayer", "x", batch_shape=[None, -3, 8, 3]), out="x"), "impossible size"),
        ({"class_name": "Mine", "config": {}}, "only Functional and Sequential"),
    ],
)  # fmt: skip
def test_files_that_make_no_sense(tmp_path, model, words):
    text = model if isinstance(model, str) else json.dumps(model)
    path = written(tmp_path, text if '"config"' in text else text + '"class_name" "config"')
    with pytest.raises(Problem) as caught:
        convert(path)
    assert words in caught.value.diagnostic.message
    assert cnncalc.check(path).status() == 2


def test_archives_that_are_none(tmp_path):
    bomb, other, empty = (tmp_path / f"{n}.keras" for n in ("bomb", "other", "empty"))
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", " " * (70 << 20))
    other.write_bytes(b"PK\x03\x04 not a zip")
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("../../config.json", "{}")
    for path, words in ((bomb, "larger than"), (other, "no readable"), (empty, "no config.json")):
        with pytest.raises(Problem) as caught:
            convert(str(path))
        assert words in caught.value.diagnostic.message


def chain(shape, *layers):
    """A functional model of Keras 3: each layer reads the one before; MHA reads it three times."""
    entries = [{"class_name": "InputLayer", "name": "x", "config": {"batch_shape": [None, *shape]},
                "inbound_nodes": []}]  # fmt: skip
    for i, (kind, config, args, kwargs) in enumerate(layers):
        before = entries[-1]["name"]
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [before, 0, 0]}}
        read = [tensor] * (3 if kind == "MultiHeadAttention" else 1)
        node = {"args": [*read, *args], "kwargs": kwargs}
        entries.append({"class_name": kind, "name": f"l{i}", "config": config,
                        "inbound_nodes": [node]})  # fmt: skip
    config = {"layers": entries, "input_layers": ["x", 0, 0],
              "output_layers": [entries[-1]["name"], 0, 0]}  # fmt: skip
    return json.dumps({"class_name": "Functional", "config": config})


EVERY = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}
GRU = {"class_name": "GRU", "config": {"units": 4, "return_sequences": True}}
HEADS = {"num_heads": 2, "key_dim": 4, "use_bias": True}


@pytest.mark.parametrize(
    ("shape", "layers", "wanted"),
    [
        ([6, 6, 3], [("Pad", {"pad_width": [[0, 0], [1, 1], [0, 1], [0, 0]], "mode": "constant"},
                      [], {"constant_values": float("-inf")}),
                     ("MaxPooling2D", {"pool_size": 3, "strides": 1}, [], {})],
         ["maxpool: {kernel: 3, stride: 1, pad: [[1, 1], [0, 1]]}"]),
        ([6, 3], [("Bidirectional", {"merge_mode": "ave", "layer": GRU}, [], {})],
         ["gru: {units: 4, return_sequences: true, bidirectional: true, merge: average}"]),
        ([6, 8], [("MultiHeadAttention", HEADS, [], {"use_causal_mask": True})],
         ["attention: {heads: 2, dim: 8, causal: true}"]),
        ([6, 8], [("GetItem", {}, [[EVERY, -1]], {}),
                  ("Clip", {"x_min": 0, "x_max": 0.5}, [], {})],
         ["gather: {indices: -1}", "clip: {low: 0, high: 0.5}"]),
        ([6, 8], [("Reshape", {"newshape": [-1, 4, 12]}, [], {}), ("Gelu", {}, [], {})],
         ["reshape: 4x12", "gelu"]),
    ],
)  # fmt: skip
def test_operators_of_keras(shape, layers, wanted, tmp_path):
    path = tmp_path / "net.json"
    path.write_text(chain(shape, *layers), encoding="utf-8")
    found = cnncalc.load(str(path)).derive()
    lines = "\n".join(f"  - {w}" for w in wanted)
    size = "x".join(map(str, shape))
    spec = cnncalc.load(Source(f"dialect: keras\ninput: {size}\nlayers:\n{lines}\n")).derive()
    assert compare(spec, found).same, compare(spec, found).parting
