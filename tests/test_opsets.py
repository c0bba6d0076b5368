"""Every form that ONNX's operators had from opset 7 on, against execution by ONNX Runtime."""

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
sys.path.insert(0, str(Path(__file__).parent / "campaigns"))

import opsets  # noqa: E402

FORMS = {
    (name, opset): (nodes, constants)
    for name, low, high, nodes, constants in opsets.by_hand()
    for opset in {low, max(low, min(high, opsets.LAST_TORCH))}
}


@pytest.mark.parametrize(("name", "opset"), FORMS, ids=str)
def test_one_operator(name, opset):
    if opset > opsets.NEWEST:
        pytest.skip("this onnx does not have the opset")
    model = opsets.model_of(*FORMS[name, opset], opset)
    assert opsets.judge(model, kept=opsets.OPAQUE.get(name, ())) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "opset"), [("transposed", 7), ("shortcut", 13), ("norms", 20)])
def test_a_network_of_the_exporter(name, opset):
    module, least = opsets.networks()[name]
    assert opset >= least
    for training in (False, True):
        assert opsets.judge(opsets.exported(module.eval(), opset, training), module) == []


def test_a_difference_is_seen(monkeypatch):
    from cnncalc.importers.onnx import weighted

    monkeypatch.setattr(weighted, "_cut", lambda *given: None)
    model = opsets.model_of(*FORMS["transposed, SAME_UPPER", 7], 7)
    assert opsets.judge(model) == ["size of y"]
