"""A dozen of torchvision's models as ONNX: the counts that torchvision publishes.

tests/data/onnx holds exports of torchvision 0.28 without weights (tests/campaigns/exporting.py);
the numbers are `num_params` and `_ops` of the weights' meta. All eighty are compared by
tests/campaigns/torchvision_models.py.
"""

import gzip
from pathlib import Path

import pytest

from cnncalc import load
from cnncalc.importers import convert

DATA = Path(__file__).parent / "data" / "onnx"
PUBLISHED = {  # parameters, billions of multiply-adds
    "squeezenet1_1_ts": (1235496, 0.349),
    "resnet18_ts": (11689512, 1.814),
    "googlenet_ts": (6624904, 1.498),
    "densenet121_ts": (7978856, 2.834),
    "shufflenet_v2_x0_5_ts": (1366792, 0.04),
    "mnasnet0_5_ts": (2218512, 0.104),
    "mobilenet_v3_small_ts": (2542856, 0.057),
    "mobilenet_v3_small_dynamo": (2542856, 0.057),
    "regnet_y_400mf_ts": (4344144, 0.402),
    "efficientnet_b0_ts": (5288548, 0.386),
    "convnext_tiny_ts": (28589128, 4.456),
    "vit_b_16_ts": (86567656, 17.564),
    "swin_t_ts": (28288354, 4.491),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(tmp_path, name):
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(gzip.decompress((DATA / f"{name}.onnx.gz").read_bytes()))
    text = convert(str(path))
    report = load(text).derive()
    params, billions = PUBLISHED[name]
    assert [d.message for d in report.diagnostics if d.severity == "error"] == []
    assert report.totals.params == params
    assert round(report.totals.macs / 1e9, 3) == billions
    assert report.layers[-1].output == (1000,)
    assert not any(row.op == "opaque" for row in report.layers)
    assert len(text.splitlines()) < 2 * len(report.layers)
