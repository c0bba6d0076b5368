"""`export --to flax`: source that is safe and readable; executed where Flax is installed."""

import ast
import contextlib
import sys
from pathlib import Path

import pytest
from export_cases import SPECS, hostile, net

import cnncalc
from cnncalc.exporters import ExportError, export
from cnncalc.source import Source

sys.path.insert(0, str(Path(__file__).parent / "campaigns"))

NETWORKS = ("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet-aux",
            "inception_v3", "m5-audio", "mobilenet_v1", "resnet50", "unet", "vgg16", "xception",
            "dcgan-generator")  # fmt: skip


def network_of(spec):
    return cnncalc.load(spec if "\n" not in spec else Source(spec))


@pytest.mark.parametrize("name", NETWORKS)
def test_bundled_networks_are_written(name):
    source = export(network_of(name), "flax")
    tree = ast.parse(source)
    assert all(isinstance(n, ast.Import | ast.ImportFrom | ast.ClassDef) for n in tree.body)


@pytest.mark.parametrize("name", [*NETWORKS, *SPECS])
def test_executed_where_flax_is_installed(name):
    pytest.importorskip("flax")
    from exports_jax import check

    with contextlib.suppress(ExportError):  # what is refused has tests of its own
        check(network_of(name))


def test_blocks_are_classes_and_repeats_are_loops():
    source = export(network_of("resnet50"), "flax")
    assert source.count("class ") == 5
    assert "for _ in range(self.depth - 1):\n            x = Residual(self.c)(x, train)" in source
    assert 'name="conv1"' in source


def test_hostile_names_stay_data():
    source = export(network_of(hostile()), "flax")
    assert source.isascii()
    calls = {ast.unparse(n.func) for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)}
    assert not any("system" in c or "import" in c for c in calls)
    names = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)}
    assert "os" not in names


def test_what_has_no_counterpart_is_refused_by_name():
    spec = net("conv_transpose: {filters: 8, kernel: 2, groups: 2}\n    name: up")
    with pytest.raises(ExportError, match="up: the op conv_transpose"):
        export(network_of(spec), "flax")


@pytest.mark.parametrize(
    "name", ["resnet50", "mobilenet_v1", "inception_v3", "densenet121", "vgg16"]
)
def test_keras_source_is_functions(name):
    tree = ast.parse(export(network_of(name), "keras"))
    assert all(isinstance(n, ast.Import | ast.ImportFrom | ast.FunctionDef) for n in tree.body)
    assert tree.body[-1].name == "build"


DEPTHWISE = net("depthwise_conv: 3", "batchnorm", "separable_conv: {filters: 4, kernel: 3}")


@pytest.mark.parametrize("name", ["lenet-caffe", "m5-audio", DEPTHWISE])
def test_keras_source_runs_where_keras_is_installed(name, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    pytest.importorskip("keras")
    network = network_of(name)
    report = network.derive()
    space = {"__name__": "exported"}
    exec(compile(export(network, "keras"), "exported.py", "exec"), space)
    model = space["build"]()
    assert model.count_params() == report.totals.params + report.totals.buffers
    wanted = [report.row(n).output for n in report.outputs]
    assert [tuple(o.shape[1:]) for o in model.outputs] == wanted


def test_hostile_names_stay_data_in_keras():
    source = export(network_of(hostile()), "keras")
    assert source.isascii()
    assert "os" not in {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)}
