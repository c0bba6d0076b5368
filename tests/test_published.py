"""The bundled specs: published totals, torch's own counts, their form and their schema."""

import json
import re
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
import torch_models
import yaml

import cnncalc
from cnncalc import bundled
from cnncalc.rows import Report
from cnncalc.schema import schema

FOLDER = Path(bundled.folder())
NAMES = bundled.names()


@cache
def derived(name: str) -> Report:
    return cnncalc.load(name).derive()


class Published(NamedTuple):
    """A network's size as somebody published it."""

    source: str
    params: int
    buffers: int | None = None  # running statistics, where the source counts them in its total
    gmacs: str | None = None  # billions of multiply-adds, to the digits that the source gives
    macs: int | None = None


TV = "torchvision, num_params and _ops of the weights"
KERAS = "keras.applications, count_params"
BVLC = "the published weight file of BVLC/caffe"
PUBLISHED = {
    "alexnet": Published("CS231n slides' sizes", 62_378_344),
    "alexnet-original": Published(BVLC, 60_965_224, macs=724_406_816),
    "alexnet-torchvision": Published(TV, 61_100_840, None, "0.714", 714_188_480),
    "c3d": Published("Keras port of the Sports-1M model, summary", 79_991_015),
    "convnext_tiny": Published(TV, 28_589_128, None, "4.456"),
    "dcgan-generator": Published("PyTorch's tutorial, torchsummary", 3_576_704),
    "densenet121": Published(TV, 7_978_856, None, "2.834"),
    "efficientnet_b0": Published(TV, 5_288_548, None, "0.386"),
    "fully-convolutional": Published(TV, 138_357_544),
    "googlenet": Published(BVLC, 6_998_552, macs=1_582_671_872),
    "googlenet-aux": Published("train_val.prototxt", 6_998_552 + 3_188_840 + 3_190_888),
    "inception_v3": Published(KERAS, 23_851_784 - 34_432, 34_432, "5.713"),
    "lenet-caffe": Published(BVLC, 431_080),
    "lenet5": Published("LeCun 1998, and the 84x10 RBF centres", 60_000 + 840),
    "m5-audio": Published("torchaudio's tutorial", 26_915),
    "lstm-text": Published("keras.io's example, summary", 2_757_761),
    "maxvit_t": Published(TV, 30_919_624, None, "5.558"),
    "mobilenet_v1": Published(KERAS, 4_253_864 - 21_888, 21_888, "0.569"),
    "mobilenet_v2": Published(TV, 3_504_872, None, "0.301"),
    "nin": Published("osmr/imgclsmob", 966_986),
    "resnet18": Published(TV, 11_689_512, None, "1.814"),
    "resnet34": Published(TV, 21_797_672, None, "3.664"),
    "resnet50": Published(TV, 25_557_032, None, "4.089", 4_089_184_256),
    "resnet101": Published(TV, 44_549_160, None, "7.801"),
    "resnet152": Published(TV, 60_192_808, None, "11.514"),
    "squeezenet1_0": Published(TV, 1_248_424, None, "0.86", 861_339_936),
    "squeezenet1_1": Published(TV, 1_235_496),
    "swin_t": Published(TV, 28_288_354, None, "4.491"),
    "swin_v2_t": Published(TV, 28_351_570, None, "5.94"),
    "unet": Published("implementations of figure 1 with 2 classes", 31_030_658),
    "vgg11": Published(TV, 132_863_336, None, "7.609"),
    "vgg13": Published(TV, 133_047_848, None, "11.308"),
    "vgg16": Published(TV, 138_357_544, None, "15.470"),
    "vgg19": Published(TV, 143_667_240, None, "19.632"),
    "vit_b_16": Published(TV, 86_567_656, None, "17.564"),
    "xception": Published(KERAS, 22_910_480 - 54_528, 54_528),
    "zfnet": Published("reimplementations of figure 3", 62_357_608),
}


def test_every_network_is_in_the_table() -> None:
    others = {n for n in NAMES if n.startswith("lecture/")} | {"symbolic-vgg-block", "gru-speech"}
    assert set(PUBLISHED) == set(NAMES) - others


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_totals(name: str) -> None:
    known, totals = PUBLISHED[name], derived(name).totals
    assert totals is not None
    assert totals.params == totals.trainable == known.params, known.source
    if known.buffers is not None:
        assert totals.buffers == known.buffers, known.source
    if known.macs is not None:
        assert totals.macs == known.macs, known.source
    if known.gmacs is not None:
        digits = len(known.gmacs.partition(".")[2])
        assert f"{totals.macs / 10**9:.{digits}f}" == known.gmacs, known.source


