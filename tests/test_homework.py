"""The published questions: right answers right, every listed wrong one diagnosed."""

import json
from pathlib import Path

import pytest

import cnncalc
from cnncalc.homework import mark, subjects

DATA = Path(__file__).parent / "data" / "homework-examples.json"
QUESTIONS = json.loads(DATA.read_text("utf-8"))["questions"]
# What the reason must say for each misconception, in the words of the mistakes' own names.
WORDS = {
    "output depth = input depth": "output depth = input depth",
    "divided by stride twice / wrong formula": "divided by the stride twice",
    "both": "output depth = input depth and divided by the stride twice",
    "one-sided padding": "one-sided padding",
    "padded channels": "padding on the channels instead of the map",
    "padded channels by 1": "padding on the channels too, at one end",
    "1 weight + 1 bias: forgot input depth": "depth (input channels) left out",
    "a 1x1 filter has one weight": "biases left out and depth (input channels) left out",
    "64*64+1: used the image size": "the image size used for the weights",
    "confused neurons with parameters": "parameters for neurons",
    "ignored padding": "padding ignored",
    "the single 7x7 layer with the same RF": "a single layer with the same receptive field",
    "forgot output channels": "output channels (the number of filters) left out",
    "added kernels": "kernels added up",
    "omitted biases (27648 printed as 'trainable parameters')": "biases left out",
    "ignored the pool stride: 5+1+4": "receptive field without strides",
    "ignored pooling: 5+4": "pooling ignored",
    "assumed full coverage": "full coverage assumed",
    "forgot +1": "`+1` forgotten",
    "depth = input depth": "output depth = input depth",
    "counted 2x2 'weights' per channel": "pooling given parameters: k*k weights per channel",
    "used 256 inputs for all three": "input depth taken equal to the number of filters",
    "modern pooling has none": "modern pooling, which has no parameters",
    "4 weights per map": "4 weights per map",
    "lost k per layer instead of k-1": "k positions lost instead of k - 1",
    "lost 1 per layer": "1 lost per layer",
    "ignored dilation": "dilation ignored",
    "with biases": "counted with biases",
    "k*d": "dilation as k*d",
    "k+d-1": "dilation as k+d-1",
}


def layer(entry):
    op = entry["op"]
    window = {"kernel": entry.get("kernel"), "stride": entry.get("stride"),
              "pad": entry.get("padding")}  # fmt: skip
    if op == "conv":
        more = {name: entry[name] for name in ("dilation", "groups", "bias")}
        return {"conv": {"filters": entry["out"], **window, **more}}
    if op == "pool":
        rounds = {"round": "ceil" if entry["ceil"] else "floor"}
        return {"maxpool" if entry["kind"] == "max" else "avgpool": {**window, **rounds}}
    if op == "pad":
        return {"pad": {"by": entry["pad"]}}
    if op == "fc":
        return {"dense": {"units": entry["out"], "bias": entry["bias"]}}
    if op == "subsample_trainable":
        return {"subsample": {"kernel": entry["kernel"]}}
    return op


def asked_of(question):
    """What the question is about: its one layer, or all of them together."""
    spec = {
        "input": question["input"] or ["H", "W", 1],
        "layers": list(map(layer, question["layer"])),
    }
    found = subjects(cnncalc.load(json.dumps(spec)))
    last = [name for name in found if name is not None][-1]
    whole = question["asked"] in ("params", "params_symbolic", "macs", "weights_biases")
    return found[None if whole and len(question["layer"]) > 1 else last]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q["id"])
def test_published_questions(question):
    subject = asked_of(question)
    verdict = mark(subject, question["asked"], question["answer"])
    assert verdict.verdict == "right", verdict
    for wrong in question["common_wrong"]:
        verdict = mark(subject, question["asked"], wrong["value"])
        assert verdict.verdict == "wrong", wrong
        assert verdict.mistakes, wrong
        said = WORDS[wrong["misconception"]]
        assert any(said in reason for reason in verdict.reasons), (said, verdict.reasons)
        pools = question["asked"] == "params" and verdict.correct == "0"
        assert verdict.worked or pools or question["asked"] == "columns_never_visited"


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q["id"])
def test_published_questions_through_check(question):
    """The same verdicts as `expect` entries of a spec."""
    subject = asked_of(question)
    entry = {"expect": {question["asked"]: question["answer"]}}
    layers = [{op: None} if isinstance(op, str) else op for op in map(layer, question["layer"])]
    spec = {"input": question["input"] or ["H", "W", 1], "layers": layers}
    if subject.name is None:
        spec |= entry
    else:
        layers[-1] |= entry
    report = cnncalc.check(json.dumps(spec), run=False)
    assert [e.verdict for e in report.expectations] == ["right"]
    for wrong in question["common_wrong"]:
        entry["expect"][question["asked"]] = wrong["value"]
        report = cnncalc.check(json.dumps(spec), run=False)
        (found,) = report.expectations
        assert found.verdict == "wrong"
        said = WORDS[wrong["misconception"]]
        assert any(said in reason for reason in found.reasons)
        assert report.status() == 1