@pytest.mark.parametrize(
    ("w", "params", "macs"), [(32, "4.2", 569), (24, "2.6", 325), (16, "1.3", 149), (8, "0.5", 41)]
)
def test_mobilenet_widths(w: int, params: str, macs: int) -> None:
    """Howard et al. 2017, table 6: millions of parameters and multiply-adds."""
    totals = cnncalc.load("mobilenet_v1", sets={"w": w}).derive().totals
    assert totals is not None
    assert f"{totals.params / 10**6:.1f}" == params
    assert round(totals.macs / 10**6) == macs


def test_symbolic_block_is_vgg16s_first_stage() -> None:
    totals = cnncalc.load("symbolic-vgg-block", sets={"k": 64}).derive().totals
    assert totals is not None
    assert totals.params == 38_720  # 1,792 + 36,928, as the CS231n notes list them


@pytest.mark.parametrize("name", torch_models.MODELS)
def test_torch_counts_the_same(name: str) -> None:
    """Parameters array by array, running statistics, and half of torch's FLOPs, to the unit."""
    theirs, report = torch_models.count(name), derived(name)
    totals = report.totals
    assert totals is not None
    mine = sorted(prod(shape) for row in report.layers for shape in row.weights.values())
    assert mine == theirs.sizes
    assert (totals.params, totals.buffers) == (theirs.params, theirs.buffers)
    assert totals.macs == theirs.macs
    channels, *space = theirs.output
    assert report.layers[-1].output == (*space, channels)


# --- their form ----------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_derives_and_all_expectations_are_right(name: str) -> None:
    report = derived(name)
    assert report.status() == 0
    assert not [d for d in report.diagnostics if d.severity == "error"]
    assert report.expectations
    assert {e.verdict for e in report.expectations} == {"right"}
    assert report.totals is not None


def header(name: str) -> list[str]:
    """The comment lines at the top of a spec."""
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    return lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]


SOURCE = (
    r"CSC 578, 6-2, \"|CS231n|BVLC/caffe|\S+/\S+\.prototxt"
    r"|arXiv:?\s?[0-9]{4}\.[0-9]{4,5}|\b(?:19|20)[0-9]{2}\b"
)


@pytest.mark.parametrize("name", NAMES)
def test_names_its_schema_and_its_source(name: str) -> None:
    first, *rest = header(name)
    match = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert match
    path = (FOLDER / f"{name}.yaml").parent / match[1]
    assert path.resolve() == (FOLDER / "cnncalc.schema.json").resolve()
    assert path.is_file()
    assert re.search(SOURCE, " ".join(rest)), rest


def validator() -> Any:
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


@pytest.mark.parametrize("name", NAMES)
def test_validates(name: str) -> None:
    document = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    assert not [error.message for error in validator().iter_errors(document)]


def test_schema_file_is_up_to_date() -> None:
    """`cnncalc schema > specs/cnncalc.schema.json` writes it."""
    text = (FOLDER / "cnncalc.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == schema()


CONV = "{filters: 1, kernel: 3}"
BROKEN = {
    "no layers": "input: 7x7x1",
    "no input": "layers: [relu]",
    "empty layers": "{input: 7x7x1, layers: []}",
    "unknown key": "{input: 7x7x1, layers: [relu], layer: 3}",
    "unknown dialect": "{input: 7x7x1, layers: [relu], dialect: theano}",
    "unknown opset": "{input: 7x7x1, layers: [relu], dialect: 'onnx:new'}",
    "missing field": "{input: 7x7x1, layers: [{conv: {kernel: 3}}]}",
    "unknown field": "{input: 7x7x1, layers: [{conv: {filters: 1, kernel: 3, strid: 2}}]}",
    "wrong type": "{input: 7x7x1, layers: [{conv: {filters: [[1]], kernel: 3}}]}",
    "wrong answer": f"{{input: 7x7x1, layers: [{{conv: {CONV}, expect: {{outptu: 5x5x1}}}}]}}",
    "a number as a layer": "{input: 7x7x1, layers: [3]}",
    "layers as text": "{input: 7x7x1, layers: relu}",
    "budget of unknown": "{input: 7x7x1, layers: [relu], budget: {watts: 3}}",
    "domain of nothing": "{input: HxWx1, layers: [relu], assume: {H: {min: 0}}}",
    "repeat without times": "{input: 7x7x1, layers: [{repeat: {layers: [relu]}}]}",
    "a list": "[relu]",
}


@pytest.mark.parametrize("name", BROKEN)
def test_schema_refuses(name: str) -> None:
    document = yaml.safe_load(BROKEN[name])
    assert not validator().is_valid(document)
    assert cnncalc.check(BROKEN[name] + "\n", run=False).status() == 2
